"""Sending committed outbox rows: at once by whoever committed, later by the relay."""

from __future__ import annotations

import threading
from typing import Any

import structlog

from app.core.errors import TidemarkError
from app.core.ports import Bus, Clock
from app.repositories.unit import Unit, Units

_log = structlog.get_logger(__name__)
# A row that its own process has not marked within this time is sent by the relay.
_GRACE_MS = 1_000
_FLUSH_ROWS = 200
_KEEP_MS = 24 * 3_600_000


class OutboxPublisher:
    """Sends events straight after commit and marks them sent in batches.

    Marking costs a commit, so it is put off until ``flush``: at most one second, or 200 rows.
    A process that dies before it marked lets the relay send its events a second time, which
    consumers must expect anyway.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._sent: list[int] = []
        self._lock = threading.Lock()

    def publish(self, rows: list[tuple[int, str, dict[str, Any]]]) -> None:
        """Send events of a committed unit; what the bus refuses stays for the relay."""
        for row_id, topic, body in rows:
            try:
                self._bus.publish(topic, body)
            except TidemarkError as error:
                _log.warning("event_not_sent", topic=topic, error=error.message)
                return
            with self._lock:
                self._sent.append(row_id)

    def pending(self) -> int:
        """How many sent events are not yet marked."""
        with self._lock:
            return len(self._sent)

    def flush(self, units: Units) -> int:
        """Mark what was sent; how many rows."""
        with self._lock:
            ids, self._sent = self._sent, []
        for start in range(0, len(ids), _FLUSH_ROWS):
            part = ids[start : start + _FLUSH_ROWS]
            units.run(lambda unit, part=part: unit.outbox.mark_sent(part, unit.now_ms))  # type: ignore[misc]
        return len(ids)


class OutboxRelay:
    """Sends what its writer did not send or did not mark."""

    def __init__(self, units: Units, bus: Bus, clock: Clock) -> None:
        self._units = units
        self._bus = bus
        self._clock = clock

    def relay(self) -> int:
        """Send overdue events and mark them; how many were sent."""

        def work(unit: Unit) -> int:
            rows = unit.outbox.unsent(self._clock.now_ms() - _GRACE_MS)
            sent = []
            for row in rows:
                try:
                    self._bus.publish(row.topic, row.body)
                except TidemarkError as error:
                    _log.warning("event_not_sent", topic=row.topic, error=error.message)
                    break
                sent.append(row.id)
            unit.outbox.mark_sent(sent, unit.now_ms)
            return len(sent)

        return self._units.run(work)

    def prune(self) -> None:
        """Delete events that were sent a day ago."""
        horizon = self._clock.now_ms() - _KEEP_MS
        self._units.run(lambda unit: unit.outbox.prune(horizon))
