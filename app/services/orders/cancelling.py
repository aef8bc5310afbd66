"""Cancels. They pass every halt and limit, and keep their own share of the request budget."""

from __future__ import annotations

from contextlib import suppress

from app.core.errors import Conflict, TidemarkError
from app.core.exchanges.errors import OrderNotKnown, VenueKeyRefused
from app.core.orders.state import FINAL, WORKING
from app.core.orders.types import OrderResponse, OrderStatus
from app.core.ports import Clock, Ids
from app.models import OrderRow
from app.repositories.unit import Unit, Units
from app.services.orders.fills import apply_answer
from app.services.orders.keys import HALTED, HALTED_PAUSE_MS, halt_for_key
from app.services.orders.ports import OrderTiming, TradingDesks
from app.services.orders.records import move, note


def request_cancel(unit: Unit, order_id: str) -> OrderRow:
    """Note that an order is to be cancelled; what is not yet sent ends here.

    An order whose outcome is unknown keeps the wish: the resolver acts on it.
    """
    order = unit.orders.lock(order_id)
    status = OrderStatus(order.status)
    if status in FINAL or order.cancel_requested:
        return order
    order.cancel_requested = True
    if status is OrderStatus.NEW:
        move(unit, order, OrderStatus.CANCELLED, "cancelled_before_send")
    elif status in WORKING:
        move(unit, order, OrderStatus.PENDING_CANCEL, "cancel_requested")
        unit.enqueue("orders.cancel", order_id)
    else:
        note(unit, order, "cancel_requested", status)
    return order


class OrderCanceller:
    """Takes orders back from the venue."""

    def __init__(
        self, units: Units, desks: TradingDesks, clock: Clock, ids: Ids, timing: OrderTiming
    ) -> None:
        self._units = units
        self._desks = desks
        self._clock = clock
        self._ids = ids
        self._timing = timing

    def request(self, order_id: str) -> OrderRow:
        """Ask for an order to be cancelled.

        Raises:
            NotFound: no such order.
            Conflict: it has ended already, or it was placed outside Tidemark.
        """

        def work(unit: Unit) -> OrderRow:
            order = unit.orders.get(order_id)
            if order.status in FINAL:
                raise Conflict(
                    f"order {order_id} is {order.status} and cannot be cancelled",
                    code="already-terminal",
                )
            if unit.instances.get(order.instance_id).kind == "external":
                raise Conflict(
                    f"order {order_id} was placed outside Tidemark, which leaves it alone; "
                    "cancel it where it was placed",
                    code="not-ours",
                )
            return request_cancel(unit, order_id)

        return self._units.run(work)

    def cancel(self, order_id: str) -> OrderStatus:
        """Send the cancel of an order that awaits one; its status afterwards."""
        with self._units.read() as unit:
            order = unit.orders.get(order_id)
            is_halted = unit.accounts.get(order.account_id).status == HALTED
        if order.status != OrderStatus.PENDING_CANCEL:
            return OrderStatus(order.status)
        if order.not_before > self._clock.now_ms():
            return OrderStatus.PENDING_CANCEL
        if is_halted:
            return self._again_later(order_id, "the account's key was refused", HALTED_PAUSE_MS)
        try:
            response = self._take_back(order)
        except VenueKeyRefused as error:
            refusal = error
            self._units.run(lambda unit: halt_for_key(unit, order.account_id, refusal))
            return self._again_later(order_id, error.message, HALTED_PAUSE_MS)
        except TidemarkError as error:
            return self._again_later(order_id, error.message)
        return self._units.run(lambda unit: self._record(unit, order_id, response))

    def _take_back(self, order: OrderRow) -> OrderResponse | None:
        """The order as the venue holds it after the cancel; None where it is not known.

        Whatever the cancel answers, the order is then asked for: a fill may have won the race.
        """
        adapter = self._desks.cancel_desk(order.account_id).adapter
        # Not known: it ended before the cancel arrived, and the query below says how.
        with suppress(OrderNotKnown):
            adapter.cancel_order(order.symbol, order.client_order_id)
        return adapter.get_order_status(order.symbol, order.client_order_id)

    def _record(self, unit: Unit, order_id: str, response: OrderResponse | None) -> OrderStatus:
        order = unit.orders.lock(order_id)
        if response is None:
            # Acknowledged once and now not known: queries may lag. Ask again, never guess.
            order.not_before = unit.now_ms + self._patience(unit, order)
            return OrderStatus(order.status)
        apply_answer(unit, self._ids, order, response, "cancel")
        if order.status == OrderStatus.PENDING_CANCEL:
            order.not_before = unit.now_ms + self._patience(unit, order)
        return OrderStatus(order.status)

    def _again_later(self, order_id: str, why: str, pause_ms: int = 0) -> OrderStatus:
        def postpone(unit: Unit) -> OrderStatus:
            order = unit.orders.lock(order_id)
            if order.status == OrderStatus.PENDING_CANCEL:
                order.not_before = unit.now_ms + (pause_ms or self._patience(unit, order))
                order.reason = why[:300]
            return OrderStatus(order.status)

        return self._units.run(postpone)

    def _patience(self, unit: Unit, order: OrderRow) -> int:
        return self._timing.patience_ms(unit.now_ms - order.updated_at)
