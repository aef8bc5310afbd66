"""Repeated hints for rows that wait, so that none is lost and none fills the queue."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.ports import Clock, Queue

# A hint that the broker took waits in its queue, through an outage of the workers too: giving it
# each second again would fill the queue. The first repetition comes soon, since a worker may have
# died with the message; then so often that a row is driven on within 10 s whatever is lost.
_AGAIN_MS: Final = (2_000, 4_000, 8_000)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row that a worker must look at.

    Attributes:
        mark: changes with each step of the row; a row that took one is hinted at once.
    """

    task: str
    row_id: str
    mark: int = 0


class Hinter:
    """Gives each waiting row's hint at once, and again after 2, 4, 8, 8 … seconds.

    What was hinted is kept in memory: another process that sweeps gives the hint once more, and
    tasks are idempotent. Safe for threads.
    """

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._lock = threading.Lock()
        # Hints so far, and when the next is due by the monotonic clock.
        self._given: dict[Waiting, tuple[int, float]] = {}

    def give(self, rows: Sequence[Waiting]) -> int:
        """Publish the hints that are due among all rows that wait; how many the queue took."""
        return sum(self._hint(each) for each in self._due(rows))

    def _due(self, rows: Sequence[Waiting]) -> list[Waiting]:
        """Those whose last hint was long enough ago; forgets rows that wait no more."""
        at = self._clock.monotonic()
        with self._lock:
            self._given = {each: self._given[each] for each in rows if each in self._given}
            return [each for each in rows if self._given.get(each, (0, at))[1] <= at]

    def _hint(self, row: Waiting) -> bool:
        if not self._queue.publish(row.task, row.row_id):
            return False  # not taken, so it is due again with the next sweep
        at = self._clock.monotonic()
        with self._lock:
            hints, _ = self._given.get(row, (0, at))
            pause_ms = _AGAIN_MS[min(hints, len(_AGAIN_MS) - 1)]
            self._given[row] = (hints + 1, at + pause_ms / 1000)
        return True
