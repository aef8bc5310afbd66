"""Nothing waits for ever: whatever is not final is driven on (O20, O21)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.core.events import topic
from app.repositories.unit import Unit
from app.services.invariants.breach import Breach
from app.services.orders.trust import is_trusted

#: The sweeper drives everything on within 10 s; three times that is a breach.
STUCK_MS: Final = 30_000
# From everything killed to trading again in under a minute.
_DISTRUST_MS: Final = 60_000


def check_liveness(unit: Unit) -> list[Breach]:
    """Every row that should have been driven on by now."""
    return [*_stuck(unit, unit.now_ms - STUCK_MS), *_distrusted(unit)]


def _stuck(unit: Unit, before_ms: int) -> Iterator[Breach]:
    for order in unit.audit.stuck_orders(before_ms):
        age = (unit.now_ms - max(order.updated_at, order.not_before)) // 1000
        text = f"order {order.order_id} is {order.status} and nobody came for {age} s"
        yield Breach("O21", order.order_id, text)
    for signal in unit.audit.stuck_signals(before_ms):
        age = (unit.now_ms - signal.created_at) // 1000
        yield Breach("O21", signal.id, f"signal {signal.id} has waited {age} s for the risk gate")
    for job in unit.audit.stuck_jobs(before_ms):
        age = (unit.now_ms - max(job.not_before, job.lease_until, job.created_at)) // 1000
        text = f"the {job.kind} job {job.id} is {job.state} and nobody came for {age} s"
        yield Breach("O21", job.id, text)
    for event in unit.audit.unsent_events(before_ms):
        age = (unit.now_ms - event.created_at) // 1000
        text = f"event {event.id} ({event.topic}) was not sent for {age} s"
        yield Breach("O21", str(event.id), text)


def _distrusted(unit: Unit) -> Iterator[Breach]:
    for account in unit.accounts.all():
        if account.status != "active" or is_trusted(account):
            continue
        doubted = unit.audit.last_event(topic("system", "reconciliation", account.id))
        since = account.reconciled_at if doubted is None else doubted.created_at
        if unit.now_ms - since > _DISTRUST_MS:
            age = (unit.now_ms - since) // 1000
            why = account.sync_error or account.epoch_reason or "no reason was kept"
            text = f"account {account.name} has not been compared for {age} s: {why}"
            yield Breach("O20", account.id, text)
