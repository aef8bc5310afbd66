"""Kline intervals and their grids.

An interval's bars open at ``grid offset + n × length``; weeks open on Monday and months on
the 1st, 00:00 UTC. All times are milliseconds since 1970-01-01T00:00Z.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from app.core.errors import UnknownName

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS
# 1970-01-01 was a Thursday; the first Monday is the 5th.
_MONDAY_OFFSET_MS: Final = 4 * DAY_MS


@dataclass(frozen=True, slots=True)
class Interval:
    """A kline interval such as ``1m`` or ``1M``.

    Attributes:
        name: the name as venues and users write it; case matters (``1m`` is not ``1M``).
        length_ms: the length of one bar; for ``1M`` the shortest month, 28 days.
    """

    name: str
    length_ms: int

    def __str__(self) -> str:
        return self.name

    @property
    def is_month(self) -> bool:
        """Whether bars follow calendar months, whose lengths differ."""
        return self.name == "1M"

    def floor(self, ts: int, offset_ms: int = 0) -> int:
        """Open time of the bar that contains ``ts``."""
        if self.is_month:
            return _month_open(ts)
        base = offset_ms + (_MONDAY_OFFSET_MS if self.name == "1w" else 0)
        return ts - (ts - base) % self.length_ms

    def ceil(self, ts: int, offset_ms: int = 0) -> int:
        """Open time of the first bar that opens at or after ``ts``."""
        opened = self.floor(ts, offset_ms)
        return opened if opened == ts else self.next(opened)

    def next(self, open_ts: int) -> int:
        """Open time of the bar after the one that opens at ``open_ts``; also its close time."""
        if self.is_month:
            return _month_open(open_ts + 31 * DAY_MS)
        return open_ts + self.length_ms

    def expected(self, start: int, end: int, offset_ms: int = 0) -> int:
        """How many bars open in the half-open range [start, end)."""
        first, stop = self.ceil(start, offset_ms), self.ceil(end, offset_ms)
        if not self.is_month:
            return max(0, (stop - first) // self.length_ms)
        count = 0
        while first < stop:
            first, count = self.next(first), count + 1
        return count


def _month_open(ts: int) -> int:
    moment = datetime.fromtimestamp(ts // 1000, UTC)
    return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * 1000


_LENGTHS: Final = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": WEEK_MS,
    "1M": 28 * DAY_MS,
}
INTERVALS: Final[dict[str, Interval]] = {
    name: Interval(name, length) for name, length in _LENGTHS.items()
}


def interval(name: str) -> Interval:
    """The interval of that name.

    Raises:
        UnknownName: no such interval; the message lists those that exist.
    """
    try:
        return INTERVALS[name]
    except KeyError:
        raise UnknownName(
            f"interval {name[:20]!r} is not known; use one of {', '.join(INTERVALS)}"
        ) from None
