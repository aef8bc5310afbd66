"""Funding rates and open interest: followed beside the bars of a plan, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from app.core.errors import InvalidInput
from app.core.events import body, topic
from app.core.market.coverage import CoverageState, Span, lay, missing
from app.core.market.features import MarketFeatures
from app.core.market.intervals import MINUTE_MS
from app.core.market.intervals import interval as interval_of
from app.core.market.point_gaps import NEIGHBOURS, SLACK_MS, as_json, holes, spans_of
from app.core.ports import Clock, MarketAdapter, MarketClock
from app.models import PointSeriesRow
from app.repositories.points import Point
from app.repositories.unit import Unit, Units
from app.services.collection.filling import Markets
from app.services.collection.point_learning import Look, Stored, learned

# A page of the venue that gives the fewest; others answer a thousand.
_PAGE: Final = 200
# Payments are hours apart, and not all venues say how many: looked at so often, the next one is
# known within ten minutes of its time.
_FUNDING_PAUSE_MS: Final = 10 * MINUTE_MS
_PENDING: Final = CoverageState.PENDING


class PointKind(StrEnum):
    """What the points of a history are."""

    FUNDING = "funding"
    OPEN_INTEREST = "open_interest"


@dataclass(frozen=True, slots=True)
class Extra:
    """A history that a plan follows beside its bars.

    Attributes:
        interval: of observations; empty for funding, whose times the venue chooses.
    """

    kind: PointKind
    interval: str = ""

    @classmethod
    def of(cls, text: str) -> Self:
        """From ``funding`` or ``open_interest:1h``.

        Raises:
            InvalidInput: it is neither.
            UnknownName: no such interval.
        """
        kind, _, name = text.partition(":")
        if kind == PointKind.FUNDING and not name:
            return cls(PointKind.FUNDING)
        if kind == PointKind.OPEN_INTEREST and name:
            return cls(PointKind.OPEN_INTEREST, interval_of(name).name)
        raise InvalidInput(
            f"{text[:40]!r} is no history beside the bars; use funding, or open_interest:1h"
        )

    def __str__(self) -> str:
        return f"{self.kind}:{self.interval}" if self.interval else self.kind.value

    @property
    def pause_ms(self) -> int:
        """How long nothing new is to be expected after the last look."""
        return interval_of(self.interval).length_ms if self.interval else _FUNDING_PAUSE_MS

    def check(self, features: MarketFeatures, exchange: str) -> None:
        """Nothing, where the venue has it.

        Raises:
            InvalidInput: it has not.
        """
        has = {
            PointKind.FUNDING: features.has_funding,
            PointKind.OPEN_INTEREST: features.has_open_interest,
        }
        if not has[self.kind]:
            raise InvalidInput(f"{exchange} has no history of {self.kind.replace('_', ' ')}")
        periods = features.interest_intervals
        if self.interval and periods and self.interval not in periods:
            raise InvalidInput(
                f"{exchange} has no open interest at {self.interval}; use one of "
                f"{', '.join(periods)}"
            )


@dataclass(frozen=True, slots=True)
class PointAsk:
    """One question to a venue: points in [start, end), at most a page of them.

    Attributes:
        is_present: whether it is for what came since the last question, and not for a gap.
    """

    start: int
    end: int
    is_present: bool


class PointCollector:
    """Brings histories up to the present, and fills their gaps. Safe for threads and processes."""

    def __init__(
        self, units: Units, markets: Markets, market_clock: MarketClock, clock: Clock
    ) -> None:
        self._units = units
        self._markets = markets
        self._market_clock = market_clock
        self._clock = clock

    def follow(
        self, exchange: str, symbol: str, extra: Extra, since: int, known: PointSeriesRow | None
    ) -> int:
        """Ask for the next page, if one is due; how many points were new or changed.

        A long history comes page by page, with every call that follows a full one. So do the
        years before those that an earlier plan wanted, and gaps, which are asked for at the
        times of the gaps of bars, with the point before and the point after them.

        Args:
            known: the series as it was read, or None where nothing was ever asked for.

        Raises:
            VenueError: the venue could not be asked.
            Unavailable: its market time is not known.
        """
        wall = self._clock.now_ms()
        is_due = known is None or abs(wall - known.asked_at) >= extra.pause_ms
        lacking = [] if known is None else _lacking(known, since, wall)
        if not is_due and not lacking:
            return 0
        now = self._market_clock.now_ms(exchange)
        if known is None or is_due:
            start = since if known is None else known.next_ts or _from(known, since)
            ask = PointAsk(start, now, is_present=True)
        else:
            start, end = self._around(known, *lacking[0], since)
            ask = PointAsk(start, min(end, now), is_present=False)
        if ask.start >= ask.end:
            return 0
        points = _asked(self._markets(exchange), symbol, extra, ask.start, ask.end)

        def work(unit: Unit) -> int:
            return self._keep(unit, exchange, symbol, extra, since, ask, points)

        return self._units.run(work)

    def _around(self, known: PointSeriesRow, start: int, end: int, since: int) -> tuple[int, int]:
        """A gap with the points on either side: an answer without these says nothing of it.

        A point from before what is wanted, as of a file, would lead the venue through years that
        nobody wants.
        """
        behind = max(start, end - SLACK_MS)
        with self._units.read() as unit:
            times = unit.points.times_around(known.id, start, behind, 1)
        if times and times[-1] >= behind:
            end = times[-1] + 1
        if times and _from(known, since) <= times[0] < start:
            start = times[0]
        return start, end

    def _keep(
        self,
        unit: Unit,
        exchange: str,
        symbol: str,
        extra: Extra,
        since: int,
        ask: PointAsk,
        points: Sequence[Point],
    ) -> int:
        names = (exchange, symbol, extra.kind.value, extra.interval)
        series = unit.points.lock_series(unit.points.series(*names, unit.now_ms).id)
        _open(unit, series, since)
        stored = unit.points.store(series.id, points, f"rest:{exchange}", unit.now_ms)
        is_full = len(points) >= _PAGE
        reached = points[-1].ts + 1 if points else ask.start
        if ask.is_present:
            series.next_ts = max(series.next_ts, reached) if points else series.next_ts
            # Behind a full page there is more: it is asked for with the next call.
            series.asked_at = 0 if is_full else unit.now_ms
        elif not is_full:
            reached = ask.end
        if reached > ask.start:
            look = Look(ask.start, reached, [point.ts for point in points])
            series.gaps = as_json(_learned(unit, series, extra, since, look))
        if stored:
            tell_points(unit, exchange, symbol, extra, points, stored)
        return stored


def _from(known: PointSeriesRow, since: int) -> int:
    return since if known.from_ts is None else min(since, known.from_ts)


def _lacking(known: PointSeriesRow, since: int, now_ms: int) -> list[tuple[int, int]]:
    """Ranges to ask for again, or for the first time, that lie behind the newest point."""
    if not known.next_ts:
        # The venue gave nothing yet: every question is for all that is wanted.
        return []
    found: list[tuple[int, int]] = []
    if known.from_ts is not None and since < known.from_ts:
        found.append((since, known.from_ts))
    for span in spans_of(known.gaps):
        found += missing([span], span.start, span.end, now_ms)
    return found


def _open(unit: Unit, series: PointSeriesRow, since: int) -> None:
    """Note from when on all of a series is wanted.

    What an earlier plan did not want, and what lacks of a series that an older release asked for,
    are gaps that nobody asked for yet.
    """
    gaps = spans_of(series.gaps)
    if series.from_ts is None:
        first = unit.points.first_times(series.id, 1) if series.next_ts else []
        series.from_ts = first[0] if first else since
        times = unit.points.times(series.id, first[0], series.next_ts) if first else []
        every = _every_ms(series.interval)
        gaps = lay(gaps, *(Span(each.start, each.end, _PENDING) for each in holes(times, every)))
    if since < series.from_ts:
        if series.next_ts:
            gaps = lay(gaps, Span(since, series.from_ts, _PENDING))
        series.from_ts = since
    series.gaps = as_json(gaps)


def _learned(
    unit: Unit, series: PointSeriesRow, extra: Extra, since: int, look: Look
) -> list[Span]:
    """What lacks of a series after a look, whose points are stored."""
    stored = Stored(
        from_ts=_from(series, since),
        first=unit.points.first_times(series.id, NEIGHBOURS + 1),
        around=unit.points.times_around(series.id, look.start, look.end, NEIGHBOURS + 1),
        every_ms=_every_ms(extra.interval),
    )
    return learned(spans_of(series.gaps), look, stored, unit.now_ms)


def _every_ms(interval: str) -> int | None:
    return interval_of(interval).length_ms if interval else None


def tell_points(
    unit: Unit, exchange: str, symbol: str, extra: Extra, points: Sequence[Point], stored: int
) -> None:
    """Report that of these points, which ascend, so many were new or changed."""
    tell_series(unit, exchange, symbol, extra.kind.value, extra.interval, points, stored)


def tell_series(
    unit: Unit,
    exchange: str,
    symbol: str,
    kind: str,
    interval: str,
    points: Sequence[Point],
    stored: int,
) -> None:
    """As ``tell_points``, of any series; one that is about no symbol has ``-`` in its topic."""
    unit.emit(
        topic("market", kind, exchange, symbol or "-"),
        body(
            "points.v1",
            kind=kind,
            exchange=exchange,
            symbol=symbol,
            interval=interval,
            first=points[0].ts,
            last=points[-1].ts,
            count=stored,
        ),
    )


def _asked(market: MarketAdapter, symbol: str, extra: Extra, start: int, end: int) -> list[Point]:
    if extra.kind is PointKind.FUNDING:
        rates = market.funding_rates(symbol, start, end, _PAGE)
        return [Point(rate.ts, rate.rate, rate.mark_price) for rate in rates]
    found = market.open_interest(symbol, extra.interval, start, end, _PAGE)
    return [Point(each.ts, each.quantity, each.value) for each in found]
