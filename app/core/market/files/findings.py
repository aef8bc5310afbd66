"""What a file's bars are found to be: gaps, runs without volume, runs of bars that are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np

from app.core.market.coverage import CoverageState, Span
from app.core.market.files.columns import KlineColumns
from app.core.market.files.exact import zero
from app.core.market.intervals import INTERVALS, Interval
from app.core.market.klines import Times
from app.core.market.validation import OFF_GRID, BadKline

Ranges = list[tuple[int, int, int]]
# By fewer steps between bars, or a smaller part of them, no interval is told.
_STEPS: Final = 10
_NEARLY_ALL: Final = 0.95


def ends(times: Times, interval: Interval) -> Times:
    """Close times of bars, ms."""
    if interval.is_month:
        return np.array([interval.next(ts) for ts in times.tolist()], dtype=np.int64)
    closes: Times = times + interval.length_ms
    return closes


def present_spans(times: Times, interval: Interval) -> list[Span]:
    """Present spans of the bars that open at ``times``, which ascend."""
    if not len(times):
        return []
    closes = ends(times, interval)
    breaks = np.flatnonzero(times[1:] != closes[:-1])
    first = times[np.concatenate([[0], breaks + 1])].tolist()
    last = closes[np.concatenate([breaks, [len(times) - 1]])].tolist()
    return [Span(*each, CoverageState.PRESENT) for each in zip(first, last, strict=True)]


def longer_interval(times: Times, interval: Interval) -> Interval | None:
    """Of which longer interval bars are that ascend by ``times``; None where they need not be.

    They are where nearly all of them follow each other, and open, as bars of that interval do. A
    market in which little is traded leaves bars out, but not all but every fifth.
    """
    steps = np.diff(times)
    if len(steps) < _STEPS or np.mean(steps == interval.length_ms) > 1 - _NEARLY_ALL:
        return None
    for each in INTERVALS.values():
        if each.length_ms <= interval.length_ms or np.median(steps) < each.length_ms:
            continue
        opens = times[:-1]
        if each.is_month:
            is_open = np.array([each.floor(ts) == ts for ts in opens.tolist()])
        else:
            is_open = (opens - each.floor(0)) % each.length_ms == 0
        if np.mean(is_open & (ends(opens, each) == times[1:])) >= _NEARLY_ALL:
            return each
    return None


def gaps_of(spans: list[Span], interval: Interval) -> Ranges:
    """Ranges between spans of present bars: start, end, missing bars."""
    return [
        (left.end, right.start, interval.expected(left.end, right.start))
        for left, right in pairwise(spans)
    ]


def idle_runs(columns: KlineColumns, interval: Interval) -> Ranges:
    """Ranges of bars without volume that follow each other: start, end, bars."""
    return [
        (span.start, span.end, interval.expected(span.start, span.end))
        for span in present_spans(columns.open_ts[zero(columns.volume)], interval)
    ]


def longest(known: Mapping[str, Any], found: Ranges, most: int = 100) -> dict[str, Any]:
    """Counts of ranges with the longest of them, by time, after more were found.

    A range that touches the first or the last one of all so far is the same range: a run goes on
    over the end of a chunk.

    Args:
        known: as this gave it; {} for none. Its ``ends`` are the first and the last range of all.
    """
    ranges = {tuple(each) for each in known.get("ranges", [])}
    count, bars = known.get("count", 0), known.get("bars", 0)
    fresh, ends = list(found), [tuple(each) for each in known.get("ends", [])]
    for end in list(ends):
        touching = [at for at, each in enumerate(fresh) if each[0] == end[1] or each[1] == end[0]]
        for at in touching[:1]:
            each = fresh[at]
            fresh[at] = (min(each[0], end[0]), max(each[1], end[1]), each[2] + end[2])
            ends.remove(end)
            ranges.discard(end)
            count, bars = count - 1, bars - end[2]
    kept = sorted([*ranges, *fresh], key=lambda each: each[1] - each[0], reverse=True)[:most]
    outer = sorted([*ends, *fresh])
    return {
        "count": count + len(fresh),
        "bars": bars + sum(each[2] for each in fresh),
        "longest": max((each[2] for each in kept), default=0),
        "ranges": [list(each) for each in sorted(kept)],
        "ends": [list(each) for each in dict.fromkeys(outer[:1] + outer[-1:])],
    }


def told(found: Mapping[str, Any]) -> dict[str, Any]:
    """What ``longest`` counted, without what it keeps for going on."""
    return {name: value for name, value in found.items() if name != "ends"}


def off_grid(bad: Iterable[BadKline]) -> int:
    """How many of the refused bars open off the grid."""
    return sum(entry.reason.startswith(OFF_GRID) for entry in bad)
