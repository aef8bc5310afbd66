"""What is traded in the stored series: counted by the day, judged, and told where it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final

from app.core.market.activity import (
    DEAD_AFTER_DAYS,
    Activity,
    DayActivity,
    Silence,
    activity_of,
    silence_of,
    summed,
)
from app.core.market.character import (
    Absence,
    Absences,
    Character,
    absences_of,
    absences_together,
    character_of,
    no_trade_share,
)
from app.core.market.coverage import CoverageState, Span
from app.core.market.expected import expected_ranges
from app.core.market.intervals import DAY_MS, Interval
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineKind
from app.core.money import canonical
from app.models import KlineSeriesRow
from app.repositories.unit import Unit, Units
from app.services.alarms import begin_alarm, end_alarm

# Bars of one transaction, under the series row's lock: 50 ms.
_STEP_BARS: Final = 20_000
# 4,000,000 bars: ten seconds.
_STEPS_OF_A_CALL: Final = 200
_END: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Profile:
    """What the stored bars of a series say of its market, by whole UTC days.

    Attributes:
        start, end: of the stored bars, [start, end), ms; None where there is none.
        uncounted: stored bars that ``activity`` does not hold yet: those of today.
        gaps: between the stored bars of the range.
        looks_like: the character if every gap were the venue's, as of a file that is whole.
        no_trade: part of the bars without a trade; None where there is none.
        silence: the silent days with which the series ends.
        is_dead: whether the series is flagged, see ``ActivityService``.
    """

    start: int | None
    end: int | None
    activity: Activity
    uncounted: int
    gaps: Absences
    character: Character
    looks_like: Character
    no_trade: float | None
    silence: Silence | None
    is_dead: bool


class ActivityService:
    """Counts the days of the series, and flags those in which nothing is traded any more.

    A series is dead after ``DEAD_AFTER_DAYS`` whole days of nothing but flat bars at one price
    without volume, while another symbol of its venue was traded. It is told once and collected
    on: only a trade lifts the flag, and only collecting shows the trade.
    """

    def __init__(self, units: Units) -> None:
        self._units = units

    def count_all(self) -> None:
        """Count the days that are over, of every series of trades, and judge it.

        A flagged series is counted to its last bar: the trade that lifts its flag is of today.
        What is more than one call can take, as after an upgrade, the next ones do.
        """
        steps = count(1)
        with self._units.read() as unit:
            wanted = [
                (row.id, unit.system.alarm_stands(_alarm(row)))
                for row in unit.klines.all_series()
                if row.kind == KlineKind.TRADE
            ]
        for series_id, is_dead in wanted:
            is_done = self.count(
                series_id, with_today=is_dead, over=lambda: next(steps) >= _STEPS_OF_A_CALL
            )
            if not is_done:
                return

    def count(
        self,
        series_id: int,
        *,
        with_today: bool = True,
        over: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Count the days of a series that changed or came since they were counted, and judge it;
        whether all of them were.

        Args:
            with_today: also the day of its last bar, which is counted again when it has more.
            over: asked between two steps; True leaves the rest to the next call.

        Raises:
            Unavailable: the database stayed locked.
        """
        step = partial(_step, series_id=series_id, with_today=with_today)
        while self._units.run(step):
            if over():
                return False
        self._units.run(partial(_judge, series_id=series_id))
        return True

    def count_named(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        kind: str,
        *,
        over: Callable[[], bool] = lambda: False,
    ) -> None:
        """``count`` for a series by its names; nothing, where nothing of it is stored."""
        with self._units.read() as unit:
            series = unit.klines.find_series(exchange, symbol, interval, kind)
        if series is not None:
            self.count(series.id, over=over)


