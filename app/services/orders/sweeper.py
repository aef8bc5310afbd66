"""The sweeper: whatever is not final is driven on, even if every message is lost."""

from __future__ import annotations

from typing import Final

from app.core.orders.types import OrderStatus
from app.core.ports import Clock, Queue
from app.repositories.unit import Units
from app.services.hinting import Hinter, Waiting

# A fresh signal's own message is on its way; sweeping it too would only race.
_SIGNAL_GRACE_MS: Final = 2_000
_TASKS: Final = {
    OrderStatus.NEW: "orders.send",
    OrderStatus.SENDING: "orders.resolve",
    OrderStatus.UNKNOWN: "orders.resolve",
    OrderStatus.PENDING_CANCEL: "orders.cancel",
}


class OrderSweeper:
    """Publishes a hint for each account, signal and order that waits."""

    def __init__(self, units: Units, queue: Queue, clock: Clock) -> None:
        self._units = units
        self._clock = clock
        self._hinter = Hinter(queue, clock)

    def sweep(self) -> int:
        """Publish the hints that are due; how many the queue took."""
        now = self._clock.now_ms()
        with self._units.read() as unit:
            accounts = unit.accounts.distrusted(now)
            opening = unit.accounts.opening(now)
            signals = unit.signals.waiting(now - _SIGNAL_GRACE_MS)
            orders = unit.orders.unsettled(now)
        # First: until they are compared, their orders wait.
        waiting = [
            Waiting("orders.sync_account", row.id, mark=row.sync_not_before + row.epoch)
            for row in accounts
        ]
        waiting += [
            Waiting("orders.open_account", row.id, mark=row.sync_not_before) for row in opening
        ]
        waiting += [Waiting("orders.accept_signal", row.id) for row in signals]
        for row in orders:
            # Each step of an order moves the time before which nothing is done, or its state.
            task = _TASKS[OrderStatus(row.status)]
            waiting.append(Waiting(task, row.order_id, mark=row.updated_at + row.not_before))
        return self._hinter.give(waiting)
