"""Two clocks: the wall, which signs requests, and the market, which the tape runs by."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from app.core.errors import Conflict, InvalidInput


class ClockMode(StrEnum):
    """How market time moves."""

    STEPPED = "stepped"
    RUNNING = "running"


def wall_ms() -> int:
    """Wall time in ms since 1970."""
    return time.time_ns() // 1_000_000


class MarketClock(Protocol):
    """Market time in ms.

    Attributes:
        mode: how it moves.
    """

    mode: ClockMode

    def now(self) -> int:
        """The market's present."""
        ...

    def move_to(self, ts: int) -> None:
        """Set the time that the tape was processed to."""
        ...

    def resume(self, ts: int) -> None:
        """Go on from where an earlier run ended."""
        ...


class SteppedClock:
    """Stands still until it is moved."""

    mode = ClockMode.STEPPED

    def __init__(self, start: int) -> None:
        self._now = start

    def now(self) -> int:
        """See ``MarketClock.now``."""
        return self._now

    def move_to(self, ts: int) -> None:
        """Go forward to ``ts``.

        Raises:
            InvalidInput: ``ts`` lies in the market's past.
        """
        if ts < self._now:
            raise InvalidInput(f"the market stands at {self._now}; it does not go back to {ts}")
        self._now = ts

    def resume(self, ts: int) -> None:
        """See ``MarketClock.resume``."""
        self._now = ts


class RunningClock:
    """Wall time and a fixed offset.

    ``now`` is the time up to which the tape was processed, so that what a client is shown
    never runs ahead of the matching of resting orders.
    """

    mode = ClockMode.RUNNING

    def __init__(self, start: int, wall: Callable[[], int] = wall_ms) -> None:
        self._wall = wall
        self._offset = start - wall()
        self._now = start

    def now(self) -> int:
        """See ``MarketClock.now``."""
        return self._now

    def due(self) -> int:
        """Where the market should stand by the wall."""
        return max(self._now, self._wall() + self._offset)

    def move_to(self, ts: int) -> None:
        """Note that the tape was processed to ``ts``."""
        self._now = max(self._now, ts)

    def resume(self, ts: int) -> None:
        """See ``MarketClock.resume``: the market stood still in between."""
        self._offset = ts - self._wall()
        self._now = ts


def check_steppable(clock: MarketClock) -> None:
    """Refuse to advance a market that runs by itself.

    Raises:
        Conflict: the clock runs with the wall.
    """
    if clock.mode is not ClockMode.STEPPED:
        raise Conflict("the market clock runs with the wall; start with --clock stepped to advance")
