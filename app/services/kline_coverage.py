"""What is known of the bars of an interval, wherever they come of."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.market.composing import Stretch, holes
from app.core.market.coverage import CoverageState, Span, account, gaps, lay
from app.core.market.intervals import Interval
from app.models import KlineSeriesRow
from app.repositories.unit import Unit
from app.services.kline_parts import Sources


def spans_of(unit: Unit, sources: Sources, start: int, end: int) -> list[Span]:
    """What is known of each bar that opens in [start, end), ascending and without a hole.

    A bar is told of by the series that it comes of. Where none holds bars, the best one that knows
    anything tells.

    Args:
        start, end: on the grid of the interval.
    """
    told = _Told(unit, sources, start, end)
    parts = sources.parts(start, end)
    found: list[Span] = []
    for part in parts:
        found += told.by(part.series, max(part.start, start), min(part.end, end))
    held = [Stretch(0, part.start, part.end) for part in parts]
    for hole in holes(held, start, end):
        found += told.by(told.best_of(*hole), *hole)
    return sorted(found, key=lambda span: span.start)


class _Told:
    """Coverage of the series of one interval, each asked for once."""

    def __init__(self, unit: Unit, sources: Sources, start: int, end: int) -> None:
        self._unit = unit
        self._sources = sources
        self._reach = start, end
        self._known: dict[int, list[Span]] = {}

    def by(self, series: KlineSeriesRow, start: int, end: int) -> list[Span]:
        """What a series says of all bars of [start, end)."""
        spans = self._spans(series)
        if series.interval == self._sources.wanted.name:
            return account(spans, start, end)
        return widened(spans, self._sources.wanted, start, end, self._sources.offset_ms)

    def best_of(self, start: int, end: int) -> KlineSeriesRow:
        """The best series that knows anything of [start, end)."""
        for series, _ in self._sources.known:
            if any(span.start < end and span.end > start for span in self._spans(series)):
                return series
        return self._sources.best

    def _spans(self, series: KlineSeriesRow) -> list[Span]:
        known = self._known.get(series.id)
        if known is None:
            known = self._unit.coverage.spans(series.id, *self._reach)
            self._known[series.id] = known
        return known


def widened(
    spans: Sequence[Span], wanted: Interval, start: int, end: int, offset: int
) -> list[Span]:
    """Coverage of derived bars: a hole in any part is a hole in the whole bar.

    A part that the venue is proven to lack is none, unless no part is there. Where one bar has
    holes of two kinds, the one that may still heal counts.

    Args:
        start, end: on the wanted grid.
    """
    found = [Span(start, end, CoverageState.PRESENT)]
    absent = gaps(spans, start, end)
    lacking = [hole for hole in absent if hole.state is CoverageState.EXCHANGE_SIDE]
    for hole in lacking:
        first, stop = wanted.ceil(hole.start, offset), wanted.floor(hole.end, offset)
        if first < stop:
            found = lay(found, Span(first, stop, hole.state))
    holes = [hole for hole in absent if hole.state is not CoverageState.EXCHANGE_SIDE]
    for hole in sorted(holes, key=lambda span: span.state is CoverageState.PENDING):
        stop = wanted.ceil(hole.end, offset)
        found = lay(found, Span(wanted.floor(hole.start, offset), stop, hole.state))
    return [span.cut(start, end) for span in found if span.start < end and span.end > start]
