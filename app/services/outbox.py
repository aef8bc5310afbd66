"""Sending committed outbox rows: at once by whoever committed, later by the relay."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import structlog

from app.core.errors import InvalidInput, TidemarkError
from app.core.ports import Bus, Clock
from app.models import OutboxRow
from app.repositories.unit import Unit, Units

_log = structlog.get_logger(__name__)
# A row that its own process has not marked within this time is sent by the relay.
_GRACE_MS: Final = 1_000
_FLUSH_ROWS: Final = 200
_KEEP_MS: Final = 24 * 3_600_000
_LEASE: Final = "outbox-relay"
# Above the longest that one call of ``relay`` works, so that it never outlives its lease.
_LEASE_MS: Final = 20_000
_RELAY_S: Final = 5.0
_BATCH_ROWS: Final = 500
# One row that the bus cannot take must not hold up the others; a bus that is away takes none.
_MOST_REFUSED: Final = 3
# The bus confirms within two seconds or not at all.
_TAKEN_S: Final = 2.5


class OutboxPublisher:
    """Sends events straight after commit and marks them sent in batches.

    Nobody waits for the bus: an event counts as sent when the bus says that it has it, and
    what it never says so of stays for the relay. Marking costs a commit, so it is put off until
    ``flush``, twice a second. A process that dies before it marked lets the relay send its events
    a second time, which consumers must expect anyway.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._sent: list[int] = []
        self._lock = threading.Lock()

    def publish(self, rows: list[tuple[int, str, dict[str, Any]]]) -> None:
        """Send events of a committed unit; what the bus refuses stays for the relay."""
        for row_id, topic, body in rows:
            try:
                self._bus.offer(topic, body, lambda row_id=row_id: self._taken(row_id))  # type: ignore[misc]
            except InvalidInput:
                continue  # the relay tells of it
            except TidemarkError as error:
                _log.debug("event_not_sent", topic=topic, error=error.message)
                return

    def pending(self) -> int:
        """How many sent events are not yet marked."""
        with self._lock:
            return len(self._sent)

    def flush(self, units: Units) -> int:
        """Mark what was sent; how many rows."""
        with self._lock:
            ids, self._sent = self._sent, []
        _mark(units, ids)
        return len(ids)

    def _taken(self, row_id: int) -> None:
        with self._lock:
            self._sent.append(row_id)


class OutboxRelay:
    """Sends what its writer did not send or did not mark.

    One relay works at a time: it holds a lease, and nothing is locked while the bus is spoken to.
    A relay that dies leaves its rows unmarked, and the next one sends them again.

    Args:
        owner: name of this process, which holds the lease.
    """

    def __init__(self, units: Units, bus: Bus, clock: Clock, owner: str) -> None:
        self._units = units
        self._bus = bus
        self._clock = clock
        # Two threads of one process are two relays.
        self._owner = owner
        self._busy = threading.Lock()

    def relay(self) -> int:
        """Send overdue events and mark them; how many were sent. At most some seconds."""
        if not self._busy.acquire(blocking=False):
            return 0
        try:
            if not self._overdue(1) or not self._lease():
                return 0
            try:
                return self._send_overdue()
            finally:
                self._units.run(lambda unit: unit.system.release_lease(_LEASE, self._owner))
        finally:
            self._busy.release()

    def prune(self) -> None:
        """Delete events that were sent a day ago."""
        horizon = self._clock.now_ms() - _KEEP_MS
        self._units.run(lambda unit: unit.outbox.prune(horizon))

    def _lease(self) -> bool:
        def take(unit: Unit) -> bool:
            held = unit.system.take_lease(_LEASE, self._owner, unit.now_ms, _LEASE_MS)
            return held is not None

        return self._units.run(take)

    def _overdue(self, limit: int) -> Sequence[OutboxRow]:
        with self._units.read() as unit:
            return unit.outbox.unsent(self._clock.now_ms() - _GRACE_MS, limit)

    def _send_overdue(self) -> int:
        end = self._clock.monotonic() + _RELAY_S
        total = 0
        while self._clock.monotonic() < end:
            rows = self._overdue(_BATCH_ROWS)
            sent = self._send(rows)
            _mark(self._units, sent)
            total += len(sent)
            if len(sent) < len(rows) or len(rows) < _BATCH_ROWS:
                break
        return total

    def _send(self, rows: Sequence[OutboxRow]) -> list[int]:
        """Offer rows to the bus and wait, for a bounded time, for its word on each.

        Returns:
            Ids of the rows that need not be offered again.
        """
        sent: list[int] = []
        given_up: list[int] = []
        offered = refused = 0
        word = threading.Condition()

        def taken(row_id: int) -> None:
            with word:
                sent.append(row_id)
                word.notify_all()

        for row in rows:
            try:
                self._bus.offer(row.topic, row.body, lambda row_id=row.id: taken(row_id))  # type: ignore[misc]
            except InvalidInput as error:
                # No attempt will do, and some of these would keep all others back for ever. What
                # it tells of is in the record.
                _log.error("event_given_up", topic=row.topic, error=error.message)
                given_up.append(row.id)
                continue
            except TidemarkError as error:
                _log.warning("event_not_sent", topic=row.topic, error=error.message)
                refused += 1
                if refused > _MOST_REFUSED:
                    break
                continue
            offered += 1
        with word:
            word.wait_for(lambda: len(sent) >= offered, _TAKEN_S)
            return sent + given_up


def _mark(units: Units, ids: list[int]) -> None:
    for start in range(0, len(ids), _FLUSH_ROWS):
        part = ids[start : start + _FLUSH_ROWS]
        units.run(lambda unit, part=part: unit.outbox.mark_sent(part, unit.now_ms))  # type: ignore[misc]
