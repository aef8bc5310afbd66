"""Reading an account's trades from its venue, and finding those that are not ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import partial

from app.core.orders.types import OrderResponse, OrderStatus, VenueFill
from app.core.ports import Ids, TradeAdapter
from app.repositories.unit import Unit, Units
from app.services.orders.adopting import adopt_open_order, adopt_trades
from app.services.orders.fills import apply_fills

_UNRESOLVED = (OrderStatus.SENDING, OrderStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Found:
    """What the trades of one symbol held.

    Attributes:
        new: fills of known orders that were not applied before.
        is_foreign: there are trades of orders that nobody here has placed.
    """

    new: int
    is_foreign: bool


class TradeReader:
    """Reads own trades from behind the cursor of each symbol."""

    def __init__(self, units: Units, ids: Ids) -> None:
        self._units = units
        self._ids = ids

    def read(self, adapter: TradeAdapter, account_id: str, symbol: str) -> Found:
        """Apply the trades of orders that we know.

        Raises:
            VenueError: the trades could not be read; nothing was changed.
        """
        fills = adapter.own_trades(symbol, self._cursor(account_id, symbol))
        if not fills:
            return Found(0, False)
        return self._units.run(lambda unit: self._apply(unit, account_id, symbol, fills))

    def adopt_open(
        self, adapter: TradeAdapter, account_id: str, orders: Sequence[OrderResponse]
    ) -> None:
        """Adopt the open orders that nobody here has placed.

        Raises:
            VenueError: what one of them has filled could not be read; it is adopted later.
        """
        for order in orders:
            with self._units.read() as unit:
                if _is_known(unit, account_id, order):
                    continue
            # From the first trade on: its fills may lie behind the cursor, in the opening.
            fills = adapter.own_trades(order.symbol, None) if order.filled_quantity else []
            self._units.run(partial(self._adopt_open, account_id, order, fills))

    def adopt(self, adapter: TradeAdapter, account_id: str, symbol: str) -> int:
        """Adopt every trade of a symbol whose order is not known; how many orders.

        The open orders are asked for after the trades: an order that is not among them has
        ended, and has no more trades than these (but for a lag, which later trades mend).

        Raises:
            VenueError: trades or orders could not be read; nothing was changed.
        """
        fills = adapter.own_trades(symbol, self._cursor(account_id, symbol))
        still_open = {each.venue_order_id: each for each in adapter.open_orders(symbol)}
        return self._units.run(
            lambda unit: self._adopt(unit, account_id, symbol, fills, still_open)
        )

    def _cursor(self, account_id: str, symbol: str) -> str | None:
        with self._units.read() as unit:
            return unit.accounts.get(account_id).trade_cursor.get(symbol)

    def _apply(self, unit: Unit, account_id: str, symbol: str, fills: Sequence[VenueFill]) -> Found:
        # First this, then the look for the orders: one that was SENDING a moment ago and is
        # recorded in between counts as unresolved, and its trades are read again.
        is_unresolved = self._is_unresolved(unit, account_id, symbol)
        found = unit.orders.of_venue_ids(account_id, symbol, {f.venue_order_id for f in fills})
        known = {str(row.venue_order_id): row for row in found}
        opened_ts = unit.accounts.look(account_id).opened_ts
        # Most trades came with the answer to their order: two questions for all of them spare a
        # busy account, half a minute of whose trades may be hundreds, a lock for each.
        applied = unit.ledger.trades_of([row.order_id for row in found])
        lacking = {
            row.order_id
            for fill in fills
            if (row := known.get(fill.venue_order_id)) is not None
            and (row.order_id, fill.trade_id) not in applied
        }
        # Every order before any balance, in the order of their ids: whoever holds the
        # balances must not wait for an order whose holder waits for the balances.
        orders = {row.venue_order_id: row for row in map(unit.orders.lock, sorted(lacking))}
        # In the venue's order, on which the average price of a position depends.
        new = sum(
            apply_fills(unit, self._ids, orders[fill.venue_order_id], [fill])
            for fill in fills
            if fill.venue_order_id in orders and fill.timestamp >= opened_ts
        )
        stopped = _advance(unit, account_id, symbol, fills, known)
        return Found(new, stopped and not is_unresolved)

    def _is_unresolved(self, unit: Unit, account_id: str, symbol: str) -> bool:
        return any(
            row.symbol == symbol and row.status in _UNRESOLVED
            for row in unit.orders.live(account_id)
        )

    def _adopt(
        self,
        unit: Unit,
        account_id: str,
        symbol: str,
        fills: Sequence[VenueFill],
        still_open: dict[str, OrderResponse],
    ) -> int:
        # Before the look at the orders: what is settled now is found by it.
        if self._is_unresolved(unit, account_id, symbol):
            return 0
        account = unit.accounts.get(account_id)
        by_order: dict[str, list[VenueFill]] = defaultdict(list)
        for fill in fills:
            by_order[fill.venue_order_id].append(fill)
        adopted = 0
        for venue_id, own in by_order.items():
            if unit.orders.of_venue_id(account_id, symbol, venue_id) is not None:
                continue
            if venue_id in still_open:
                self._adopt_open(account_id, still_open[venue_id], own, unit)
                adopted += 1
            elif adopt_trades(unit, self._ids, account, own) is not None:
                adopted += 1
        self._apply(unit, account_id, symbol, fills)
        return adopted

    def _adopt_open(
        self,
        account_id: str,
        order: OrderResponse,
        fills: Sequence[VenueFill],
        unit: Unit,
    ) -> None:
        account = unit.accounts.get(account_id)
        if not _is_known(unit, account_id, order):
            adopt_open_order(unit, self._ids, account, order, fills)


def _advance(
    unit: Unit,
    account_id: str,
    symbol: str,
    fills: Sequence[VenueFill],
    applied: Container[str],
) -> bool:
    """Move the cursor behind the last trade up to which all are applied; whether one of an
    unknown order stopped it.

    It may be the trade of an order which is UNKNOWN here, or somebody else's.

    Args:
        applied: venue ids of the orders that this very transaction has seen, and whose trades
            are applied by now. To look for them again would find an order that was recorded
            since, and pass its trade.
    """
    account = unit.accounts.lock(account_id)
    cursor = known = account.trade_cursor.get(symbol)
    stopped = False
    for fill in fills:
        if fill.venue_order_id not in applied and fill.timestamp >= account.opened_ts:
            stopped = True
            break
        cursor = fill.trade_id
    # Another sweep may have gone further with a later answer.
    if cursor is not None and cursor != known and _is_later(cursor, known):
        account.trade_cursor = {**account.trade_cursor, symbol: cursor}
    return stopped


def _is_later(cursor: str, known: str | None) -> bool:
    """Whether a cursor is behind another; ids of one venue ascend as numbers, or as text."""
    if known is None:
        return True
    if cursor.isdigit() and known.isdigit():
        return int(cursor) > int(known)
    return cursor > known


def _is_known(unit: Unit, account_id: str, order: OrderResponse) -> bool:
    """Whether an order at the venue is in our record.

    By the venue's id, or by our own: its row is committed before it is sent, so an order that is
    seen here and not there is nobody's of ours.
    """
    if unit.orders.of_venue_id(account_id, order.symbol, order.venue_order_id) is not None:
        return True
    row = unit.orders.of_client_id(account_id, order.client_order_id)
    # A stranger may use an id again that an adopted order had; ours is ours while it may live.
    return row is not None and row.symbol == order.symbol and row.venue_order_id is None
