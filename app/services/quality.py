"""How complete and how right stored klines are: gaps with their proof, revisions, daily figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from app.core.errors import NotFound
from app.core.market.coverage import CoverageState, Span, account, expected_of
from app.core.market.expected import Range, count_in, expected_ranges, within
from app.core.market.intervals import Interval
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineKind
from app.models import KlineDayRow, KlineQuarantineRow, KlineRevisionRow, KlineSeriesRow
from app.repositories.base import Page, number_of
from app.repositories.unit import Unit, Units
from app.services.activity import Profile, profile_of
from app.services.horizon import Horizon, Horizons, SeriesName
from app.services.kline_sources import sources_of
from app.services.time_cursors import check_range

# Earlier and later than any day.
_START: Final = -(2**62)
_END: Final = 2**62
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
class Gaps:
    """Gaps of a series, ascending.

    Attributes:
        unknown: why nothing is said of the bars after the last known one, although a plan keeps
            them; "" where they are counted.
    """

    found: Sequence[Gap]
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class SeriesCoverage:
    """What is known of a series.

    Attributes:
        start, end: ms; None where nothing was ever collected and no plan keeps it.
        counts: bars by state.
        expected: those that are present, pending or missing at the venue.
        gaps: ranges that are not present.
        ranges: (start, end, state, bars), ascending, the first ones.
        has_more: there are more ranges than are listed.
        is_kept: whether an enabled plan keeps it.
        unknown: as of ``Gaps``.
        profile: of the bars stored of the series itself; None where none ever was, and of mark and
            index prices.
    """

    exchange: str
    symbol: str
    interval: str
    kind: str
    start: int | None
    end: int | None
    counts: Mapping[str, int]
    expected: int
    gaps: int
    ranges: Sequence[tuple[int, int, str, int]]
    has_more: bool
    is_kept: bool = False
    unknown: str = ""
    profile: Profile | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What the record holds of a series, and the parts of the range asked for that count."""

    series_id: int | None
    spans: Sequence[Span]
    expected: Sequence[Range]
    offset_ms: int
    is_kept: bool
    unknown: str
    profile: Profile | None


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of verified days together.

    Attributes:
        expected: bars between listing and delisting.
        obtainable: those that the venue has: without what is proven to be missing there.
        missed: bars that were not stored when a verification looked for them; stored since.
        success: part of the obtainable bars that was stored before that; None where there is none.
        uncompared: stored bars of which the venue said nothing.
        accuracy: part of the stored bars that the venue states as they were stored when compared
            first; those that were not compared are none of them. None where nothing was stored.
        profile: of the stored bars, verified or not, of one series; None for several.
    """

    days: Sequence[KlineDayRow]
    expected: int
    obtainable: int
    present: int
    missed: int
    success: float | None
    compared: int
    differed: int
    surplus: int
    uncompared: int
    accuracy: float | None
    profile: Profile | None = None


class QualityService:
    """Reads of what is known about stored klines.

    Args:
        horizons: where series are expected to begin and to end.
    """

    def __init__(self, units: Units, horizons: Horizons) -> None:
        self._units = units
        self._horizons = horizons

    def names(self, exchange: str | None = None) -> list[SeriesName]:
        """Every series that is stored or that an enabled plan keeps."""
        return self._horizons.names(exchange)

    def coverage(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        start: int | None = None,
        end: int | None = None,
        kind: str = "trade",
        *,
        limit: int = 1_000,
    ) -> SeriesCoverage:
        """What is known of every expected bar of a series.

        Without bounds, from the first bar that a plan wants, or that is known, to the last one
        that is final; of a series that no plan keeps, to the last one that is known. What is
        neither known nor wanted by a plan is left out, but for less than a day that lies between
        what is known and a bound that is given.

        Raises:
            InvalidInput: no time lies in [start, end).
            UnknownName: no such interval; or the catalogue does not hold the symbol, nothing of
                it is stored, and no plan keeps it.
        """
        check_range(start, end)
        grid = interval_of(interval)
        known = self._known(exchange, symbol, grid, kind, start, end)
        named = (exchange, symbol, grid.name, kind)
        counts = count_in(known.spans, grid, known.expected, known.offset_ms)
        stated = {state.value: bars for state, bars in counts.items()}
        if not known.expected:
            told = (known.is_kept, known.unknown, known.profile)
            return SeriesCoverage(*named, None, None, stated, 0, 0, (), False, *told)
        ranges = [each for part in known.expected for each in _ranges(account(known.spans, *part))]
        return SeriesCoverage(
            *named,
            start=known.expected[0][0],
            end=known.expected[-1][1],
            counts=stated,
            expected=expected_of(counts),
            gaps=sum(state != CoverageState.PRESENT for _, _, state in ranges),
            ranges=[
                (*each, grid.expected(each[0], each[1], known.offset_ms)) for each in ranges[:limit]
            ],
            has_more=len(ranges) > limit,
            is_kept=known.is_kept,
            unknown=known.unknown,
            profile=known.profile,
        )

    def gaps(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        start: int | None,
        end: int | None,
        kind: str = "trade",
        *,
        limit: int | None = None,
    ) -> Gaps:
        """Everything in [start, end) that is not present, ascending, with its proof.

        Without bounds, the same reach as that of ``coverage``.

        Args:
            limit: the first gaps, so many at least if there are; no more spans are read than it
                takes to know them.

        Raises:
            InvalidInput, UnknownName: see ``coverage``.
            NotFound: nothing was ever collected of the series, and no plan keeps it.
        """
        check_range(start, end)
        grid = interval_of(interval)
        # Every other span is a gap as a rule, and the first may end where the range begins.
        most = None if limit is None else 2 * limit + 2
        while True:
            known = self._known(exchange, symbol, grid, kind, start, end, most)
            if known.series_id is None and not known.is_kept:
                raise NotFound(f"nothing of {symbol} {interval} at {exchange} was ever collected")
            offset = known.offset_ms
            absent = [
                span
                for first, stop in known.expected
                for span in account(known.spans, grid.ceil(first, offset), grid.ceil(stop, offset))
                if span.state is not CoverageState.PRESENT
            ]
            if most is None or len(known.spans) < most or len(absent) >= (limit or 0):
                return Gaps([_gap(span, grid, offset) for span in absent], known.unknown)
            most *= 4

    def _known(
        self,
        exchange: str,
        symbol: str,
        grid: Interval,
        kind: str,
        start: int | None,
        end: int | None,
        most: int | None = None,
    ) -> _Known:
        horizon = self._horizons.of(exchange, symbol, grid.name, kind)
        with self._units.read() as unit:
            series = unit.klines.find_series(exchange, symbol, grid.name, kind)
            if series is None and not horizon.is_kept:
                _require_known(unit, exchange, symbol, grid, kind)
            spans = [] if series is None else unit.coverage.spans(series.id, start, end, most)
            is_cut = most is not None and len(spans) == most
            ranges = _expected(unit, series, grid, horizon, spans, (start, end))
            return _Known(
                series_id=None if series is None else series.id,
                spans=spans,
                expected=within(ranges, _START, spans[-1].end) if is_cut else ranges,
                offset_ms=0 if series is None else series.grid_offset_ms,
                is_kept=horizon.is_kept,
                unknown=horizon.unknown if end is None else "",
                # Whoever asks for a number of gaps does not ask what is traded.
                profile=_profile(unit, series, start, end) if series and most is None else None,
            )

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
        latest: int | None = None,
    ) -> Quality:
        """Figures of the days of a series that begin in [start, end) and were verified.

        Its profile is that of the same days, all of them where neither end is given.

        Args:
            latest: without ``start``, no more than so many verified days, the last ones before
                ``end``.

        Raises:
            InvalidInput: no time lies in [start, end).
            NotFound: nothing was ever collected of the series.
        """
        check_range(start, end)
        with self._units.read() as unit:
            series = _series(unit, exchange, symbol, interval, kind)
            stop = _END if end is None else end
            most = latest if start is None else None
            days = unit.days.of_series(series.id, start or 0, stop, most)
            return replace(quality_of(days), profile=_profile(unit, series, start, end))

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
    surplus = sum(day.surplus for day in days)
    missed = sum(day.missed for day in days)
    uncompared = sum(day.uncompared for day in days)
    held = compared + surplus + uncompared
    return Quality(
        days=days,
        expected=expected,
        obtainable=obtainable,
        present=present,
        missed=missed,
        success=max(0, present - missed) / obtainable if obtainable else None,
        compared=compared,
        differed=differed,
        surplus=surplus,
        uncompared=uncompared,
        accuracy=max(0, compared - differed) / held if held else None,
    )


def _require_known(unit: Unit, exchange: str, symbol: str, grid: Interval, kind: str) -> None:
    """Nothing, if bars of an interval are derived of stored ones, or the catalogue has the symbol.

    Raises:
        UnknownName: neither.
    """
    if not unit.klines.sources(exchange, symbol, sources_of(grid), kind):
        unit.instruments.get(exchange, symbol)


def _expected(
    unit: Unit,
    series: KlineSeriesRow | None,
    grid: Interval,
    horizon: Horizon,
    spans: Sequence[Span],
    asked: tuple[int | None, int | None],
) -> list[Range]:
    """The stretches of the range asked for in which each bar is expected or known of.

    Args:
        spans: what is known in that range.
    """
    start, end = asked
    before = after = None
    if series is not None and start is not None:
        before = unit.coverage.before(series.id, spans[0].start if spans else start)
    if series is not None and end is not None:
        after = unit.coverage.after(series.id, spans[-1].end if spans else end)
    known_to = spans[-1].end if spans else 0
    planned = horizon.planned(known_to if end is None else end)
    edges = []
    if start is not None and before is None and (planned is None or start < planned[0]):
        edges.append(start)
    if end is not None and after is None and not horizon.is_kept:
        edges.append(end)
    ranges = expected_ranges(spans, planned, grid, before=before, after=after, edges=edges)
    return within(ranges, _START if start is None else start, _END if end is None else end)


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


def _profile(
    unit: Unit, series: KlineSeriesRow, start: int | None, end: int | None
) -> Profile | None:
    """Nothing is traded in bars of mark and index prices."""
    return profile_of(unit, series, start, end) if series.kind == KlineKind.TRADE else None


def _gap(span: Span, length: Interval, offset_ms: int) -> Gap:
    bars = length.expected(span.start, span.end, offset_ms)
    return Gap(span.start, span.end, span.state, bars, dict(span.proof))


def _ranges(spans: Sequence[Span]) -> list[tuple[int, int, str]]:
    """Spans without their proofs; neighbours of one state are one range."""
    found: list[tuple[int, int, str]] = []
    for span in spans:
        if found and found[-1][1] == span.start and found[-1][2] == span.state.value:
            found[-1] = (found[-1][0], span.end, found[-1][2])
        else:
            found.append((span.start, span.end, span.state.value))
    return found
