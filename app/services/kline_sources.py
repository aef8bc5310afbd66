"""Bars of an interval from one stored series: its own, a finer one, or the roll-up of that one.

Which series they come of, where several hold some, is told by ``app.services.kline_parts``.

A roll-up says what minutes make, but for the days that are marked and those from ``rolled_to`` on.
A read takes its bars where they are made and derives the others from minutes, so it is never older
than the last commit of whoever changed a minute. A mark is taken back in the transaction that
writes the bars, and it is looked for before these are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from app.core.market.absences import Ranges, merged
from app.core.market.coverage import CoverageState
from app.core.market.intervals import DAY_MS, INTERVALS, Interval
from app.core.market.klines import KlineFrame, KlineRow
from app.core.market.resampling import Bars, Resampled, resample, resample_rows
from app.core.market.rolling import day_of, roll_up_of, runs_of
from app.models import KlineSeriesRow
from app.repositories.kline_past import is_all_marked
from app.repositories.kline_store import KlineStore
from app.repositories.segments import joined
from app.repositories.unit import Unit

# What an interval that is not stored itself derives from, the coarsest first.
_COARSE: Final = {"3d": ("1d", "1m"), "1w": ("1d", "1m"), "1M": ("1d", "1m")}
_FINE: Final = ("1m",)
# Each costs a read of its own. Where marks lie so far apart, minutes are read throughout.
_MOST_PARTS: Final = 32


@dataclass(frozen=True, slots=True)
class _Part:
    """Bars that open in [start, end), of one stored series."""

    series: KlineSeriesRow
    start: int
    end: int


def sources_of(wanted: Interval) -> tuple[str, ...]:
    """Intervals whose stored bars an interval is read from, the best first."""
    # Minutes are what is usually kept, and keep the longest past; anything else that fits is
    # better than nothing.
    fitting = (
        name
        for name, each in reversed(INTERVALS.items())
        if each.length_ms < wanted.length_ms and not DAY_MS % each.length_ms
    )
    whole = (name for name in fitting if not wanted.length_ms % INTERVALS[name].length_ms)
    return tuple(dict.fromkeys((wanted.name, *_COARSE.get(wanted.name, _FINE), *whole)))


def read_frame(
    unit: Unit,
    store: KlineStore,
    series: KlineSeriesRow,
    wanted: Interval,
    start: int,
    end: int,
    offset_ms: int | None = None,
) -> KlineFrame:
    """Bars of one series that open in [start, end) as float64 columns, ascending.

    Args:
        series: stored, of an interval of ``sources_of(wanted)``.
        offset_ms: of the wanted grid, which the series' own fits into; None for its own.
    """
    if series.interval == wanted.name:
        return store.read_in(unit, series, start, end)
    offset = series.grid_offset_ms if offset_ms is None else offset_ms
    made_of, parts = _parts(unit, series, wanted, (start, end), offset)
    frames = []
    for part in parts:
        frame = store.read_in(unit, part.series, part.start, part.end)
        if frame.interval != made_of:
            make = partial(resample, frame, made_of, offset_ms=offset)
            frame = _whole(unit, series, (part.start, part.end), make)
        if len(frame):
            frames.append(frame)
    found = joined((series.exchange, series.symbol, made_of), frames)
    if made_of != wanted.name:
        make = partial(resample, found, wanted.name, offset_ms=offset)
        reach = parts[0].start, parts[-1].end
        found = _whole(unit, series, reach, make, is_rolled=made_of != series.interval)
    return found.between(start, end)


def read_rows(
    unit: Unit,
    series: KlineSeriesRow,
    wanted: Interval,
    start: int,
    end: int,
    offset_ms: int | None = None,
) -> list[KlineRow]:
    """The same bars exactly, as the venue stated them or as their exact sums."""
    if series.interval == wanted.name:
        return unit.klines.read_exact(series.id, start, end)
    offset = series.grid_offset_ms if offset_ms is None else offset_ms
    made_of, parts = _parts(unit, series, wanted, (start, end), offset)
    found: list[KlineRow] = []
    for part in parts:
        rows = unit.klines.read_exact(part.series.id, part.start, part.end)
        if part.series.interval != made_of:
            of = part.series.interval
            make = partial(resample_rows, rows, of, made_of, offset_ms=offset)
            rows = _whole(unit, series, (part.start, part.end), make)
        found += rows
    if made_of != wanted.name:
        make = partial(resample_rows, found, made_of, wanted.name, offset_ms=offset)
        reach = parts[0].start, parts[-1].end
        found = _whole(unit, series, reach, make, is_rolled=made_of != series.interval)
    return [row for row in found if start <= row.open_ts < end]


def _whole(
    unit: Unit,
    series: KlineSeriesRow,
    reach: tuple[int, int],
    make: Callable[..., Resampled[Bars]],
    *,
    is_rolled: bool = False,
) -> Bars:
    """Longer bars; made once more with what the venue is proven to lack, where any has a hole.

    Args:
        reach: what they are made of, half open.
        is_rolled: whether that is rolled up of the series, some of it at least.
    """
    made = make()
    if made.incomplete and series.absent_version:
        # Read behind the bars: one that has come meanwhile is a hole, and never left out.
        made = make(absent=_absent(unit, series, reach, is_rolled=is_rolled))
    return made.bars


def _absent(
    unit: Unit, series: KlineSeriesRow, reach: tuple[int, int], *, is_rolled: bool
) -> Ranges:
    """Where a bar that is not there is none."""
    found = unit.coverage.ranges(series.id, *reach, CoverageState.EXCHANGE_SIDE)
    if not is_rolled:
        return found
    # What was proven of minutes is forgotten with them. A day that was rolled up says that its
    # hours were all there, or that nobody had traded in those that are not.
    gone = unit.coverage.ranges(series.id, *reach, CoverageState.RETIRED)
    days = unit.klines.roll_ups(series).get("1d") if gone else None
    if days is None:
        return found
    opens = [row.open_ts for row in unit.klines.read_exact(days.id, gone[0][0], gone[-1][1])]
    whole = [(ts, ts + DAY_MS) for ts in opens if any(a <= ts < b for a, b in gone)]
    return merged(sorted([*found, *whole]))


def rolls_to(series: KlineSeriesRow, wanted: Interval, offset_ms: int) -> str | None:
    """The roll-up that bars of an interval are made of before ``rolled_to``; None for none.

    Args:
        offset_ms: of the wanted grid.
    """
    name = roll_up_of(wanted)
    if series.interval == wanted.name or series.rolled_to is None or not is_all_marked(series):
        return None
    # Roll-ups are on the grid of UTC.
    return None if name is None or offset_ms % INTERVALS[name].length_ms else name


def _parts(
    unit: Unit, series: KlineSeriesRow, wanted: Interval, between: tuple[int, int], offset: int
) -> tuple[str, Sequence[_Part]]:
    """What bars that open between two times are made of: an interval, and where its bars are.

    The parts follow each other. Those of another series are to be brought to the interval.
    """
    first = wanted.ceil(between[0], offset)
    stop = max(first, wanted.ceil(between[1], offset))
    whole = _Part(series, first, stop)
    name = rolls_to(series, wanted, offset)
    if name is None or series.rolled_to is None:
        return series.interval, [whole]
    made_to = min(stop, series.rolled_to)
    if made_to <= first:
        return series.interval, [whole]
    rolled = unit.klines.roll_ups(series).get(name)
    if rolled is None:
        return series.interval, [whole]
    marked = runs_of(unit.rolls.days(series.id, day_of(first), made_to))
    parts: list[_Part] = []
    position = first
    for begin, over in [*marked, (made_to, stop)]:
        if begin > position:
            parts.append(_Part(rolled, position, begin))
            position = begin
        if over > position:
            parts.append(_Part(series, position, min(over, stop)))
            position = min(over, stop)
    if len(parts) > _MOST_PARTS:
        return series.interval, [whole]
    return name, parts
