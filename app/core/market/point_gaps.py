"""Which points a history lacks: funding payments and observations that should have come.

Observations have an interval. Payments of funding are some hours apart; how many, no venue says
for the past, and it changes: it is told from the payments before and after.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Any, Final

from app.core.market.coverage import CoverageState, Span, lay
from app.core.market.intervals import MINUTE_MS

#: Venues state payments some milliseconds, of old some seconds, off their time.
SLACK_MS: Final = MINUTE_MS
#: Distances on either side that tell how far apart points are: the middle of three, so that one
#: that lacks next to another does not pass for a longer interval, and a seam is seen at once.
NEIGHBOURS: Final = 3


@dataclass(frozen=True, slots=True)
class Hole:
    """Points that lack: the first belongs at ``start``, the next one that is there at ``end``."""

    start: int
    end: int
    count: int

    def cut(self, start: int, end: int) -> Hole | None:
        """The points that belong in [start, end), or None."""
        step = (self.end - self.start) // self.count
        before = max(0, -(-(start - self.start) // step))
        behind = min(self.count, -(-(end - self.start) // step))
        if before >= behind:
            return None
        return Hole(self.start + before * step, self.start + behind * step, behind - before)


def holes(times: Sequence[int], every_ms: int | None = None) -> list[Hole]:
    """Points that lack between those at ``times``, which ascend.

    Args:
        every_ms: the interval of observations; None tells it from the distances of the points.
            Where it gets longer or shorter, the longer one counts at the seam.
    """
    grid = [rounded(ts) for ts in times]
    steps = [after - before for before, after in pairwise(grid)]
    found = []
    for number, step in enumerate(steps):
        expected = _expected(steps, number) if every_ms is None else every_ms
        if expected and step > expected + expected // 2:
            start, end = grid[number] + expected, grid[number + 1]
            found.append(Hole(start, end, max(1, round(step / expected) - 1)))
    return found


def first_step(times: Sequence[int], every_ms: int | None = None) -> int | None:
    """How far apart the first points are, ms; None where fewer than two say it."""
    return _step(times[: NEIGHBOURS + 1], every_ms)


def last_step(times: Sequence[int], every_ms: int | None = None) -> int | None:
    """How far apart the latest points are, ms; None where fewer than two say it."""
    return _step(times[-NEIGHBOURS - 1 :], every_ms)


def head(times: Sequence[int], from_ts: int, step_ms: int | None) -> tuple[int, int] | None:
    """What lies before the first point and was wanted, [start, end); None where none belongs there.

    Args:
        times: of the first points, ascending.
        from_ts: from when on points are wanted, ms.
        step_ms: how far apart the first points are; None where nothing says it.
    """
    if not times or rounded(times[0]) - from_ts < (step_ms or SLACK_MS):
        return None
    return from_ts, rounded(times[0])


def opened_behind(spans: Sequence[Span], first_ts: int) -> list[Span]:
    """Spans of which none is before the listing and behind a point: that one reopens them."""
    opened = [
        Span(max(span.start, first_ts), span.end, CoverageState.PENDING)
        for span in spans
        if span.state is CoverageState.BEFORE_LISTING and span.end > first_ts + SLACK_MS
    ]
    return lay(spans, *opened)


def as_json(spans: Iterable[Span]) -> list[list[Any]] | None:
    """Spans for a row; None for none."""
    return [[each.start, each.end, each.state.value, dict(each.proof)] for each in spans] or None


def spans_of(kept: Iterable[Sequence[Any]] | None) -> list[Span]:
    """The spans that ``as_json`` wrote."""
    return [
        Span(start, end, CoverageState(state), proof) for start, end, state, proof in kept or ()
    ]


def rounded(ts: int) -> int:
    """The time that a point belongs to, less what its venue is late: a whole minute."""
    return (ts + SLACK_MS // 2) // SLACK_MS * SLACK_MS


def _step(times: Sequence[int], every_ms: int | None) -> int | None:
    if every_ms is not None:
        return every_ms
    steps = [after - before for before, after in pairwise(rounded(ts) for ts in times)]
    return median_low(steps) if steps else None


def _expected(steps: Sequence[int], number: int) -> int:
    sides = (steps[max(0, number - NEIGHBOURS) : number], steps[number + 1 :][:NEIGHBOURS])
    return max((median_low(side) for side in sides if side), default=0)
