"""The account sweep: what the venue holds against what we hold, by REST.

It repairs what an answer did not carry: fills of resting orders, orders that ended at the
venue, trades that a FILLED order still lacks.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.core.events import body, topic
from app.core.exchanges.errors import VenueError
from app.core.money import canonical
from app.core.orders.state import FINAL, WORKING
from app.core.orders.types import OrderResponse, OrderStatus, VenueFill
from app.core.ports import Ids, MarketClock, TradeAdapter
from app.models import OrderRow
from app.repositories.unit import Unit, Units
from app.services.orders.fills import apply_fills, apply_response
from app.services.orders.ports import TradingDesks

_UNRESOLVED = (OrderStatus.SENDING, OrderStatus.UNKNOWN)


class AccountSync:
    """Compares one account with its venue."""

    def __init__(
        self, units: Units, desks: TradingDesks, market_clock: MarketClock, ids: Ids
    ) -> None:
        self._units = units
        self._desks = desks
        self._market_clock = market_clock
        self._ids = ids

    def sync(self, account_id: str) -> int:
        """Bring working orders and fills up to date; how many fills were new.

        Raises:
            VenueError: the venue could not be asked; nothing was changed by that.
        """
        with self._units.read() as unit:
            account = unit.accounts.get(account_id)
            working = [row for row in unit.orders.live(account_id) if row.status in WORKING]
            cursors = dict(account.trade_cursor)
        # Read before asking: what happens at the venue meanwhile belongs to the next sweep.
        seen_ts = self._market_clock.now_ms(account.exchange)
        new = 0
        if working:
            adapter = self._desks.cancel_desk(account_id).adapter
            symbols = {row.symbol for row in working}
            trades = {symbol: adapter.own_trades(symbol, cursors.get(symbol)) for symbol in symbols}
            for symbol, fills in trades.items():
                new += self._apply_trades(account_id, symbol, fills)
            new += self._end_missing(adapter, working)
        self._units.run(lambda unit: _mark_synced(unit, account_id, seen_ts))
        return new

    def _apply_trades(self, account_id: str, symbol: str, fills: list[VenueFill]) -> int:
        def work(unit: Unit) -> int:
            known: dict[str, OrderRow] = {}
            for venue_id in {fill.venue_order_id for fill in fills}:
                row = unit.orders.of_venue_id(account_id, symbol, venue_id)
                if row is not None:
                    known[row.order_id] = row
            # Every order before any balance, in the order of their ids: whoever holds the
            # balances must not wait for an order whose holder waits for the balances.
            locked = [unit.orders.lock(order_id) for order_id in sorted(known)]
            orders = {row.venue_order_id: row for row in locked}
            # In the venue's order, on which the average price of a position depends.
            new = sum(
                apply_fills(unit, self._ids, orders[fill.venue_order_id], [fill])
                for fill in fills
                if fill.venue_order_id in orders
            )
            _advance_cursor(unit, account_id, symbol, fills)
            return new

        return self._units.run(work)

    def _end_missing(self, adapter: TradeAdapter, working: Iterable[OrderRow]) -> int:
        """Ask for each working order that is no longer open at the venue."""
        open_ids: set[str] = set()
        for symbol in {row.symbol for row in working}:
            open_ids |= {each.client_order_id for each in adapter.open_orders(symbol)}
        new = 0
        for row in working:
            if row.client_order_id in open_ids:
                continue
            with self._units.read() as unit:
                if unit.orders.get(row.order_id).status in FINAL:
                    continue
            try:
                response = adapter.get_order_status(row.symbol, row.client_order_id)
            except VenueError:
                continue  # proves nothing; the next sweep asks again
            if response is not None:
                new += self._apply_word(row.order_id, response)
        return new

    def _apply_word(self, order_id: str, response: OrderResponse) -> int:
        def work(unit: Unit) -> int:
            order = unit.orders.lock(order_id)
            before = order.filled_quantity
            apply_response(unit, self._ids, order, response, "sweep")
            return int(order.filled_quantity > before)

        return self._units.run(work)


def _advance_cursor(unit: Unit, account_id: str, symbol: str, fills: list[VenueFill]) -> None:
    """Remember the last trade id up to which every trade is accounted for.

    A trade of an unknown order may be that of an order which is UNKNOWN here: it must be read
    again. Where there is none such, somebody else traded on the account, and a person is told.
    """
    account = unit.accounts.lock(account_id)
    cursor = account.trade_cursor.get(symbol)
    is_unresolved = any(
        row.symbol == symbol and row.status in _UNRESOLVED for row in unit.orders.live(account_id)
    )
    for fill in fills:
        if unit.orders.of_venue_id(account_id, symbol, fill.venue_order_id) is None:
            if is_unresolved:
                break
            _report_foreign(unit, account_id, fill)
        cursor = fill.trade_id
    if cursor is not None:
        account.trade_cursor = {**account.trade_cursor, symbol: cursor}


def _report_foreign(unit: Unit, account_id: str, fill: VenueFill) -> None:
    unit.emit(
        topic("risk", "alert", "critical"),
        body(
            "alerts.v1",
            kind="foreign-trade",
            text=(
                f"{fill.side} of {canonical(fill.quantity)} {fill.symbol} was not made by "
                f"Tidemark (trade {fill.trade_id}); balances here lack it"
            ),
            account_id=account_id,
            symbol=fill.symbol,
            at=unit.now_ms,
        ),
    )


def _mark_synced(unit: Unit, account_id: str, seen_ts: int) -> None:
    account = unit.accounts.lock(account_id)
    account.synced_ts = max(account.synced_ts, seen_ts)
    for instance in unit.instances.running():
        if instance.account_id == account_id:
            # It may hold back a bar until the fills before it are known.
            unit.enqueue("strategies.evaluate", instance.id)
