"""Time: this machine's, each venue's wall clock, and the market time of each venue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Wall time of this machine."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00Z; may step back when the machine is corrected."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, for timeouts and durations."""
        ...


class MarketClock(Protocol):
    """Market time of each venue: what closes bars and ends a signal's validity."""

    def now_ms(self, exchange: str) -> int:
        """The venue's time, ms.

        Raises:
            Unavailable: the venue cannot be asked and no recent answer is known.
        """
        ...


class VenueClock(Protocol):
    """The wall clock of one venue, by which requests to it are signed."""

    def now_ms(self) -> int:
        """The venue's wall time, ms. Asks nobody."""
        ...

    def refresh(self) -> None:
        """Trust what was measured no longer: the venue has refused a timestamp."""
        ...


@dataclass(frozen=True, slots=True)
class Skew:
    """How a venue's wall clock stands to this machine's.

    Attributes:
        ms: theirs less ours.
        error_ms: how far off ``ms`` may be.
    """

    ms: int
    error_ms: int
