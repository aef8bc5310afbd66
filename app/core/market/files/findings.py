"""What a file's bars are found to be: gaps, runs without volume, runs of bars that are there."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np

from app.core.market.coverage import CoverageState, Span
from app.core.market.files.columns import KlineColumns
from app.core.market.files.exact import zero
from app.core.market.intervals import HOUR_MS, Interval
from app.core.market.klines import Times

Ranges = list[tuple[int, int, int]]
# Zones lie from 12 hours behind UTC to 14 ahead of it.
_SHIFTS: Final = [hours * HOUR_MS for hours in range(1, 15)]
# Fewer bars may be equal by chance, as where nothing is traded.
_ENOUGH: Final = 20
_MOSTLY: Final = 0.9


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


def found_shift(arriving: KlineColumns, stored: KlineColumns, interval: Interval) -> int | None:
    """By how much the arriving bars are ahead of the stored ones, ms; None where they are not.

    A file in another zone's time has the right prices at the wrong hours: most of its bars
    equal bars that are stored whole hours earlier or later.

    Args:
        stored: bars of the arriving range and of 14 hours around it.
    """
    if not len(stored):
        return None
    for shift in (step * sign for step in _SHIFTS for sign in (1, -1)):
        if shift % interval.length_ms == 0 and _is_shifted(arriving, stored, shift):
            return shift
    return None


def _is_shifted(arriving: KlineColumns, stored: KlineColumns, shift: int) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = arriving.open_ts - shift
    places = np.minimum(np.searchsorted(stored.open_ts, wanted), len(stored) - 1)
    there = stored.open_ts[places] == wanted
    one = arriving.kept(there)
    if len(one) < _ENOUGH:
        return False
    positions = pa.array(places[there])
    same = np.ones(len(one), np.bool_)
    for left, right in zip(one.arrays()[:5], stored.arrays()[:5], strict=True):
        equal = pc.equal(left, right.take(positions))
        same &= np.asarray(equal.to_numpy(zero_copy_only=False), np.bool_)
    return bool(same.mean() >= _MOSTLY)


def longest(known: Mapping[str, Any], found: Ranges, most: int = 100) -> dict[str, Any]:
    """Counts of ranges with the longest of them, by time, after more were found."""
    ranges = [*map(tuple, known.get("ranges", [])), *found]
    kept = sorted(ranges, key=lambda each: each[1] - each[0], reverse=True)[:most]
    return {
        "count": known.get("count", 0) + len(found),
        "bars": known.get("bars", 0) + sum(bars for *_, bars in found),
        "ranges": [list(each) for each in sorted(kept)],
    }
