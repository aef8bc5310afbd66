"""The sweeper: whatever is not final is driven on, even if every message is lost."""

from __future__ import annotations

from app.core.orders.types import OrderStatus
from app.core.ports import Clock, Queue
from app.repositories.unit import Units

# A fresh signal's own message is on its way; sweeping it too would only race.
_SIGNAL_GRACE_MS = 2_000
_TASKS = {
    OrderStatus.NEW: "orders.send",
    OrderStatus.SENDING: "orders.resolve",
    OrderStatus.UNKNOWN: "orders.resolve",
    OrderStatus.PENDING_CANCEL: "orders.cancel",
}


class OrderSweeper:
    """Publishes a hint for each account, signal and order that waits."""

    def __init__(self, units: Units, queue: Queue, clock: Clock) -> None:
        self._units = units
        self._queue = queue
        self._clock = clock

    def sweep(self) -> int:
        """Publish the hints that are due; how many."""
        now = self._clock.now_ms()
        with self._units.read() as unit:
            accounts = [row.id for row in unit.accounts.distrusted(now)]
            signals = [row.id for row in unit.signals.waiting(now - _SIGNAL_GRACE_MS)]
            orders = [
                (_TASKS[OrderStatus(row.status)], row.order_id)
                for row in unit.orders.unsettled(now)
            ]
        # First: until they are compared, their orders wait.
        for account_id in accounts:
            self._queue.publish("orders.sync_account", account_id)
        for signal_id in signals:
            self._queue.publish("orders.accept_signal", signal_id)
        for task, order_id in orders:
            self._queue.publish(task, order_id)
        return len(accounts) + len(signals) + len(orders)
