"""The kline store: long reads from mapped files, which the database vouches for.

A read asks the database for the versions of the periods that it spans, one small query, and takes
the files of exactly these versions. A bar that is healed or revised anywhere gives its period
a new version in the same transaction, so no host reads a stale file after that commit. What was
appended behind a file's last bar has no new version; it comes from the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.core.market.intervals import Interval
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame
from app.models import KlineSeriesRow
from app.repositories.segments import (
    Segment,
    SegmentFiles,
    SegmentKey,
    joined,
    period_after,
    period_of,
)
from app.repositories.unit import Unit, Units

#: A read of fewer bars makes no file: a page of a chart should not wait for a month.
LONG: Final = 5_000
#: More bars than these behind a file's last one are worth a new file.
TAIL: Final = 2_000
# So few bars are read from the table at once: an evaluation asks for the last one, and bounds
# and versions cost more than it.
_FEW: Final = 200
# How often a period is read again that changes while it is read.
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Reach:
    """What a read spans, as the database knows it at one moment.

    Attributes:
        newest: open time of the series' last bar.
        versions: of each period, by its open time; 0 where nothing of its past ever changed.
    """

    start: int
    end: int
    newest: int
    versions: dict[int, int]

    def stamp(self, series: KlineSeriesRow) -> str:
        """Names what a read finds: the same stamp, the same bars."""
        # Bars behind the newest one have no version: that they came shows in the newest alone.
        versions = ".".join(map(str, self.versions.values()))
        return f"{_identity(series)}:{self.start}:{self.end}:{versions}"


class KlineStore:
    """Reads of stored bars. Safe for threads.

    Args:
        files: None keeps no files, and every read asks the table.
        long: bars of a read that makes files; shorter ones use what is there.
        tail: bars behind a file that make a new one.
    """

    def __init__(
        self, units: Units, files: SegmentFiles | None, *, long: int = LONG, tail: int = TAIL
    ) -> None:
        self._units = units
        self._files = files
        self._long = long
        self._tail = tail

    def read(self, series: KlineSeriesRow, start: int, end: int) -> KlineFrame:
        """Bars that open in [start, end) as float64 columns, ascending.

        Columns of a single file are views of the mapped file, which must not be written to.
        """
        with self._units.read() as unit:
            return self.read_in(unit, series, start, end)

    def read_in(self, unit: Unit, series: KlineSeriesRow, start: int, end: int) -> KlineFrame:
        """The same within a unit that has begun."""
        if (end - start) // interval_of(series.interval).length_ms <= _FEW:
            return unit.klines.read_within(series, start, end)
        if self._files is None:
            return unit.klines.read(series, start, end)
        reach = self.reach(unit, series, start, end)
        return self.read_reach(unit, series, reach)

    def read_reach(self, unit: Unit, series: KlineSeriesRow, reach: Reach | None) -> KlineFrame:
        """The bars of a reach, under the versions that it found."""
        name = (series.exchange, series.symbol, series.interval)
        if reach is None:
            return joined(name, [])
        if self._files is None:
            return unit.klines.read_within(series, reach.start, reach.end)
        parts: list[KlineFrame] = []
        for period in reach.versions:
            parts += self._period(unit, self._files, series, period, reach)
        return joined(name, [part for part in parts if len(part)])

    def reach(
        self,
        unit: Unit,
        series: KlineSeriesRow,
        start: int,
        end: int,
        bounds: tuple[int, int] | None = None,
        *,
        is_unchanged: bool = False,
    ) -> Reach | None:
        """What a read of [start, end) would span; None where nothing is stored there.

        Args:
            bounds: of the series, where the caller has asked for them.
            is_unchanged: the caller has just seen that its past never changed, so that no
                period has a version.
        """
        bounds = bounds or unit.klines.bounds(series.id)
        if bounds is None:
            return None
        wanted = interval_of(series.interval)
        start, end = max(start, bounds[0]), min(end, bounds[1] + 1)
        if start >= end:
            return None
        period = period_of(wanted, start)
        known = {} if is_unchanged else unit.klines.versions(series.id, period, end)
        versions = {}
        while period < end:
            versions[period] = known.get(period, 0)
            period = period_after(wanted, period)
        return Reach(start, end, bounds[1], versions)

    def _period(
        self, unit: Unit, files: SegmentFiles, series: KlineSeriesRow, period: int, reach: Reach
    ) -> list[KlineFrame]:
        """The bars of one period that the reach spans: of its file, and of the table behind it."""
        wanted = interval_of(series.interval)
        after = period_after(wanted, period)
        start, end = max(reach.start, period), min(reach.end, after)
        found = files.find(_identity(series), period, reach.versions[period])
        is_long = (reach.end - reach.start) // wanted.length_ms >= self._long
        if found is None and not is_long:
            return [unit.klines.read_within(series, start, end)]
        if found is None or (is_long and self._is_behind(found, wanted, after, reach)):
            found = self._made(unit, files, series, period) or found
        if found is None:
            return [unit.klines.read_within(series, start, end)]
        parts = [_frame(series, found).between(start, end)]
        if not found.key.is_whole and found.key.last_ts < end - 1:
            behind = max(start, found.key.last_ts + 1)
            parts.append(unit.klines.read_within(series, behind, end))
        return parts

    def _made(
        self, unit: Unit, files: SegmentFiles, series: KlineSeriesRow, period: int
    ) -> Segment | None:
        """A file of the whole period as it is now; None where it never stood still."""
        after = period_after(interval_of(series.interval), period)
        for _ in range(_TRIES):
            before = unit.klines.versions(series.id, period, period + 1).get(period, 0)
            bounds = unit.klines.bounds(series.id)
            frame = unit.klines.read(series, period, after)
            if unit.klines.versions(series.id, period, period + 1).get(period, 0) != before:
                continue
            last = int(frame.open_ts[-1]) if len(frame) else -1
            # Bars before the newest one are inserted under a new version only.
            is_whole = bounds is not None and bounds[1] >= after
            return files.write(SegmentKey(_identity(series), period, before, last, is_whole), frame)
        return None

    def _is_behind(self, found: Segment, wanted: Interval, after: int, reach: Reach) -> bool:
        """Whether a file lacks so much of its period that it should be made anew."""
        if found.key.is_whole:
            return False
        behind = (reach.newest - found.key.last_ts) // wanted.length_ms
        return reach.newest >= after or behind > self._tail


def _frame(series: KlineSeriesRow, segment: Segment) -> KlineFrame:
    name = (series.exchange, series.symbol, series.interval)
    return KlineFrame(*name, segment.open_ts, *segment.columns)


def _identity(series: KlineSeriesRow) -> str:
    """Of the series and of the database: numbers begin at 1 in every new one."""
    return f"{series.id}-{series.created_at}"
