"""Klines: none lost, none impossible, none before its close (D1, D3, D6, D13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from app.core.errors import UnknownName
from app.core.market.coverage import CoverageState, Span
from app.core.market.intervals import Interval, interval
from app.core.market.klines import KlineRow
from app.core.market.validation import kline_fault
from app.models import KlineSeriesRow
from app.repositories.unit import Unit
from app.services.invariants.breach import Breach
from app.services.invariants.rolled import check_rolled


def check_market(unit: Unit, market_now: Callable[[str], int]) -> list[Breach]:
    """Every breach among the stored bars.

    Args:
        market_now: market time of a venue, ms.

    Raises:
        Unavailable: a venue's clock cannot be read.
    """
    return [
        breach
        for series in unit.klines.all_series()
        for breach in (
            *_check_series(unit, series, market_now(series.exchange)),
            *check_rolled(unit, series),
        )
    ]


def _check_series(unit: Unit, series: KlineSeriesRow, now: int) -> Iterator[Breach]:
    name = f"{series.exchange} {series.symbol} {series.interval}"
    try:
        step = interval(series.interval)
    except UnknownName:
        yield Breach("D6", str(series.id), f"{name} is a series of no known interval")
        return
    spans = unit.coverage.spans(series.id)
    for before, after in pairwise(spans):
        if before.end > after.start:
            text = f"{name}: what is known of its bars overlaps at {after.start}"
            yield Breach("D1", str(series.id), text)
    seen = _Grid(step, series.grid_offset_ms, spans)
    for row in unit.audit.klines(series.id):
        bar = KlineRow._make(row)
        fault = kline_fault(bar, step, series.grid_offset_ms)
        if fault:
            yield Breach("D6", str(series.id), f"{name}: the bar of {bar.open_ts}: {fault}")
        if step.next(bar.open_ts) > now:
            text = f"{name}: the bar of {bar.open_ts} is stored and closes after {now}"
            yield Breach("D3", str(series.id), text)
        seen.take(bar.open_ts)
    for span, found in seen.short():
        wanted = step.expected(span.start, span.end, series.grid_offset_ms)
        text = (
            f"{name}: [{span.start}, {span.end}) is said to be present and holds {found} of "
            f"{wanted} bars"
        )
        yield Breach("D1", str(series.id), text)
    for open_ts in seen.strays:
        text = f"{name}: the bar of {open_ts} is stored and not accounted for"
        yield Breach("D1", str(series.id), text)


class _Grid:
    """Bars against the ranges that are said to be present, in one pass."""

    def __init__(self, step: Interval, offset_ms: int, spans: list[Span]) -> None:
        self._step, self._offset_ms = step, offset_ms
        self._spans = [each for each in spans if each.state is CoverageState.PRESENT]
        self._found = [0] * len(self._spans)
        self._at = 0
        self.strays: list[int] = []

    def take(self, open_ts: int) -> None:
        """Count a bar; they come by time."""
        while self._at < len(self._spans) and self._spans[self._at].end <= open_ts:
            self._at += 1
        if self._at < len(self._spans) and self._spans[self._at].start <= open_ts:
            self._found[self._at] += 1
        else:
            self.strays.append(open_ts)

    def short(self) -> list[tuple[Span, int]]:
        """Ranges that hold fewer bars than their grid has, and how many they hold."""
        return [
            (span, found)
            for span, found in zip(self._spans, self._found, strict=True)
            if found != self._step.expected(span.start, span.end, self._offset_ms)
        ]
