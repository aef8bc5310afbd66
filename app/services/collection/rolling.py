"""Roll-ups: hours and days that are made of stored minutes, and kept right after them.

Whoever changes minutes, or what is known of missing ones, marks the days in the same transaction
(``app.repositories.kline_past``).
A step here takes some days, makes their bars anew and takes the marks back, all under the lock of
the minutes' row: killed at any point, it was done whole or not at all, and nobody can change a
minute between its reading and the bar that it ends in.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.core.market.absences import Ranges, ranges_of
from app.core.market.coverage import CoverageState
from app.core.market.intervals import DAY_MS, MINUTE_MS
from app.core.market.resampling import resample_columns
from app.core.market.retention import whole_days
from app.core.market.rolling import ROLL_UPS, ROLLED, day_of, is_long_enough, runs_of
from app.core.ports import Clock, Queue
from app.models import KlineSeriesRow
from app.repositories.kline_past import is_all_marked
from app.repositories.klines import Stored
from app.repositories.unit import Unit, Units
from app.services.hinting import Hinter, Waiting

TASK: Final = "collection.roll_up"
# A day costs 13 ms, and a step 20 ms besides, for which writers of the series wait, and on SQLite
# all others.
_DAYS: Final = 6
# A task ends before 60 s.
_SLICE_S: Final = 40.0
# A page of a back-fill has others behind it: the sweep gathers them, each second.
_MANY: Final = 500


def hint_roll_up(unit: Unit, series_id: int, stored: Stored) -> None:
    """Ask for the days that roll-ups lack since minutes were stored, if there is any."""
    if stored.to_roll and stored.changed < _MANY:
        unit.enqueue(TASK, str(series_id))


class RollUps:
    """Makes roll-ups. Two that work on one series take turns.

    Args:
        units: of the bulk engine, as for every bar that is stored.
        clock: this machine's, for the length of a slice.
    """

    def __init__(self, units: Units, queue: Queue, clock: Clock) -> None:
        self._units = units
        self._queue = queue
        self._clock = clock
        self._hinter = Hinter(queue, clock)

    def sweep(self) -> int:
        """Publish a hint for each series whose roll-ups lack days; how many the queue took."""
        with self._units.read() as unit:
            waiting = unit.rolls.waiting()
        return self._hinter.give(
            [Waiting(TASK, str(series_id), mark=day) for series_id, day in waiting]
        )

    def roll_up(self, series_id: int) -> int:
        """Make what the roll-ups of a series lack, for less than a minute; how many bars changed.

        Raises:
            NotFound: there is no such series.
            Unavailable: the database stayed locked.
        """
        began = self._clock.monotonic()
        changed = 0
        while True:
            step = self._units.run(partial(_step, series_id=series_id))
            if step is None:
                return changed
            changed += step
            if self._clock.monotonic() - began >= _SLICE_S:
                self._queue.publish(TASK, str(series_id))
                return changed


def _step(unit: Unit, series_id: int) -> int | None:
    """Make some days, or begin; how many bars changed. None where nothing is lacking."""
    minutes = unit.klines.lock_series(series_id)
    marked = unit.rolls.first(series_id, _DAYS)
    if not marked:
        return None
    if minutes.rolled_to is None or not is_all_marked(minutes):
        return _begin(unit, minutes, marked)
    past = [day for day in marked if day < minutes.rolled_to]
    if not past:
        return _go_on(unit, minutes, minutes.rolled_to, marked)
    changed = sum(_make(unit, minutes, start, end) for start, end in runs_of(past))
    unit.rolls.clear(series_id, past)
    return changed


def _begin(unit: Unit, minutes: KlineSeriesRow, marked: list[int]) -> int:
    """Keep roll-ups from the first day on, if the series is long enough to be worth it."""
    bounds = unit.klines.bounds(minutes.id)
    unit.rolls.clear(minutes.id, marked)
    if bounds is not None and is_long_enough(*bounds):
        minutes.marked_version = minutes.past_version
        minutes.rolled_to = day_of(bounds[0])
        unit.rolls.mark(minutes.id, [minutes.rolled_to])
    return 0


def _go_on(unit: Unit, minutes: KlineSeriesRow, start: int, marked: list[int]) -> int:
    """Roll up the days that are over: those that a minute lies behind, or that end in one."""
    bounds = unit.klines.bounds(minutes.id)
    over = day_of(bounds[1] + MINUTE_MS) if bounds is not None else start
    stop = max(start, min(start + _DAYS * DAY_MS, over))
    changed = _make(unit, minutes, start, stop) if stop > start else 0
    minutes.rolled_to = stop
    unit.rolls.clear(minutes.id, marked)
    if stop < over:
        unit.rolls.mark(minutes.id, [stop])
    return changed


def _make(unit: Unit, minutes: KlineSeriesRow, start: int, end: int) -> int:
    """Make every bar anew of the days of which no minute was removed; how many changed."""
    spans = unit.coverage.spans(minutes.id, start, end)
    absent = ranges_of(spans, CoverageState.EXCHANGE_SIDE)
    days = whole_days(spans, start, end)
    return sum(_make_days(unit, minutes, *run, absent) for run in runs_of(days))


def _make_days(unit: Unit, minutes: KlineSeriesRow, start: int, end: int, absent: Ranges) -> int:
    changed = 0
    bars, of = unit.klines.read_exact_columns(minutes.id, start, end), minutes.interval
    for name in ROLL_UPS:
        bars, of = resample_columns(bars, of, name, absent=absent).bars, name
        rolled = unit.klines.series(
            minutes.exchange, minutes.symbol, name, unit.now_ms, kind=ROLLED
        )
        changed += unit.klines.replace(rolled.id, start, end, bars, now_ms=unit.now_ms)
    return changed
