"""What holds a request beside its minute: short windows of venues, and the polite profile."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from app.core.exchanges.politeness import (
    POLITE_AFTER_BAN_MS,
    POLITE_BATCH,
    POLITE_GAP_MS,
    POLITE_REST_MS,
)
from app.core.ports import ALWAYS, Purpose

#: The name that stands for every venue in a list of those to be treated gently.
EVERY_VENUE: Final = "all"
#: A time that is noted further ahead is of a clock that was set back since, and is forgotten.
FAR_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class ShortWindow:
    """A limit that a venue counts over less than a minute.

    Attributes:
        limit: weight in any ``length_ms``.
    """

    length_ms: int
    limit: int


#: OKX refuses the 41st light request of 2 s with 50011; here its endpoints count together. Bybit
#: bans for 10 minutes after 600 requests in 5 s, which two minutes' ends can hold together.
SHORT_WINDOWS: Final[Mapping[str, ShortWindow]] = {
    "okx": ShortWindow(2_000, 40),
    "bybit": ShortWindow(5_000, 600),
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How one request is held. Zeros hold nothing.

    A short window is kept by a mark, a wall time: each request moves it on by its ``cost_ms``,
    from the present where it lies behind, and may go while it ends up at most ``slack_ms`` ahead.
    A quarter of the limit can go at once, the rest evenly, so that any window holds the limit.

    Attributes:
        gap_ms: between two requests of the polite profile; 0 where the request needs none.
    """

    cost_ms: int = 0
    slack_ms: int = 0
    gap_ms: int = 0


class Paces:
    """The pace of each request.

    Args:
        short: short windows by venue.
        polite: venues that are always treated gently; ``EVERY_VENUE`` is all of them.
        gap_ms: between two polite requests.
    """

    def __init__(
        self,
        short: Mapping[str, ShortWindow] = SHORT_WINDOWS,
        polite: Collection[str] = (),
        gap_ms: int = POLITE_GAP_MS,
    ) -> None:
        self.short = short
        self.polite = frozenset(polite)
        self._gap_ms = gap_ms

    def of(
        self, exchange: str, weight: int, purpose: Purpose, last_ban_end: int, now_ms: int
    ) -> Pace:
        """The pace of a request.

        Args:
            last_ban_end: of the address that pays, at this venue, ms; 0 where there was none.
        """
        is_gentle = now_ms < self.gentle_until(exchange, last_ban_end)
        gap = self._gap_ms if is_gentle and purpose is Purpose.DATA else 0
        window = self.short.get(exchange)
        if window is None:
            return Pace(gap_ms=gap)
        # A third of a window's length ahead of the present is a quarter of its limit. Data leave
        # half of that to others.
        slack = window.length_ms // (6 if purpose is Purpose.DATA else 3)
        cost = -(-4 * weight * window.length_ms // (3 * window.limit))
        return Pace(cost, slack, gap)

    def gentle_until(self, exchange: str, last_ban_end: int) -> int:
        """Until when an address is treated gently at a venue, ms of wall time.

        Args:
            last_ban_end: as ``of`` takes it.
        """
        is_set = bool(self.polite & {exchange, EVERY_VENUE})
        return ALWAYS if is_set else last_ban_end + POLITE_AFTER_BAN_MS


class Marks:
    """Where one address stands with one venue."""

    def __init__(self) -> None:
        self._mark = 0
        self._last = 0
        self._batch = 0

    def ready_at(self, pace: Pace, now_ms: int) -> tuple[int, int]:
        """Wall times from which the short window and the polite profile let a request go."""
        return self._short_ready(pace, now_ms), self._polite_ready(pace, now_ms)

    def take(self, pace: Pace, now_ms: int) -> None:
        """Count a request that goes."""
        self._mark = max(self._mark, now_ms) + pace.cost_ms
        if pace.gap_ms:
            self._last, self._batch = now_ms, self._batch + 1

    def _short_ready(self, pace: Pace, now_ms: int) -> int:
        if not pace.cost_ms:
            return now_ms
        if self._mark > now_ms + FAR_MS:
            self._mark = 0
        # A request that costs more than the slack waits until the mark lies behind by the rest.
        return self._mark + pace.cost_ms - pace.slack_ms

    def _polite_ready(self, pace: Pace, now_ms: int) -> int:
        if not pace.gap_ms:
            return now_ms
        if self._last > now_ms + FAR_MS:
            self._last = 0
        if now_ms - self._last >= POLITE_REST_MS:
            self._batch = 0
        return self._last + (POLITE_REST_MS if self._batch >= POLITE_BATCH else pace.gap_ms)
