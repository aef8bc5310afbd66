"""Funding rates and open interest accounted for: expected, present, and what lacks as ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.core.errors import NotFound
from app.core.market.coverage import CoverageState, Span
from app.core.market.intervals import interval
from app.core.market.point_gaps import SLACK_MS, Hole, holes, last_step, rounded, spans_of
from app.core.ports import MarketClock
from app.repositories.unit import Units
from app.services.collection.points import Extra
from app.services.time_cursors import check_range


@dataclass(frozen=True, slots=True)
class PointGap:
    """Points that lack in [start, end).

    Attributes:
        state: pending until its venue gave the points around it without it three times over an
            hour; then it is the venue's.
        count: how many points; None where nothing says how far apart they are.
    """

    start: int
    end: int
    state: CoverageState
    count: int | None


@dataclass(frozen=True, slots=True)
class PointAccount:
    """One history accounted for.

    Attributes:
        start, end: what is accounted for, ms; None where nothing is stored of it.
        every_ms: how far apart the latest points are; None where fewer than two say it.
        expected: present ones, and those that lack.
    """

    start: int | None
    end: int | None
    every_ms: int | None
    expected: int
    present: int
    gaps: Sequence[PointGap]


class PointCoverage:
    """Accounts for what plans collect beside bars."""

    def __init__(self, units: Units, market_clock: MarketClock) -> None:
        self._units = units
        self._market_clock = market_clock

    def of(
        self, exchange: str, symbol: str, extra: Extra, start: int | None, end: int | None
    ) -> PointAccount:
        """The account of one history from its first point, or ``start``, to the present or ``end``.

        What lies before the venue's first point is no gap, unless it was not asked for yet.

        Raises:
            InvalidInput: no time lies in [start, end).
            UnknownName: the catalogue does not hold the symbol.
            NotFound: nothing of it was ever collected.
            Unavailable: the venue's market time is not known.
        """
        check_range(start, end)
        now = self._market_clock.now_ms(exchange)
        stop = now if end is None else min(end, now)
        with self._units.read() as unit:
            series = unit.points.find_series(exchange, symbol, extra.kind, extra.interval)
            if series is None:
                unit.instruments.get(exchange, symbol)
                raise NotFound(
                    f"no {extra} of {symbol} at {exchange} was collected; add a plan with "
                    f"--extra {extra}"
                )
            # All of them: how far apart points are is told from those around.
            times = unit.points.times(series.id, 0, now)
            return _account(times, spans_of(series.gaps), extra, start or 0, stop, now)


def _account(
    times: Sequence[int], known: Sequence[Span], extra: Extra, start: int, end: int, now: int
) -> PointAccount:
    every = interval(extra.interval).length_ms if extra.interval else None
    step = last_step(times, every)
    lacking = [hole.cut(start, end) for hole in (*holes(times, every), *_latest(times, step, now))]
    gaps = [
        PointGap(hole.start, hole.end, _state(known, hole), hole.count)
        for hole in lacking
        if hole is not None
    ]
    unasked = [span for span in known if not span.proof and (not times or span.end <= times[0])]
    gaps = [*(_unasked(span, step) for span in unasked if span.start >= start), *gaps]
    present = [ts for ts in times if start <= ts < end]
    first = [*(gap.start for gap in gaps[:1]), *present[:1]]
    return PointAccount(
        start=min(first, default=None),
        end=end if first else None,
        every_ms=step,
        expected=len(present) + sum(gap.count or 0 for gap in gaps),
        present=len(present),
        gaps=gaps,
    )


def _latest(times: Sequence[int], step: int | None, now: int) -> list[Hole]:
    """What should have come since the last point; one that is due this minute is not late."""
    if not times or not step or now < times[-1] + step + SLACK_MS:
        return []
    last = rounded(times[-1])
    first, count = last + step, (now - last) // step
    return [Hole(first, first + count * step, count)]


def _unasked(span: Span, step: int | None) -> PointGap:
    count = None if not step else (span.end - span.start) // step
    return PointGap(span.start, span.end, span.state, count)


def _state(known: Sequence[Span], hole: Hole) -> CoverageState:
    states = {span.state for span in known if span.start < hole.end and span.end > hole.start}
    is_venues = states == {CoverageState.EXCHANGE_SIDE}
    return CoverageState.EXCHANGE_SIDE if is_venues else CoverageState.PENDING
