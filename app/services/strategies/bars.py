"""Which bars an instance has seen, which are ready for it, and which it waits for no longer."""

from __future__ import annotations

from typing import Final

from app.core.market.intervals import Interval
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame
from app.models import StrategyInstanceRow

# A bar that is missing is waited for this many intervals, then skipped.
_PATIENCE: Final = 2
# A stream brings a bar within milliseconds of its close, and our reading of the venue's clock
# may lag behind by its age or its error. What is stored has closed, whatever our clock says.
_CLOCK_LAG_MS: Final = 2_000
# What the periodic look leaves to the bar's own message, ms of market time after its close.
_MESSAGE_MS: Final = 2_000


def closed_end(row: StrategyInstanceRow, market_now: int) -> int:
    """Open time of the first bar that cannot have closed yet."""
    return interval_of(row.interval).floor(market_now + _CLOCK_LAG_MS)


def has_seen(row: StrategyInstanceRow, end: int) -> bool:
    """Whether every bar that opens before ``end`` is evaluated."""
    if row.cursor_ts is None:
        return False
    return interval_of(row.interval).next(row.cursor_ts) >= end


def is_behind(row: StrategyInstanceRow, market_now: int) -> bool:
    """Whether the message of a closed bar may have been lost on its way to the instance."""
    return not has_seen(row, interval_of(row.interval).floor(market_now - _MESSAGE_MS))


def complete(
    row: StrategyInstanceRow, frames: tuple[KlineFrame, ...], market_now: int
) -> tuple[tuple[KlineFrame, ...], list[int]]:
    """The frames up to the first bar that is still to be waited for, and the bars given up."""
    interval = interval_of(row.interval)
    known = [set(frame.open_ts.tolist()) for frame in frames]
    end = closed_end(row, market_now)
    skipped: list[int] = []
    if row.cursor_ts is None:
        return frames, skipped
    bar = interval.next(row.cursor_ts)
    while bar < end:
        if not all(bar in times for times in known):
            if market_now < give_up_at(bar, interval):
                break
            skipped.append(bar)
        bar = interval.next(bar)
    cut = tuple(frame.between(-(2**62), bar) for frame in frames)
    return cut, skipped


def give_up_at(bar: int, interval: Interval) -> int:
    """Market time from which a missing bar is waited for no longer, ms."""
    return interval.next(bar) + _PATIENCE * interval.length_ms
