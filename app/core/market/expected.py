"""Which bars of a series are expected: those that a plan wants, and the history that is stored.

History that a file brought may end years before the first bar that a plan wants. What lies between
the two is nobody's: no plan asks for it, so it is not missing. Every other hole in what is stored
is a gap, however long it is: the bars around it were wanted, and so were those in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.core.market.coverage import CoverageState, Span, count_bars
from app.core.market.intervals import DAY_MS, Interval

#: A stretch of bars, [start, end), ms.
Range = tuple[int, int]
# Up to so much before a plan's first bar is a gap as well: a file that ends shortly before it was
# meant to join it. Real outages of venues took up to 33 hours.
_HOLE_MS: Final = 2 * DAY_MS
_HOLE_BARS: Final = 100


def expected_ranges(
    spans: Sequence[Span],
    planned: Range | None,
    interval: Interval,
    *,
    before: Span | None = None,
    after: Span | None = None,
    edges: Sequence[int] = (),
) -> list[Range]:
    """The stretches in which each bar is expected or known of, ascending and apart: two at most.

    Args:
        spans: what is known, ascending; may be a part of it.
        planned: what enabled plans want, [start, end), of which nothing may have passed yet; None
            where none wants any.
        before: the last known span before ``spans``, if any; ``after``: the next one behind them.
        edges: where history is to begin or end, by somebody who asks for it: what lies between it
            and known bars is a hole like others.
    """
    known = [(each.start, each.end) for each in (before, *spans, after) if each is not None]
    known += [(edge, edge) for edge in edges]
    if planned is not None:
        known += [planned] if planned[0] < planned[1] else []
        over = max((end for start, end in known if start < planned[0]), default=planned[0])
        if planned[0] - over > max(_HOLE_MS, _HOLE_BARS * interval.length_ms):
            old = [(start, end) for start, end in known if start < planned[0]]
            return [*_whole(old), *_whole([each for each in known if each not in old])]
    return _whole(known)


def within(ranges: Sequence[Range], start: int, end: int) -> list[Range]:
    """The parts of ascending ranges that lie in [start, end)."""
    cut = ((max(start, first), min(end, stop)) for first, stop in ranges)
    return [(first, stop) for first, stop in cut if first < stop]


def count_in(
    spans: Sequence[Span], interval: Interval, ranges: Sequence[Range], offset_ms: int = 0
) -> dict[CoverageState, int]:
    """How many bars that open in some ranges are in each state; the sum is all of them."""
    counts = dict.fromkeys(CoverageState, 0)
    for start, end in ranges:
        for state, bars in count_bars(spans, interval, start, end, offset_ms).items():
            counts[state] += bars
    return counts


def _whole(ranges: Sequence[Range]) -> list[Range]:
    """The one range that holds some, or none where there is nothing in them."""
    start = min((start for start, _ in ranges), default=0)
    end = max((end for _, end in ranges), default=0)
    return [(start, end)] if start < end else []
