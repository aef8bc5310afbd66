"""The instrument catalogue, brought up to what the venue states."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog

from app.core.events import body, topic
from app.core.exchanges.errors import BadVenueAnswer, VenueError, VenueRulesRefused
from app.core.market.instruments import Instrument, InstrumentStatus
from app.core.ports import Clock, Ids, MarketAdapter
from app.repositories.instruments import Change
from app.repositories.unit import Unit, Units
from app.services.alarms import tell_alarm

_log = structlog.get_logger(__name__)
#: The task that brings what is used of one venue's catalogue up to date.
TASK: Final = "maintenance.refresh_catalogue"
# Refused orders ask for a refresh, and come in bursts. One costs a weight of 20 of a minute's
# 6,000, so that bursts without end cost a twenty-fifth of it.
_PAUSE_MS: Final = 5_000
_SLOT: Final = "catalogue:{exchange}"
# Some kilobytes; beyond that the whole catalogue is asked for, which takes seconds to read.
_MOST_ASKED: Final = 100
# An event names so many of the instruments that changed at once; the rows name all.
_MOST_NAMED: Final = 50


def sync_catalogue(
    units: Units, market: MarketAdapter, ids: Ids, symbols: Collection[str] | None = None
) -> int:
    """Ask a venue for its instruments and store them; how many rows changed.

    What was changed of a known instrument is kept as a revision and reported; that one which is
    in use trades no longer, or again, is an alarm.

    Args:
        symbols: the only ones that are asked for; all without them.

    Raises:
        VenueRulesRefused: the venue does not list one of ``symbols``.
        VenueError: the venue could not be asked, or stated no instrument at all.
    """
    stated = market.instruments(symbols)
    if not stated:
        # Believed, it would mark everything that is traded as delisted.
        raise BadVenueAnswer(market.exchange, "the catalogue was empty")

    def work(unit: Unit) -> int:
        changes = unit.instruments.refresh(
            market.exchange, stated, ids.new, unit.now_ms, among=symbols
        )
        revised = [change for change in changes if change.old is not None]
        if revised:
            _report(unit, market.exchange, revised)
            _tell_trading(unit, market.exchange, [change.new for change in revised])
        return len(changes)

    return units.run(work)


class CatalogueRefresher:
    """Keeps what is used of the venues' catalogues up to date.

    That is a small answer, so that it may be asked for beside the orders; the whole catalogue is
    ten megabytes.

    Args:
        markets: the market adapter of a venue.
        owner: name of this process.
    """

    def __init__(
        self,
        units: Units,
        markets: Callable[[str], MarketAdapter],
        ids: Ids,
        clock: Clock,
        owner: str,
    ) -> None:
        self._units = units
        self._markets = markets
        self._ids = ids
        self._clock = clock
        self._owner = owner

    def request_all(self) -> None:
        """Ask for every catalogue that was ever taken in to be refreshed."""

        def work(unit: Unit) -> None:
            for exchange in unit.instruments.exchanges():
                unit.enqueue(TASK, exchange)

        self._units.run(work)

    def refresh(self, exchange: str, symbol: str = "") -> bool:
        """Bring one catalogue up to date, unless somebody did within the last seconds; whether
        it was.

        Asked for are the symbols of enabled plans, running instances, live orders and positions,
        and ``symbol``. Where the venue has delisted one of them, all are asked for.

        A venue that cannot be asked leaves the catalogue as it is: the next period asks again.

        Raises:
            UnknownName: the venue is not set up.
        """
        with self._units.read() as unit:
            watched = _watched(unit, exchange) | ({symbol} if symbol else set())
        if not watched:
            return False
        now = self._clock.now_ms()
        slot, due = _SLOT.format(exchange=exchange)[:64], now - now % _PAUSE_MS
        if not self._units.run(
            lambda unit: unit.system.take_slot(slot, due, self._owner, unit.now_ms)
        ):
            return False
        try:
            self._sync(exchange, watched)
        except VenueError as error:
            _log.warning("catalogue_not_refreshed", exchange=exchange, why=error.message)
            return False
        return True

    def _sync(self, exchange: str, watched: set[str]) -> None:
        market = self._markets(exchange)
        if len(watched) <= _MOST_ASKED:
            try:
                sync_catalogue(self._units, market, self._ids, watched)
            except VenueRulesRefused:
                _log.info("catalogue_asked_as_a_whole", exchange=exchange)
            else:
                return
        sync_catalogue(self._units, market, self._ids)


def _report(unit: Unit, exchange: str, revised: Sequence[Change]) -> None:
    named = []
    for change in revised[:_MOST_NAMED]:
        was, now = change.differences()
        named.append({"symbol": change.new.symbol, "old": was, "new": now})
    unit.emit(
        topic("system", "instruments", exchange),
        body(
            "instruments.v1",
            exchange=exchange,
            count=len(revised),
            changes=named,
            at=unit.now_ms,
        ),
    )


def _tell_trading(unit: Unit, exchange: str, revised: Sequence[Instrument]) -> None:
    """One alarm for all instruments in use that stopped to trade, one for those that are back."""
    trading = {each.symbol for each in revised if each.status is InstrumentStatus.TRADING}
    halted = sorted(({each.symbol for each in revised} - trading) & _in_use(unit, exchange))
    begun = [
        symbol
        for symbol in halted
        if unit.system.begin_alarm(_alarm(exchange, symbol), "does not trade", unit.now_ms)
    ]
    ended = [
        symbol for symbol in sorted(trading) if unit.system.end_alarm(_alarm(exchange, symbol))
    ]
    if begun:
        text = (
            f"{exchange} has stopped trading in {', '.join(begun)}: new orders are denied, working "
            "ones stay and may be cancelled"
        )
        facts = {"exchange": exchange, "symbols": begun}
        tell_alarm(unit, "warning", "instrument-not-trading", text, **facts)
    if ended:
        text = f"{exchange} trades again in {', '.join(ended)}"
        tell_alarm(unit, "info", "instrument-trading", text, exchange=exchange, symbols=ended)


def _alarm(exchange: str, symbol: str) -> str:
    return f"instrument:{exchange}:{symbol}"


def _watched(unit: Unit, exchange: str) -> set[str]:
    """Symbols that somebody uses, collects, or was told of, less those that are delisted.

    Asked for by name, a delisted one would have the whole catalogue asked for each time.
    """
    prefix = _alarm(exchange, "")
    told = {name.removeprefix(prefix) for name in unit.system.standing_alarms(prefix)}
    planned = {
        symbol
        for plan in unit.plans.enabled()
        if plan.exchange == exchange
        for symbol in plan.symbols
    }
    watched = _in_use(unit, exchange) | planned | told
    known = {symbol: unit.instruments.find(exchange, symbol) for symbol in watched}
    return {
        symbol
        for symbol, found in known.items()
        if found is None or found.status is not InstrumentStatus.DELISTED
    }


def _in_use(unit: Unit, exchange: str) -> set[str]:
    """Symbols of running instances, live orders and positions."""
    found = {
        symbol
        for row in unit.instances.running()
        if row.exchange == exchange
        for symbol in row.symbols
    }
    for account in unit.accounts.all():
        if account.exchange == exchange:
            found |= {order.symbol for order in unit.orders.live(account.id)}
            positions = unit.ledger.positions_of_account(account.id)
            found |= {row.symbol for row in positions if row.quantity}
    return found
