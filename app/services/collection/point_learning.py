"""What an answer of a venue proves of the points that it does not hold.

An answer holds the first points from a time on, as many as fit. What lies between two of its points
the venue has not; where one of the two is missing from it as well, it proves nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from app.core.market.coverage import (
    CoverageState,
    Span,
    account,
    asked_in_vain,
    before_listing,
    lay,
    observed_absent,
)
from app.core.market.point_gaps import first_step, head, holes, opened_behind, rounded


@dataclass(frozen=True, slots=True)
class Look:
    """One answer of a venue.

    Attributes:
        start, end: what was asked for, as far as the answer reaches, ms.
        times: of the points that it holds, ascending.
    """

    start: int
    end: int
    times: Sequence[int]


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of a series, after an answer.

    Attributes:
        from_ts: from when on points are wanted, ms.
        first: times of the first few points.
        around: times of the points in what was asked for, and of the few on either side.
        every_ms: the interval of observations; None of payments.
    """

    from_ts: int
    first: Sequence[int]
    around: Sequence[int]
    every_ms: int | None


def learned(spans: Sequence[Span], look: Look, stored: Stored, now_ms: int) -> list[Span]:
    """What lacks of a series after a look; what came lacks no more.

    Args:
        spans: what lacked before it.
        now_ms: wall time.
    """
    known = opened_behind(spans, stored.first[0]) if stored.first else list(spans)
    laid = lay(known, Span(look.start, look.end, CoverageState.PRESENT))
    rest = [span for span in laid if span.state is not CoverageState.PRESENT]
    return lay(rest, *_head(known, look, stored, now_ms), *_holes(known, look, stored, now_ms))


def _holes(known: Sequence[Span], look: Look, stored: Stored, now_ms: int) -> list[Span]:
    """What is known of the gaps between points: a look counts where both neighbours came."""
    grid = [rounded(ts) for ts in stored.around]
    given = {rounded(ts) for ts in look.times}
    found: list[Span] = []
    for hole in holes(stored.around, stored.every_ms):
        first, last = max(hole.start, look.start), min(hole.end, look.end)
        if first >= last:
            continue
        before = grid[bisect_left(grid, hole.start) - 1]
        judge = observed_absent if before in given and hole.end in given else asked_in_vain
        found += lay(account(known, first, last), *judge(known, first, last, now_ms))
    return found


def _head(known: Sequence[Span], look: Look, stored: Stored, now_ms: int) -> list[Span]:
    """What is known of what lies before the first point.

    It is before the listing where the venue was asked for it and gave that point as its first.
    """
    part = head(stored.first, stored.from_ts, first_step(stored.first, stored.every_ms))
    if part is None:
        return []
    start, end = max(part[0], look.start), min(part[1], look.end)
    found = account(known, *part)
    if start >= end:
        return found
    first = stored.first[0]
    if look.times and rounded(look.times[0]) == rounded(first):
        return lay(found, *before_listing(known, start, end, first, now_ms))
    return lay(found, *asked_in_vain(known, start, end, now_ms))
