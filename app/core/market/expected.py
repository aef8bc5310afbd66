"""Which bars of a series are expected: those that a plan wants, and the history that is stored.

History that a file brought may lie years before the first bar that a plan wants. What lies between
the two is nobody's: no plan asks for it, so it is not missing. A hole in stored history is
something else: the bars around it were wanted, and so were those in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.core.market.coverage import CoverageState, Span, count_bars
from app.core.market.intervals import DAY_MS, Interval

#: A stretch of bars, [start, end), ms.
Range = tuple[int, int]
# Real outages of venues took up to 33 hours, and up to 87 minutes in a row had no trade. Where
# more than this is missing and nobody wants it, two histories lie beside one another.
_HOLE_MS: Final = DAY_MS
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
    """The stretches in which each bar is expected or known of, ascending and apart.

    Holes between known bars belong to them, unless they are longer than both a day and 100 bars;
    what a plan wants is expected however long it is.

    Args:
        spans: what is known, ascending; may be a part of it.
        planned: what enabled plans want, [start, end); None where none wants any.
        before: the last known span before ``spans``, if any; ``after``: the next one behind them.
        edges: where history is to begin or end, by somebody who asks for it: what lies between it
            and known bars is a hole like others.
    """
    known = [(each.start, each.end) for each in (before, *spans, after) if each is not None]
    known += [(edge, edge) for edge in edges]
    longest = max(_HOLE_MS, _HOLE_BARS * interval.length_ms)
    history = _joined(sorted(known) if edges else known, longest)
    wanted = [] if planned is None or planned[0] >= planned[1] else [planned]
    found = _joined(sorted([*history, *wanted]), 0)
    return [(start, end) for start, end in found if start < end]


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


def _joined(ranges: Sequence[Range], hole_ms: int) -> list[Range]:
    """Ascending ranges, those that lie no further apart than ``hole_ms`` as one."""
    found: list[Range] = []
    for start, end in ranges:
        if found and start - found[-1][1] <= hole_ms:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
