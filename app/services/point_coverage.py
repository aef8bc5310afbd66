"""Funding rates and open interest accounted for: expected, present, and what lacks as ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.errors import NotFound
from app.core.market.coverage import CoverageState, Span, account
from app.core.market.intervals import interval
from app.core.market.point_gaps import (
    SLACK_MS,
    Hole,
    first_step,
    head,
    holes,
    last_step,
    opened_behind,
    rounded,
    spans_of,
)
from app.core.ports import MarketClock
from app.models import PointSeriesRow
from app.repositories.unit import Unit, Units
from app.services.collection.points import Extra
from app.services.horizon import market_time
from app.services.time_cursors import check_range

_END: Final = 2**62


@dataclass(frozen=True, slots=True)
class PointGap:
    """Points that lack in [start, end).

    Attributes:
        state: pending until its venue gave the points around it without it three times over an
            hour; then it is the venue's. What was wanted before the venue's first point is before
            the listing.
        count: how many points; None where nothing says how far apart they are, and before the
            listing, where none is expected.
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
        unknown: why nothing is said of what should have come after the last point: the market
            time is not known; "" where it is, or is not needed.
    """

    start: int | None
    end: int | None
    every_ms: int | None
    expected: int
    present: int
    gaps: Sequence[PointGap]
    unknown: str = ""


class PointCoverage:
    """Accounts for what plans collect beside bars."""

    def __init__(self, units: Units, market_clock: MarketClock) -> None:
        self._units = units
        self._market_clock = market_clock

    def of(
        self, exchange: str, symbol: str, extra: Extra, start: int | None, end: int | None
    ) -> PointAccount:
        """The account of one history from its first point, or ``start``, to the present or ``end``.

        What a plan wants before the first point is accounted for as well. Asks the venue's clock:
        open no transaction. Where that does not answer, the account ends with the last point.

        Raises:
            InvalidInput: no time lies in [start, end).
            UnknownName: the catalogue does not hold the symbol.
            NotFound: nothing of it was ever collected.
        """
        check_range(start, end)
        market_ms, unknown = market_time(self._market_clock, exchange)
        with self._units.read() as unit:
            series = unit.points.find_series(exchange, symbol, extra.kind, extra.interval)
            if series is None:
                unit.instruments.get(exchange, symbol)
                raise NotFound(
                    f"no {extra} of {symbol} at {exchange} was collected; add a plan with "
                    f"--extra {extra}"
                )
            # All of them: how far apart points are is told from those around.
            times = unit.points.times(series.id, 0, _END if market_ms is None else market_ms)
            history = _History.of(unit, series, extra, times)
        last = times[-1] + 1 if times else 0
        # Up to an end that is given nothing is left open.
        now = market_ms if market_ms is not None else last if end is None else end
        stop = now if end is None else min(end, now)
        return _account(history, start or 0, stop, now, unknown if end is None else "")


@dataclass(frozen=True, slots=True)
class _History:
    """What is stored of a history.

    Attributes:
        times: of all points.
        known: what lacks, as it was noted.
        from_ts: from when on points are wanted, ms; None where that was never noted.
    """

    times: Sequence[int]
    known: Sequence[Span]
    from_ts: int | None
    every_ms: int | None

    @classmethod
    def of(cls, unit: Unit, series: PointSeriesRow, extra: Extra, times: Sequence[int]) -> _History:
        wanted = [] if series.from_ts is None else [series.from_ts]
        wanted += [
            plan.since_ts
            for plan in unit.plans.enabled()
            if plan.exchange == series.exchange
            and series.symbol in plan.symbols
            and str(extra) in (plan.extras or ())
        ]
        every = interval(extra.interval).length_ms if extra.interval else None
        known = spans_of(series.gaps)
        if times:
            known = opened_behind(known, times[0])
        return cls(times, known, min(wanted, default=None), every)


def _account(history: _History, start: int, end: int, now: int, unknown: str) -> PointAccount:
    times, every = history.times, history.every_ms
    step = last_step(times, every)
    lacking = [hole.cut(start, end) for hole in (*holes(times, every), *_latest(times, step, now))]
    gaps = [
        *_head(history, start, end),
        *(
            PointGap(hole.start, hole.end, _state(history.known, hole), hole.count)
            for hole in lacking
            if hole is not None
        ),
    ]
    present = [ts for ts in times if start <= ts < end]
    first = [*(gap.start for gap in gaps[:1]), *present[:1]]
    return PointAccount(
        start=min(first, default=None),
        end=end if first else None,
        every_ms=step,
        expected=len(present) + sum(gap.count or 0 for gap in gaps),
        present=len(present),
        gaps=gaps,
        unknown=unknown,
    )


def _head(history: _History, start: int, end: int) -> list[PointGap]:
    """What is wanted before the first point, as far as it lies in [start, end)."""
    step = first_step(history.times, history.every_ms)
    part = None
    if history.from_ts is not None:
        part = head(history.times, history.from_ts, step)
    if part is None:
        return []
    found = []
    for span in account(history.known, max(start, part[0]), min(end, part[1])):
        if span.state is CoverageState.BEFORE_LISTING or step is None:
            found.append(PointGap(span.start, span.end, span.state, None))
            continue
        count = (part[1] - part[0]) // step
        hole = Hole(part[1] - count * step, part[1], count).cut(span.start, span.end)
        if hole is not None:
            found.append(PointGap(hole.start, hole.end, span.state, hole.count))
    return found


def _latest(times: Sequence[int], step: int | None, now: int) -> list[Hole]:
    """What should have come since the last point; one that is due this minute is not late."""
    if not times or not step or now < times[-1] + step + SLACK_MS:
        return []
    last = rounded(times[-1])
    first, count = last + step, (now - last) // step
    return [Hole(first, first + count * step, count)]


def _state(known: Sequence[Span], hole: Hole) -> CoverageState:
    states = {span.state for span in known if span.start < hole.end and span.end > hole.start}
    is_venues = states == {CoverageState.EXCHANGE_SIDE}
    return CoverageState.EXCHANGE_SIDE if is_venues else CoverageState.PENDING
