"""Collection plans: what to keep complete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import structlog

from app.core.errors import InvalidInput, NameTaken, NotFound
from app.core.market.instruments import InstrumentStatus, InstrumentType
from app.core.market.intervals import interval
from app.core.market.klines import KlineKind
from app.core.ports import Ids, MarketClock
from app.models import CollectionPlanRow
from app.repositories.base import Page
from app.repositories.unit import Unit, Units
from app.services.catalogue import sync_catalogue
from app.services.collection.filling import Markets
from app.services.collection.growing import extend, forget, full
from app.services.collection.plan_checks import check, check_start, check_venue
from app.services.collection.points import Extra
from app.services.collection.selection import Selection
from app.services.collection.skipping import idle_of, skipped
from app.services.collection.unnamed import Unnamed

_log = structlog.get_logger(__name__)
# Symbols that a message names.
_NAMED = 5
# Who asks for "from now on" may have a clock that is ahead of the venue's.
_CLOCKS_DIFFER_MS = 60_000


class Plans:
    """Create, list, enable and delete plans."""

    def __init__(self, units: Units, markets: Markets, market_clock: MarketClock, ids: Ids) -> None:
        self._units = units
        self._markets = markets
        self._market_clock = market_clock
        self._ids = ids

    def create(
        self,
        name: str,
        exchange: str,
        symbols: Sequence[str],
        intervals: Sequence[str],
        since_ms: int,
        *,
        kind: str = KlineKind.TRADE,
        selection: Selection | None = None,
        after: Sequence[str] = (),
        extras: Sequence[str] = (),
        priority: int = 100,
        enabled: bool = True,
    ) -> CollectionPlanRow:
        """Add a plan; its symbols must be in the venue's catalogue, and one of them must trade.

        The others are skipped until they do, see ``skipped``.

        Args:
            since_ms: the first bar to keep opens at or after this time, which has come.
            kind: ``trade``, ``mark`` or ``index``.
            selection: chooses the symbols instead of a list of them.
            after: names of plans whose back-fill of a symbol comes before this one's.
            extras: what is followed beside the bars: ``funding``, ``open_interest:1h``.
            priority: lower is more urgent.

        Raises:
            InvalidInput: no symbols or intervals, too many, a derived interval, symbols beside a
                selection, a start in the future, no symbol that trades, or a circle of ``after``.
            UnknownName: an interval, exchange or symbol that is not known.
            NotFound: a plan in ``after`` that does not exist.
            NameTaken: a plan of that name exists.
            VenueError: the venue had to be asked and could not be.
            Unavailable: the venue's market time is not known.
        """
        names = list(dict.fromkeys(intervals))
        wanted = self._wanted(exchange, symbols, selection)
        check(name, wanted, names, since_ms)
        beside = list(dict.fromkeys(str(Extra.of(text)) for text in extras))
        check_venue(self._markets(exchange).features, exchange, names, kind, beside)
        self.check_since(exchange, since_ms)
        if selection is None:
            self._check_symbols(exchange, wanted)
        row = CollectionPlanRow(
            id=self._ids.new(),
            name=name,
            exchange=exchange,
            symbols=wanted,
            kind=KlineKind(kind).value,
            selection=selection.as_row() if selection is not None else None,
            intervals=names,
            after=list(dict.fromkeys(after)) or None,
            extras=beside or None,
            since_ts=since_ms,
            priority=priority,
            enabled=enabled,
            followed_ts=0,
        )
        return self._units.run(partial(_added, row=row))

    def collecting(
        self, exchange: str, symbols: Sequence[str], interval_name: str, kind: str, since_ms: int
    ) -> CollectionPlanRow:
        """The plan of symbols that are collected without naming one, made if there is none.

        One that begins later is moved back to ``since_ms``; its jobs and its bars stay.

        Raises:
            InvalidInput, UnknownName, NameTaken, VenueError, Unavailable: see ``create``.
        """
        of = KlineKind(kind)
        wanted = Unnamed(exchange, frozenset(symbols), interval(interval_name).name, of.value)
        with self._units.read() as unit:
            held = {name: unit.plans.named(name) for name in (*wanted.older_names, *wanted.names)}
        known = next((row for row in held.values() if row and wanted.is_of(row)), None)
        if known is not None:
            return self.begin_at(known.id, since_ms)
        # A user's own plan may have the first name.
        name = next((name for name in wanted.names if held[name] is None), wanted.names[-1])
        return self.create(name, exchange, symbols, [wanted.interval], since_ms, kind=of)

    def begin_at(self, plan_id: str, since_ms: int) -> CollectionPlanRow:
        """Have a plan reach back to ``since_ms``; one that begins earlier already stays so.

        Raises:
            NotFound: there is none of that id.
            InvalidInput: the start is before 1970, or in the future.
            Unavailable: the venue's market time is not known.
        """
        check_start(since_ms)
        self.check_since(self.get(plan_id).exchange, since_ms)

        def work(unit: Unit) -> CollectionPlanRow:
            row = unit.plans.lock(plan_id)
            if since_ms < row.since_ts:
                row.since_ts, row.updated_at = since_ms, unit.now_ms
            return row

        return self._units.run(work)

    def _wanted(
        self, exchange: str, symbols: Sequence[str], selection: Selection | None
    ) -> list[str]:
        if selection is None:
            return list(dict.fromkeys(symbols))
        if symbols:
            raise InvalidInput("name symbols, or a pattern and a top, not both")
        sync_catalogue(self._units, self._markets(exchange), self._ids)
        return self._choose(exchange, selection)

    def check_since(self, exchange: str, since_ms: int) -> None:
        """Refuse a start in the venue's future: nothing would be collected, and nobody told.

        Raises:
            InvalidInput: it is later than now.
            Unavailable: the venue's market time is not known.
        """
        now = self._market_clock.now_ms(exchange)
        if since_ms > now + _CLOCKS_DIFFER_MS:
            raise InvalidInput(
                f"a plan begins now or earlier: {_utc(since_ms)} is in the future of "
                f"{exchange}, where it is {_utc(now)}",
                code="future-start",
            )

    def page(self, limit: int, cursor: str | None = None) -> Page[CollectionPlanRow]:
        """Plans, newest first."""
        with self._units.read() as unit:
            return unit.plans.page(limit, cursor)

    def get(self, plan_id: str) -> CollectionPlanRow:
        """The plan.

        Raises:
            NotFound: there is none of that id.
        """
        with self._units.read() as unit:
            return unit.plans.get(plan_id)

    def skipped(self, plans: Sequence[CollectionPlanRow]) -> dict[str, dict[str, str]]:
        """By the id of each plan, its symbols that do not trade now, and the reason."""
        with self._units.read() as unit:
            return skipped(unit, plans)

    def full(self, plans: Sequence[CollectionPlanRow]) -> dict[str, str]:
        """By the id of each plan that is full and leaves out symbols it chooses, what to do."""
        with self._units.read() as unit:
            return full(unit, plans)

    def named(self, name: str) -> CollectionPlanRow | None:
        """The plan of that name, or None."""
        with self._units.read() as unit:
            return unit.plans.named(name)

    def enable(self, plan_id: str, enabled: bool) -> CollectionPlanRow:
        """Switch a plan on or off; jobs under way end at their next slice when it is off.

        Raises:
            NotFound: there is none of that id.
        """

        def work(unit: Unit) -> CollectionPlanRow:
            row = unit.plans.lock(plan_id)
            row.enabled, row.updated_at = enabled, unit.now_ms
            return row

        return self._units.run(work)

    def delete(self, plan_id: str) -> None:
        """Delete a plan; what it collected stays.

        Raises:
            NotFound: there is none of that id.
        """

        def work(unit: Unit) -> None:
            unit.plans.lock(plan_id)
            unit.plans.delete(plan_id)
            forget(unit, plan_id)

        self._units.run(work)

    def choose_again(self, exchange: str) -> dict[str, list[str]]:
        """Bring new listings into the enabled plans of a venue that choose their symbols.

        The whole catalogue is asked for, so that a delisted symbol that is back is known too.

        Returns:
            The symbols that came in, by the name of the plan.

        Raises:
            UnknownName: the venue is not set up.
            VenueError: it could not be asked.
        """
        with self._units.read() as unit:
            plans = [plan for plan in unit.plans.enabled() if plan.exchange == exchange]
        if plans:
            sync_catalogue(self._units, self._markets(exchange), self._ids)
        came: dict[str, list[str]] = {}
        for plan in plans:
            if plan.selection and (new := self._chosen_again(plan)):
                came[plan.name] = new
        return came

    def _chosen_again(self, plan: CollectionPlanRow) -> list[str]:
        """What comes into a plan that chooses its symbols; nothing where it cannot choose now.

        A quote asset that is halted as a whole, or a second one that a pattern matches by now, is
        no reason for the venue's other plans to get no new listing.
        """
        try:
            chosen = self._choose(plan.exchange, Selection.of(plan.selection or {}))
            return self._units.run(partial(extend, plan_id=plan.id, chosen=chosen))
        except (InvalidInput, NotFound) as error:
            _log.warning("symbols_not_chosen", plan=plan.name, why=error.message)
            return []

    def choosing(self) -> list[str]:
        """Venues with enabled plans that choose their symbols, or name one that is delisted.

        Nobody asks for a delisted symbol by its name: all of the catalogue would be refused.
        """
        with self._units.read() as unit:
            plans = unit.plans.enabled()
            idle = idle_of(unit, plans)
        gone = {venue for (venue, _), status in idle.items() if status is InstrumentStatus.DELISTED}
        return sorted({plan.exchange for plan in plans if plan.selection} | gone)

    def _choose(self, exchange: str, selection: Selection) -> list[str]:
        """Symbols of the catalogue as it is known."""
        top = selection.top
        turnover = self._markets(exchange).turnover() if top is not None else {}
        with self._units.read() as unit:
            chosen = selection.choose(unit.instruments.of_exchange(exchange), turnover)
        if not chosen:
            raise InvalidInput(
                f"nothing that {exchange} trades matches {selection.pattern}; "
                "symbols look like BTC/USDT"
            )
        return chosen

    def _check_symbols(self, exchange: str, symbols: Sequence[str]) -> None:
        with self._units.read() as unit:
            known = unit.instruments.count(exchange)
            idle = unit.instruments.not_trading(exchange, symbols)
        if not known or idle:
            # Of symbols that nobody has used so far the catalogue may be old.
            sync_catalogue(self._units, self._markets(exchange), self._ids)
        with self._units.read() as unit:
            for symbol in symbols:
                unit.instruments.get(exchange, symbol)
            idle = unit.instruments.not_trading(exchange, symbols)
        if len(idle) == len(symbols):
            named = ", ".join(f"{symbol} ({idle[symbol]})" for symbol in symbols[:_NAMED])
            raise InvalidInput(
                f"{exchange} trades none of these symbols now: {named}; name one that trades, "
                "see: tidemark data symbols",
                code="not-trading",
            )


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _added(unit: Unit, row: CollectionPlanRow) -> CollectionPlanRow:
    if unit.plans.named(row.name) is not None:
        raise NameTaken(
            f"a collection plan named {row.name!r} exists already; choose another name, see: "
            "tidemark data plans list"
        )
    if row.extras:
        _check_swaps(unit, row.exchange, row.symbols)
    for before in row.after or ():
        if unit.plans.named(before) is None:
            raise NotFound(f"no collection plan is named {before[:64]!r}")
        if row.name in _all_before(unit, before):
            raise InvalidInput(
                f"{row.name} would wait for itself: {before} comes after it; leave {before} out "
                "of what it is after, or give it another name",
                code="plans-in-a-circle",
            )
    row.created_at = row.updated_at = unit.now_ms
    return unit.plans.add(row)


def _all_before(unit: Unit, name: str) -> set[str]:
    """The names of all that a plan is after, one behind the other; some may be of none by now."""
    found: set[str] = set()
    names = [name]
    while names:
        plan = unit.plans.named(names.pop())
        new = set((plan.after if plan is not None else None) or ()) - found
        found |= new
        names += new
    return found


def _check_swaps(unit: Unit, exchange: str, symbols: Sequence[str]) -> None:
    for symbol in symbols:
        if unit.instruments.get(exchange, symbol).type is not InstrumentType.SWAP:
            raise InvalidInput(
                f"{symbol} is no perpetual: funding and open interest are of symbols like "
                "BTC/USDT:USDT"
            )
