"""Bars that are proven to be missing at the venue itself: where they lie, and when that changes.

Many venues give no minute in which nobody traded. Such a minute is no hole in a longer bar: that
one is made of the minutes that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from app.core.market.coverage import CoverageState, Span
from app.core.market.intervals import Interval
from app.core.market.klines import Times

#: Half-open ranges in ms that ascend and do not touch.
Ranges = list[tuple[int, int]]


def ranges_of(spans: Iterable[Span], state: CoverageState) -> Ranges:
    """Where spans, which ascend, say that state; neighbours are one range."""
    return merged((span.start, span.end) for span in spans if span.state is state)


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges that ascend by their starts, those that touch or overlap as one."""
    found: Ranges = []
    for start, end in ranges:
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def without(ranges: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> Ranges:
    """The parts of ranges that no other one spans; both ascend and do not touch."""
    found: Ranges = []
    at = 0
    for start, end in ranges:
        position = start
        while at < len(others) and others[at][1] <= position:
            at += 1
        look = at
        while look < len(others) and others[look][0] < end:
            if others[look][0] > position:
                found.append((position, others[look][0]))
            position = max(position, others[look][1])
            look += 1
        if position < end:
            found.append((position, end))
    return found


def changed_absences(before: Sequence[Span], after: Sequence[Span]) -> tuple[Ranges, Ranges]:
    """Where bars are proven to be missing that were not, and where they are not any more.

    Bars that a rule has removed are none of these: what was made of them before stays.
    """
    was, now = (ranges_of(each, CoverageState.EXCHANGE_SIDE) for each in (before, after))
    if was == now:
        return [], []
    gone = without(without(was, now), ranges_of(after, CoverageState.RETIRED))
    return without(now, was), gone


def absent_opens(ranges: Sequence[tuple[int, int]], grid: Interval, offset_ms: int) -> Times:
    """Open times of the bars that lie wholly in one of the ranges, which ascend.

    Args:
        grid: of a fixed length.
        offset_ms: the venue's grid offset.
    """
    if not ranges:
        return np.empty(0, np.int64)
    base, length = grid.floor(0, offset_ms), grid.length_ms
    edges = np.asarray(ranges, dtype=np.int64) - base
    first, stop = -(-edges[:, 0] // length), edges[:, 1] // length
    counts = np.maximum(stop - first, 0)
    # Each run counts from its first bar: what the runs before it have is taken off again.
    behind = np.cumsum(counts) - counts
    numbers = np.arange(int(counts.sum()), dtype=np.int64) + np.repeat(first - behind, counts)
    opens: Times = numbers * length + base
    return opens
