"""Pages of bars as OKX and Bybit cut them: the newest of a span, on UTC's clock or another's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.core.market.intervals import DAY_MS, INTERVALS, Interval
from simulator.bars import Bars
from simulator.market import Market

_HOUR: Final = INTERVALS["1h"]
_FAR: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Grid:
    """The bars of an interval by some clock.

    Attributes:
        ahead_ms: how far that clock is ahead of UTC: the days of a venue in Hong Kong open
            at 16:00 UTC.
    """

    interval: Interval
    ahead_ms: int = 0

    def floor(self, ts: int) -> int:
        """Opening of the bar that contains a time."""
        return self.interval.floor(ts + self.ahead_ms) - self.ahead_ms

    def next(self, opened: int) -> int:
        """Opening of the bar after the one that opens then."""
        return self.interval.next(opened + self.ahead_ms) - self.ahead_ms

    @property
    def longest_ms(self) -> int:
        """Length of the longest bar."""
        return 31 * DAY_MS if self.interval.is_month else self.interval.length_ms


@dataclass(frozen=True, slots=True)
class Page:
    """The newest ``limit`` bars that open in [start, end], both included; None for no bound."""

    grid: Grid
    start: int | None
    end: int | None
    limit: int


def newest(market: Market, page: Page, now: int) -> Bars:
    """The bars of a page, oldest first; the one that is open at ``now`` is cut there."""
    if page.grid.ahead_ms:
        bars = _shifted(market, page, now)
    else:
        bars = market.klines(page.grid.interval, None, page.end, page.limit, now)
    if page.start is not None:
        bars = bars.between(page.start, _FAR)
    return bars


def prepare(market: Market, page: Page, now: int) -> Iterator[None]:
    """Compute in short turns what ``newest`` will need."""
    if page.grid.ahead_ms:
        last, first = _bounds(market, page, now)
        yield from market.tape.prepare(_HOUR, first, last + page.grid.longest_ms)
    else:
        yield from market.prepare_klines(page.grid.interval, None, page.end, page.limit, now)


def open_at(bars: Bars, grid: Grid, now: int) -> bool:
    """Whether the last of some bars is still open."""
    return len(bars) > 0 and grid.next(int(bars.open_ts[-1])) > now


def _shifted(market: Market, page: Page, now: int) -> Bars:
    """Bars by a clock that is whole hours ahead, made of hours."""
    grid = page.grid
    last, first = _bounds(market, page, now)
    stop = grid.next(last)
    count = max(1, (stop - first) // _HOUR.length_ms)
    hours = market.klines(_HOUR, first, stop - 1, count, now)
    bars = hours.aggregated(grid.interval, grid.ahead_ms)
    return bars.cut(max(0, len(bars) - page.limit), len(bars))


def _bounds(market: Market, page: Page, now: int) -> tuple[int, int]:
    """Opening of the last and of the first bar that a page can hold."""
    last = page.grid.floor(min(now, now if page.end is None else page.end))
    reach = (page.limit - 1) * page.grid.longest_ms
    return last, page.grid.floor(max(last - reach, market.tape.first_ts))
