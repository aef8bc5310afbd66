"""How complete and how right stored klines are: gaps with their proof, revisions, daily figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from app.core.errors import NotFound
from app.core.market.coverage import CoverageState, Span, account
from app.core.market.intervals import DAY_MS
from app.core.market.intervals import interval as interval_of
from app.models import KlineDayRow, KlineQuarantineRow, KlineRevisionRow, KlineSeriesRow
from app.repositories.base import Page, number_of
from app.repositories.unit import Unit, Units
from app.services.activity import Profile, profile_of

R = TypeVar("R", KlineRevisionRow, KlineQuarantineRow)


@dataclass(frozen=True, slots=True)
class Gap:
    """Expected bars that are not stored, of one state and one proof.

    Attributes:
        bars: how many open in [start, end).
    """

    start: int
    end: int
    state: CoverageState
    bars: int
    proof: dict[str, object]


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of verified days together.

    Attributes:
        expected: bars between listing and delisting.
        obtainable: those that the venue has: without what is proven to be missing there.
        success: part of the obtainable bars that is stored; None where there is none.
        accuracy: part of the bars compared that was stored as the venue states it; None where
            none was compared.
        profile: of the stored bars, verified or not, of one series; None for several.
    """

    days: Sequence[KlineDayRow]
    expected: int
    obtainable: int
    present: int
    success: float | None
    compared: int
    differed: int
    accuracy: float | None
    profile: Profile | None = None


class QualityService:
    """Reads of what is known about stored klines."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def gaps(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        start: int | None,
        end: int | None,
        kind: str = "trade",
    ) -> list[Gap]:
        """Everything in [start, end) that is not present, ascending, with its proof.

        Raises:
            UnknownName: no such interval.
            NotFound: nothing was ever collected of the series.
        """
        length = interval_of(interval)
        with self._units.read() as unit:
            series = _series(unit, exchange, symbol, interval, kind)
            spans = unit.coverage.spans(series.id)
        if not spans:
            return []
        first = spans[0].start if start is None else length.ceil(start, series.grid_offset_ms)
        stop = spans[-1].end if end is None else length.ceil(end, series.grid_offset_ms)
        absent = [
            span
            for span in account(spans, first, max(first, stop))
            if span.state is not CoverageState.PRESENT
        ]
        return [_gap(span, series) for span in absent]

    def revisions(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        limit: int,
        cursor: str | None = None,
        kind: str = "trade",
    ) -> Page[KlineRevisionRow]:
        """Closed bars that the venue later stated differently, newest first.

        Raises:
            NotFound: nothing was ever collected of the series.
            InvalidInput: the cursor is none.
        """
        before = number_of(cursor)
        with self._units.read() as unit:
            series = _series(unit, exchange, symbol, interval, kind)
            return _page(unit.klines.revisions(series.id, limit + 1, before), limit)

    def quarantined(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        limit: int,
        cursor: str | None = None,
        kind: str = "trade",
    ) -> Page[KlineQuarantineRow]:
        """Bars that were refused, newest first.

        Raises:
            NotFound: nothing was ever collected of the series.
            InvalidInput: the cursor is none.
        """
        before = number_of(cursor)
        with self._units.read() as unit:
            series = _series(unit, exchange, symbol, interval, kind)
            return _page(unit.klines.quarantined(series.id, limit + 1, before), limit)

    def quality(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        start: int | None,
        end: int | None,
        kind: str = "trade",
        *,
        recent_ms: int = 0,
    ) -> Quality:
        """Figures of the days of a series that begin in [start, end) and were verified.

        Its profile is that of the same days, all of them where neither end is given.

        Args:
            recent_ms: without ``start``, how far back the verified days go from ``end``, or from
                now where that is not given either; 0 for all.

        Raises:
            NotFound: nothing was ever collected of the series.
        """
        with self._units.read() as unit:
            series = _series(unit, exchange, symbol, interval, kind)
            stop = unit.now_ms + DAY_MS if end is None else end
            first = stop - recent_ms if recent_ms else 0
            found = quality_of(
                unit.days.of_series(series.id, first if start is None else start, stop)
            )
            return replace(found, profile=profile_of(unit, series, start, end))

    def quality_of_all(self, start: int, end: int) -> Quality:
        """Figures of the verified days of all series."""
        with self._units.read() as unit:
            return quality_of(unit.days.between(start, end))


def quality_of(days: Sequence[KlineDayRow]) -> Quality:
    """The sums of days and what they say."""
    expected = sum(day.expected for day in days)
    obtainable = expected - sum(day.exchange_side for day in days)
    present = sum(day.present for day in days)
    compared = sum(day.compared for day in days)
    differed = sum(day.differed for day in days)
    return Quality(
        days=days,
        expected=expected,
        obtainable=obtainable,
        present=present,
        success=present / obtainable if obtainable else None,
        compared=compared,
        differed=differed,
        accuracy=1 - differed / compared if compared else None,
    )


def _series(unit: Unit, exchange: str, symbol: str, interval: str, kind: str) -> KlineSeriesRow:
    series = unit.klines.find_series(exchange, symbol, interval_of(interval).name, kind)
    if series is None:
        unit.instruments.get(exchange, symbol)
        raise NotFound(f"nothing of {symbol} {interval} at {exchange} was ever collected")
    return series


def _page(found: Sequence[R], limit: int) -> Page[R]:
    """A page of rows, of which one more was looked for."""
    kept = found[:limit]
    return Page(kept, str(kept[-1].id) if len(found) > limit else None)


def _gap(span: Span, series: KlineSeriesRow) -> Gap:
    length = interval_of(series.interval)
    bars = length.expected(span.start, span.end, series.grid_offset_ms)
    return Gap(span.start, span.end, span.state, bars, dict(span.proof))
