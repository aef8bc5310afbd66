"""The account sweep: what the venue holds against what we hold, by REST.

Every few seconds the trades of working orders are read and orders that are open no more are
asked for. At least every 30 s, and always before the first order after a start, everything is
compared: open orders, fills, balances. What others did is adopted into ``external``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from app.core.errors import Unavailable
from app.core.exchanges.errors import VenueError, VenueKeyRefused
from app.core.money import canonical
from app.core.orders.state import FINAL, WORKING
from app.core.orders.types import OrderResponse, OrderStatus
from app.core.portfolio.comparison import differences
from app.core.ports import Ids, MarketClock, TradeAdapter
from app.models import AccountRow, OrderRow
from app.repositories.unit import Unit, Units
from app.services.alarms import tell_alarm
from app.services.orders.comparing import (
    Comparison,
    Cut,
    Outcome,
    cut,
    suspected_symbols,
    symbols_of_interest,
    totals_of,
)
from app.services.orders.fills import apply_response
from app.services.orders.keys import halt_for_key
from app.services.orders.ports import OrderTiming, TradingDesks
from app.services.orders.records import move
from app.services.orders.trades import TradeReader
from app.services.orders.trust import (
    is_trusted,
    record_failure,
    record_sight,
    release_held,
)
from app.services.orders.vanishing import Absences

#: Open orders, balances and trades of one account cost about 150 of a minute's 6,000: twice a
#: minute is 5 % of the budget, and finds a difference within the 30 s that are promised.
_FULL_EVERY_MS: Final = 30_000
# How often one visit compares again when the record moved under it.
_ROUNDS: Final = 3


@dataclass(slots=True)
class _Visit:
    """One look at one account.

    Attributes:
        new: fills that were new.
        foreign: symbols with trades of orders that we do not know.
    """

    account: AccountRow
    adapter: TradeAdapter
    comparison: Comparison
    new: int = 0
    foreign: set[str] = field(default_factory=set)


class AccountSync:
    """Compares one account with its venue."""

    def __init__(
        self,
        units: Units,
        desks: TradingDesks,
        market_clock: MarketClock,
        ids: Ids,
        timing: OrderTiming,
    ) -> None:
        self._units = units
        self._desks = desks
        self._market_clock = market_clock
        self._ids = ids
        self._timing = timing
        self._trades = TradeReader(units, ids)
        self._absences = Absences()

    def sync(self, account_id: str) -> int:
        """Bring working orders and fills up to date, and compare all where it is due; how many
        fills were new.

        A venue that cannot be asked changes nothing but the account's ``sync_error``.
        """
        with self._units.read() as unit:
            account = unit.accounts.get(account_id)
            now = unit.now_ms
            locks = frozenset(row.id for row in unit.risk.locks_in_force(account_id))
            is_due = self._is_due(account, now) or any(
                row.explained for row in unit.risk.locks_in_force(account_id)
            )
        if account.status != "active" or now < account.sync_not_before:
            return 0
        try:
            # First: an account whose venue is not configured asks for nothing.
            adapter = self._desks.cancel_desk(account_id).adapter
            # Read before asking: what happens at the venue meanwhile belongs to the next sweep.
            seen_ts = self._market_clock.now_ms(account.exchange)
            comparison = Comparison(account_id, account.epoch, locks, self._timing.settle_ms)
            visit = _Visit(account, adapter, comparison)
            has_asked = self._compare(visit) if is_due else self._sweep(visit)
        except VenueKeyRefused as error:
            refusal = error
            self._units.run(lambda unit: halt_for_key(unit, account_id, refusal))
            return 0
        except (VenueError, Unavailable) as error:
            failure = error
            self._units.run(lambda unit: record_failure(unit, account_id, failure))
            return 0
        self._units.run(lambda unit: _mark_synced(unit, account_id, seen_ts, has_asked))
        if not is_trusted(account):
            self._units.run(lambda unit: release_held(unit, account_id))
        return visit.new

    def _is_due(self, account: AccountRow, now: int) -> bool:
        return (
            not is_trusted(account)
            or bool(account.suspects)
            or now - account.reconciled_at >= _FULL_EVERY_MS
        )

    # -- between comparisons -------------------------------------------------------------

    def _sweep(self, visit: _Visit) -> bool:
        """Look after working orders only; whether the venue was asked."""
        working = self._working(visit)
        if not working:
            return False
        self._read(visit, {row.symbol for row in working})
        if visit.foreign:
            return self._compare(visit)
        open_ids: set[str] = set()
        for symbol in {row.symbol for row in working}:
            open_ids |= {each.venue_order_id for each in visit.adapter.open_orders(symbol)}
        self._end_missing(visit, working, open_ids, give_way=True)
        return True

    # -- everything ----------------------------------------------------------------------

    def _compare(self, visit: _Visit) -> bool:
        """Compare open orders, fills and balances; True."""
        working = self._working(visit)
        open_orders = visit.adapter.open_orders()
        wanted = {row.symbol for row in working} | {each.symbol for each in open_orders}
        if not is_trusted(visit.account):
            wanted |= self._symbols_of_interest(visit)
        self._read(visit, wanted)
        self._adopt(visit)
        self._trades.adopt_open(visit.adapter, visit.account.id, open_orders)
        open_ids = {each.venue_order_id for each in open_orders}
        self._end_missing(visit, working, open_ids, give_way=False)
        for _ in range(_ROUNDS):
            if self._compare_totals(visit) is not Outcome.MOVED:
                break
        return True

    def _compare_totals(self, visit: _Visit) -> Outcome:
        account_id = visit.account.id
        before = self._cut(account_id)
        if before.in_flight:
            return Outcome.OPEN
        theirs = totals_of(visit.adapter.get_balance())
        found = differences(before.totals, theirs)
        wanted = {row.symbol for row in self._working(visit)}
        if found:
            wanted |= self._suspected(visit, found, {*before.totals, *theirs})
        fresh = self._read(visit, wanted) + self._adopt(visit)
        if fresh or not before.stood_still(self._cut(account_id)):
            return Outcome.MOVED
        return self._units.run(
            lambda unit: visit.comparison.conclude(unit, self._ids, before, theirs)
        )

    def _cut(self, account_id: str) -> Cut:
        with self._units.read() as unit:
            return cut(unit, account_id)

    def _symbols_of_interest(self, visit: _Visit) -> set[str]:
        with self._units.read() as unit:
            return symbols_of_interest(unit, unit.accounts.get(visit.account.id))

    def _suspected(self, visit: _Visit, found: Collection[str], held: Collection[str]) -> set[str]:
        with self._units.read() as unit:
            account = unit.accounts.get(visit.account.id)
            return set(suspected_symbols(unit, account, found, held))

    # -- trades and orders ---------------------------------------------------------------

    def _working(self, visit: _Visit) -> list[OrderRow]:
        with self._units.read() as unit:
            return [row for row in unit.orders.live(visit.account.id) if row.status in WORKING]

    def _read(self, visit: _Visit, symbols: Collection[str]) -> int:
        """Read and apply the trades of symbols; how many fills of known orders were new."""
        new = 0
        for symbol in sorted(symbols):
            found = self._trades.read(visit.adapter, visit.account.id, symbol)
            new += found.new
            if found.is_foreign:
                visit.foreign.add(symbol)
        visit.new += new
        return new

    def _adopt(self, visit: _Visit) -> int:
        """Adopt the trades of orders that we do not know; how many there were."""
        adopted = 0
        while visit.foreign:
            symbol = visit.foreign.pop()
            adopted += self._trades.adopt(visit.adapter, visit.account.id, symbol)
        return adopted

    def _end_missing(
        self, visit: _Visit, working: Iterable[OrderRow], open_ids: set[str], *, give_way: bool
    ) -> None:
        """Ask for each working order that is no longer open at the venue.

        Args:
            give_way: one order that cannot be asked for does not hold up the others.
        """
        for row in working:
            if row.venue_order_id in open_ids:
                self._absences.forget(row.order_id)
                continue
            with self._units.read() as unit:
                if unit.orders.get(row.order_id).status in FINAL:
                    continue
            try:
                response = visit.adapter.get_order_status(row.symbol, row.client_order_id)
            except VenueError:
                if give_way:
                    continue  # proves nothing; the next sweep asks again
                raise
            visit.new += self._units.run(partial(self._apply_word, row.order_id, response))

    def _apply_word(self, order_id: str, response: OrderResponse | None, unit: Unit) -> int:
        order = unit.orders.lock(order_id)
        before = order.filled_quantity
        if response is not None and response.venue_order_id == order.venue_order_id:
            self._absences.forget(order_id)
            apply_response(unit, self._ids, order, response, "sweep")
        elif order.tag == "external" and self._is_gone(unit, order):
            # Not open, and not known by its id, which others may use again: it has ended.
            move(unit, order, OrderStatus.CANCELLED, "venue", reason="open no more")
        elif order.status in WORKING and self._absences.has_ended(order_id, unit.now_ms):
            self._absences.forget(order_id)
            _give_up(unit, order)
        return int(order.filled_quantity > before)

    def _is_gone(self, unit: Unit, order: OrderRow) -> bool:
        external = unit.instances.builtin(order.account_id, "external").id
        settled = unit.now_ms - order.updated_at >= self._timing.settle_ms
        return order.instance_id == external and order.status in WORKING and settled


def _give_up(unit: Unit, order: OrderRow) -> None:
    move(unit, order, OrderStatus.CANCELLED, "venue", reason="the venue does not know it any more")
    tell_alarm(
        unit,
        "warning",
        "order-vanished",
        f"{order.exchange} has not known the order {order.client_order_id} for ten minutes: it is "
        f"taken as cancelled, with {canonical(order.filled_quantity)} of "
        f"{canonical(order.quantity)} {order.symbol} filled; look at the venue what became of it",
        account_id=order.account_id,
        order_id=order.order_id,
    )


def _mark_synced(unit: Unit, account_id: str, seen_ts: int, has_asked: bool) -> None:
    account = unit.accounts.lock(account_id)
    account.synced_ts = max(account.synced_ts, seen_ts)
    if has_asked:
        record_sight(account)
    resting = {order.instance_id for order in unit.orders.live(account_id)}
    for instance in unit.instances.running():
        if instance.id in resting:
            # It may hold back a bar until the fills before it are known. One whose orders have
            # ended was hinted by their events.
            unit.enqueue("strategies.evaluate", instance.id)
