"""A venue's wall clock, by which requests are signed: measured, and carried on monotonically.

What was measured once goes on by this machine's monotonic clock, so that no step of its wall clock
moves a request's timestamp.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.core.errors import Unavailable
from app.core.exchanges.errors import VenueError
from app.core.ports import Clock, Skew

# Measured again after this; two quartz clocks drift apart by at most 60 ms in that time.
_KEEP_S: Final = 600.0
_DRIFT_MS_PER_S: Final = 0.1
# Wall and monotonic clock of one machine part when the wall is stepped, which harms nothing, and
# when the machine slept, during which the monotonic clock stood still. The two look alike.
_PARTED_MS: Final = 500
# A question that failed is not asked again at once by every thread that waits for its answer.
_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Reading:
    """One answer of the venue.

    Attributes:
        theirs: its wall time, ms, at monotonic second ``at``.
        error_ms: half of the time that the answer took: the venue read its clock in between.
        seen_at, seen_wall: our clocks when the answer was there.
    """

    theirs: int
    at: float
    error_ms: float
    seen_at: float
    seen_wall: int


class MeasuredClock:
    """Implements ``VenueClock``. Safe for threads: one of them asks, the others wait for it.

    Args:
        exchange: for messages.
        ask: the venue's own time, ms; raises VenueError where it cannot be asked.
    """

    def __init__(self, exchange: str, clock: Clock, ask: Callable[[], int]) -> None:
        self._exchange = exchange
        self._clock = clock
        self._ask = ask
        self._lock = threading.Lock()
        self._reading: _Reading | None = None
        self._is_doubted = False
        self._failure: tuple[float, VenueError] | None = None

    def now_ms(self) -> int:
        """The venue's wall time, ms; this machine's own before anything was measured."""
        reading = self._reading
        if reading is None:
            return self._clock.now_ms()
        return reading.theirs + round((self._clock.monotonic() - reading.at) * 1000)

    def skew(self) -> Skew | None:
        """The venue's clock against ours; None before anything was measured. Asks nobody."""
        reading = self._reading
        if reading is None:
            return None
        return Skew(self.now_ms() - self._clock.now_ms(), round(self._error_ms(reading)))

    def synchronise(self, most_ms: int) -> None:
        """Know the venue's time to within ``most_ms``, asking it where that is due.

        A question that fails changes nothing while the last answer is still good enough.

        Raises:
            VenueError: the venue could not be asked, and what is known is not good enough.
            Unavailable: its answers take too long to tell the time that exactly.
        """
        if self._is_good(most_ms) and not self._is_due():
            return
        # Who can do with what is known goes on while another asks.
        if not self._lock.acquire(blocking=not self._is_good(most_ms)):
            return
        try:
            self._measure_if_due(most_ms)
        finally:
            self._lock.release()

    def look(self) -> None:
        """Ask where it is due; a question that fails leaves what is known, or nothing."""
        if self._is_due() and self._lock.acquire(blocking=self._reading is None):
            try:
                if self._is_due():
                    self._measure()
            except VenueError:
                return
            finally:
                self._lock.release()

    def refresh(self) -> None:
        """Trust what was measured no longer: who needs it next asks anew."""
        self._is_doubted = True

    def _measure_if_due(self, most_ms: int) -> None:
        if self._is_due() or not self._is_good(most_ms):
            try:
                self._measure()
            except VenueError:
                if not self._is_good(most_ms):
                    raise
        if not self._is_good(most_ms):
            raise Unavailable(
                f"the clock of {self._exchange} is known to no better than {self._known_to()} ms, "
                f"and {most_ms} ms are needed: its answers take too long"
            )

    def _measure(self) -> None:
        """Ask once; what failed within the last second has failed."""
        began, failure = self._clock.monotonic(), self._failure
        if failure is not None and began - failure[0] < _PAUSE_S:
            raise failure[1]
        try:
            theirs = self._ask()
        except VenueError as error:
            self._failure = (self._clock.monotonic(), error)
            raise
        ended = self._clock.monotonic()
        self._failure, self._is_doubted = None, False
        self._reading = _Reading(
            theirs=theirs,
            at=(began + ended) / 2,
            error_ms=(ended - began) * 500,
            seen_at=ended,
            seen_wall=self._clock.now_ms(),
        )

    def _is_due(self) -> bool:
        reading = self._reading
        if reading is None or self._is_doubted or self._have_parted(reading):
            return True
        return self._clock.monotonic() - reading.seen_at > _KEEP_S

    def _is_good(self, most_ms: int) -> bool:
        reading = self._reading
        if reading is None or self._is_doubted or self._have_parted(reading):
            return False
        return self._error_ms(reading) <= most_ms

    def _have_parted(self, reading: _Reading) -> bool:
        walked = (self._clock.monotonic() - reading.seen_at) * 1000
        return abs(self._clock.now_ms() - reading.seen_wall - walked) > _PARTED_MS

    def _error_ms(self, reading: _Reading) -> float:
        return reading.error_ms + (self._clock.monotonic() - reading.at) * _DRIFT_MS_PER_S

    def _known_to(self) -> int:
        reading = self._reading
        return 0 if reading is None else round(self._error_ms(reading))