def profile_of(unit: Unit, series: KlineSeriesRow, start: int | None, end: int | None) -> Profile:
    """What is known of a series in the UTC days that [start, end) touches; None is all.

    Reads days and coverage, and no bar.
    """
    length = interval_of(series.interval)
    first = 0 if start is None else start - start % DAY_MS
    stop = _END if end is None else -(-end // DAY_MS) * DAY_MS
    days = unit.activity.of_series(series.id, first, stop)
    known = unit.coverage.spans(series.id, first, stop)
    spans = [span.cut(first, stop) for span in known if span.start < stop and span.end > first]
    activity = summed(days)
    gaps = _absences(unit, series, spans, length)
    together = absences_together(gaps)
    is_traded = series.kind == KlineKind.TRADE
    judged = partial(character_of, activity, gaps, len(days))
    stored = [span for span in spans if span.state is CoverageState.PRESENT]
    present = sum(length.expected(each.start, each.end, series.grid_offset_ms) for each in stored)
    return Profile(
        start=stored[0].start if stored else None,
        end=stored[-1].end if stored else None,
        activity=activity,
        uncounted=max(0, present - activity.bars),
        gaps=together,
        character=judged() if is_traded else Character.UNKNOWN,
        looks_like=judged(all_proven=True) if is_traded else Character.UNKNOWN,
        no_trade=no_trade_share(activity, together),
        silence=silence_of(days),
        is_dead=is_traded and unit.system.alarm_stands(_alarm(series)),
    )


def _absences(
    unit: Unit, series: KlineSeriesRow, spans: Sequence[Span], length: Interval
) -> list[Absence]:
    """What lacks between stored bars; what lies between two histories is nobody's and no gap."""
    since = unit.plans.since(series.exchange, series.symbol, series.interval, series.kind)
    planned = None if since is None else (since, _END)
    found: list[Absence] = []
    for start, end in expected_ranges(spans, planned, length):
        inside = (span for span in spans if span.start < end and span.end > start)
        here = [
            span if start <= span.start and span.end <= end else span.cut(start, end)
            for span in inside
        ]
        found += absences_of(here, length, series.grid_offset_ms)
    return found


def _step(unit: Unit, series_id: int, *, with_today: bool) -> bool:
    """Count some days; whether there may be more."""
    series = unit.klines.lock_series(series_id)
    length = interval_of(series.interval)
    reach = max(1, _STEP_BARS * length.length_ms // DAY_MS)
    bounds = unit.klines.bounds(series_id)
    first = unit.activity.uncounted_from(series_id)
    if bounds is None or (first == bounds[1] - bounds[1] % DAY_MS and not with_today):
        first = None
    # What came behind the newest day goes first: days that have changed may lie in it.
    changed = unit.activity.changed_days(series_id, reach) if first is None else []
    if first is None and not changed:
        return False
    first = changed[0] if first is None else first
    stop = first + reach * DAY_MS
    if bounds is not None and not changed and not with_today:
        stop = min(stop, bounds[1] - bounds[1] % DAY_MS)
    if changed:
        # Those that follow each other: one bar that changed is no reason to read two weeks.
        changed = [day for n, day in enumerate(changed) if day == first + n * DAY_MS]
        stop = changed[-1] + DAY_MS
    counts = unit.klines.days(series_id, first, stop)
    idle = unit.klines.read_exact_columns(series_id, first, stop, idle=True)
    found = activity_of(counts, idle, length)
    last = {day.day: day.last for day in counts}
    gone = [day for day in changed if day not in last]
    unit.activity.put(series_id, [(day, last[day.day]) for day in found])
    unit.activity.put(series_id, [(DayActivity(day, 0, 0, 0, 0, 0, 0, 0), day) for day in gone])
    return True


def _judge(unit: Unit, series_id: int) -> None:
    """Tell that a series is dead, or that it is traded again."""
    series = unit.klines.lock_series(series_id)
    if series.kind != KlineKind.TRADE:
        return
    latest = unit.activity.latest(series_id, DEAD_AFTER_DAYS + 1)
    names = {"exchange": series.exchange, "symbol": series.symbol, "interval": series.interval}
    what = f"{series.symbol} {series.interval} at {series.exchange}"
    if unit.system.alarm_stands(_alarm(series)):
        if _is_traded_again(latest):
            end_alarm(unit, _alarm(series), "series-alive", f"{what} is traded again", **names)
        return
    silence = silence_of(latest)
    if silence is None or silence.days < DEAD_AFTER_DAYS:
        return
    end = silence.since + silence.days * DAY_MS
    if not unit.activity.others_traded(series.exchange, series.symbol, silence.since, end):
        return
    silence = silence_of(unit.activity.of_series(series_id, 0, _END)) or silence
    text = (
        f"{what} looks dead: for {silence.days} days its bars are flat at "
        f"{canonical(silence.price)} without volume, while others of the venue are traded; it is "
        "collected on"
    )
    facts = {"since": silence.since, "days": silence.days, **names}
    begin_alarm(unit, _alarm(series), "warning", "series-dead", text, **facts)


def _is_traded_again(latest: list[DayActivity]) -> bool:
    """Whether there is a trade behind the last silent day."""
    for day in reversed(latest):
        if day.is_silent:
            return False
        if day.has_trades:
            return True
    return False


def _alarm(series: KlineSeriesRow) -> str:
    return f"dead:{series.exchange}:{series.symbol}:{series.interval}"
