"""Finding out what became of an order whose outcome is not known.

"Not found" is proof only when the query itself succeeded, and only after the request can no
longer be accepted (request timestamp + recvWindow) and the venue's queries have caught up
(settle). A failed query never counts.
"""

from __future__ import annotations

from app.core.errors import TidemarkError
from app.core.exchanges.errors import VenueKeyRefused
from app.core.orders.types import OrderResponse, OrderStatus
from app.core.ports import Clock, Ids, MarketClock
from app.models import OrderRow
from app.repositories.unit import Unit, Units
from app.services.orders.fills import apply_answer
from app.services.orders.keys import HALTED, HALTED_PAUSE_MS, halt_for_key
from app.services.orders.ports import OrderTiming, TradingDesk, TradingDesks
from app.services.orders.records import move

_UNRESOLVED = (OrderStatus.SENDING, OrderStatus.UNKNOWN)


class OrderResolver:
    """Resolves UNKNOWN orders, and SENDING ones whose sender is gone."""

    def __init__(
        self,
        units: Units,
        desks: TradingDesks,
        clock: Clock,
        market_clock: MarketClock,
        ids: Ids,
        timing: OrderTiming,
    ) -> None:
        self._units = units
        self._desks = desks
        self._clock = clock
        self._market_clock = market_clock
        self._ids = ids
        self._timing = timing

    def resolve(self, order_id: str) -> OrderStatus:
        """Ask the venue about an order if its time has come; its status afterwards."""
        with self._units.read() as unit:
            order = unit.orders.get(order_id)
            is_halted = unit.accounts.get(order.account_id).status == HALTED
        if order.status not in _UNRESOLVED or self._clock.now_ms() < order.not_before:
            return OrderStatus(order.status)
        if is_halted:
            return self._again_later(order, "the account's key was refused", HALTED_PAUSE_MS)
        try:
            desk = self._desks.cancel_desk(order.account_id)
            market_now = self._market_clock.now_ms(order.exchange)
            # Judged before the query: what the venue could still accept later is not absent yet.
            settled = self._settled(order, desk)
            response = self._lookup(desk, order)
        except TidemarkError as error:
            return self._failed(order, error)
        if response is not None:
            return self._units.run(lambda unit: self._found(unit, order, response))
        if not settled:
            return self._again_later(order, "not found yet; it may still arrive")
        return self._units.run(lambda unit: self._absent(unit, order, market_now))

    def _failed(self, order: OrderRow, error: TidemarkError) -> OrderStatus:
        """The query failed, which proves nothing of the order."""
        if not isinstance(error, VenueKeyRefused):
            return self._again_later(order, error.message)
        self._units.run(lambda unit: halt_for_key(unit, order.account_id, error))
        return self._again_later(order, error.message, HALTED_PAUSE_MS)

    def _settled(self, order: OrderRow, desk: TradingDesk) -> bool:
        """Whether the venue can neither accept the request any more nor hide its order.

        The request timestamp is in the venue's time, so this is judged by the venue's clock.
        """
        if order.request_ts is None:
            return False
        horizon = order.request_ts + order.recv_window_ms + self._timing.settle_ms
        return desk.venue_ms() > horizon

    def _lookup(self, desk: TradingDesk, order: OrderRow) -> OrderResponse | None:
        """The order by client id, else among the open ones; with its trades."""
        adapter = desk.adapter
        found = adapter.get_order_status(order.symbol, order.client_order_id)
        if found is None:
            found = next(
                (
                    each
                    for each in adapter.open_orders(order.symbol)
                    if each.client_order_id == order.client_order_id
                ),
                None,
            )
        return found

    def _found(self, unit: Unit, order: OrderRow, response: OrderResponse) -> OrderStatus:
        row = unit.orders.lock(order.order_id)
        apply_answer(unit, self._ids, row, response, "query")
        return OrderStatus(row.status)

    def _absent(self, unit: Unit, order: OrderRow, market_now: int) -> OrderStatus:
        row = unit.orders.lock(order.order_id)
        if row.status not in _UNRESOLVED or row.attempt != order.attempt:
            return OrderStatus(row.status)
        if row.cancel_requested:
            move(unit, row, OrderStatus.CANCELLED, "absent", reason="absent, and cancelled")
        elif market_now > row.valid_until:
            move(unit, row, OrderStatus.EXPIRED, "absent", reason="absent, and too old to resend")
        elif row.attempt >= self._timing.max_attempts:
            move(unit, row, OrderStatus.EXPIRED, "absent", reason="absent after every attempt")
        else:
            move(unit, row, OrderStatus.NEW, "absent", reason="proven absent; to be sent again")
            unit.enqueue("orders.send", row.order_id)
        return OrderStatus(row.status)

    def _again_later(self, order: OrderRow, why: str, pause_ms: int = 0) -> OrderStatus:
        def postpone(unit: Unit) -> OrderStatus:
            row = unit.orders.lock(order.order_id)
            if row.status in _UNRESOLVED and row.attempt == order.attempt:
                if row.status == OrderStatus.SENDING:
                    move(unit, row, OrderStatus.UNKNOWN, "unknown", reason="its sender is gone")
                open_for = unit.now_ms - row.updated_at
                row.not_before = unit.now_ms + (pause_ms or self._timing.patience_ms(open_for))
                row.reason = why[:300]
            return OrderStatus(row.status)

        return self._units.run(postpone)
