"""Klines: read and stored, exactly and as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Select, bindparam, func, select

from app.core.market.activity import DayBars
from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import DAY_MS
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame, KlineRow
from app.core.market.validation import BadKline, as_text
from app.models import KlinePeriodRow, KlineRecord, KlineSeriesRow
from app.repositories.bulk_load import BulkLoader
from app.repositories.columns import read_columns, read_exact_columns
from app.repositories.kline_changes import compared, only_fills, remove, revise
from app.repositories.kline_past import forget_files, note_changes
from app.repositories.kline_series import KlineSeriesRepository
from app.repositories.prepared import Prepared

_BOUNDS = Prepared(
    select(
        *(
            # Both of one scan, SQLite would read every bar of the series.
            select(end(KlineRecord.open_ts))
            .where(KlineRecord.series_id == bindparam("series"))
            .scalar_subquery()
            for end in (func.min, func.max)
        )
    )
)
_VERSIONS = select(KlinePeriodRow.period_ts, KlinePeriodRow.version).where(
    KlinePeriodRow.series_id == bindparam("series"),
    KlinePeriodRow.period_ts >= bindparam("start"),
    KlinePeriodRow.period_ts < bindparam("end"),
)


class Stored(NamedTuple):
    """What ``KlineRepository.store`` did with the bars it was given.

    Attributes:
        first, last: open times of the first and last bar inserted or revised; 0 if none was.
        to_roll: whether a roll-up lacks a day since that it did not lack before.
        filled: of the revised ones, those that got what they lacked, and differ in nothing else.
    """

    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    first: int = 0
    last: int = 0
    to_roll: bool = False
    filled: int = 0

    @property
    def changed(self) -> int:
        """Bars inserted or revised."""
        return self.inserted + self.revised


class KlineRepository(KlineSeriesRepository):
    """Series by name; bars by open time. Bars change only under the series row's lock."""

    def read_exact(self, series_id: int, start: int, end: int) -> list[KlineRow]:
        """Bars that open in [start, end), ascending, exactly as the venue stated them."""
        rows = self._session.execute(_columns(series_id, start, end))
        return [KlineRow._make(row) for row in rows]

    def read(self, series: KlineSeriesRow, start: int, end: int) -> KlineFrame:
        """Bars that open in [start, end) as float64 columns, from the table.

        Raises:
            Unavailable: see ``read_columns``.
        """
        first, last = self.bounds(series.id) or (0, -1)
        return self.read_within(series, max(start, first), min(end, last + 1))

    def read_within(self, series: KlineSeriesRow, start: int, end: int) -> KlineFrame:
        """The same of a range that does not reach far beyond the stored bars: one question less.

        Raises:
            Unavailable: see ``read_columns``.
        """
        wanted = interval_of(series.interval)
        columns = read_columns(self._session, series.id, wanted, start, end)
        return KlineFrame(series.exchange, series.symbol, series.interval, *columns)

    def bounds(self, series_id: int) -> tuple[int, int] | None:
        """Open times of the first and the last stored bar, or None where there is none."""
        ((first, last),) = _BOUNDS.rows(self._session, {"series": series_id})
        return None if first is None else (first, last)

    def versions(self, series_id: int, start: int, end: int) -> dict[int, int]:
        """Versions of the periods that open in [start, end), where their past has changed."""
        names = {"series": series_id, "start": start, "end": end}
        rows = self._session.execute(_VERSIONS, names)
        return {row.period_ts: row.version for row in rows}

    def count(self, series_id: int, start: int, end: int) -> int:
        """How many bars that open in [start, end) are stored."""
        return self._session.execute(
            select(func.count()).where(
                KlineRecord.series_id == series_id,
                KlineRecord.open_ts >= start,
                KlineRecord.open_ts < end,
            )
        ).scalar_one()

    def last(self, series_id: int, before: int) -> KlineRow | None:
        """The latest bar that opens before a time, or None."""
        row = self._session.execute(
            _columns(series_id, 0, before)
            .order_by(None)
            .order_by(KlineRecord.open_ts.desc())
            .limit(1)
        ).one_or_none()
        return None if row is None else KlineRow._make(row)

    def store(
        self,
        series_id: int,
        rows: Sequence[KlineRow],
        *,
        covered: bool,
        source: str,
        now_ms: int,
    ) -> Stored:
        """Insert what is missing and revise what differs. Call under the series row's lock.

        What a bar does not say, such as its quote volume, takes nothing away that is known.

        Args:
            rows: validated closed bars, ascending.
            covered: whether coverage says that any bar of their range is present.
            source: who stated them, for the revisions.

        Raises:
            Unavailable: the bulk load did not store exactly these rows; roll back.
        """
        if not rows:
            return Stored()
        bounds = self.bounds(series_id)
        is_empty = not covered and self._is_empty(
            series_id, bounds, rows[0].open_ts, rows[-1].open_ts
        )
        stored, changed = self._store(series_id, rows, is_empty, source, now_ms)
        to_roll = note_changes(self._session, series_id, bounds, changed, now_ms)
        return stored._replace(to_roll=to_roll)

    def store_columns(
        self,
        series_id: int,
        columns: KlineColumns,
        *,
        covered: bool,
        source: str,
        now_ms: int,
    ) -> Stored:
        """``store`` for many bars at once: columns that were checked, ascending.

        No object is made of a bar that comes into an empty range or that is stored already.

        Raises:
            Unavailable: as ``store``.
        """
        if not len(columns):
            return Stored()
        bounds = self.bounds(series_id)
        first, last = int(columns.open_ts[0]), int(columns.open_ts[-1])
        if not covered and self._is_empty(series_id, bounds, first, last):
            BulkLoader(self._session).insert_into_empty(series_id, columns)
            to_roll = note_changes(self._session, series_id, bounds, columns.open_ts, now_ms)
            return Stored(len(columns), first=first, last=last, to_roll=to_roll)
        known = self.read_exact_columns(series_id, first, last + 1)
        found = compared(known, columns, complete=True)
        BulkLoader(self._session).insert_missing(series_id, found.new)
        pairs = list(zip(found.old.rows(), found.revised.rows(), strict=True))
        revise(self._session, series_id, pairs, source, now_ms)
        changed = np.sort(np.concatenate([found.new.open_ts, found.revised.open_ts]))
        to_roll = note_changes(self._session, series_id, bounds, changed, now_ms)
        return Stored(
            len(found.new),
            len(pairs),
            len(columns) - len(changed),
            *((int(changed[0]), int(changed[-1])) if len(changed) else (0, 0)),
            to_roll,
            sum(only_fills(old, new) for old, new in pairs),
        )

    def replace(
        self, series_id: int, start: int, end: int, columns: KlineColumns, *, now_ms: int
    ) -> int:
        """Make the bars that open in [start, end) these; how many changed.

        For bars that were made of others: no revision is kept, since those have their own. Call
        under the lock of the series that they were made of.

        Args:
            columns: checked, ascending, inside the range.

        Raises:
            Unavailable: as ``store``.
        """
        bounds = self.bounds(series_id)
        known = self.read_exact_columns(series_id, start, end)
        found = compared(known, columns)
        gone = known.open_ts[~np.isin(known.open_ts, columns.open_ts)]
        remove(self._session, series_id, [*gone.tolist(), *found.old.open_ts.tolist()])
        fresh = KlineColumns.joined([found.new, found.revised]).ordered()
        loader = BulkLoader(self._session)
        if len(known):
            loader.insert_missing(series_id, fresh)
        elif len(fresh):
            loader.insert_into_empty(series_id, fresh)
        changed = np.union1d(gone, fresh.open_ts)
        note_changes(self._session, series_id, bounds, changed, now_ms)
        if bounds is not None and bounds[1] in gone:
            # Bars before the newest one come under a new version only, and that one is gone.
            forget_files(self._session.get_one(KlineSeriesRow, series_id), now_ms)
        return len(changed)

    def withdraw(
        self, series_id: int, rows: Sequence[KlineRow], reason: str, *, source: str, now_ms: int
    ) -> bool:
        """Put stored bars into quarantine; whether a roll-up lacks a day since.

        Call under the series row's lock.

        Args:
            rows: as they are stored, ascending.
        """
        bounds = self.bounds(series_id)
        opens = [row.open_ts for row in rows]
        bad = [BadKline(row.open_ts, as_text(row), reason) for row in rows]
        self.quarantine(series_id, bad, source, now_ms)
        remove(self._session, series_id, opens)
        to_roll = note_changes(self._session, series_id, bounds, opens, now_ms)
        if bounds is not None and bounds[1] in opens:
            # Bars before the newest one come under a new version only, and that one is gone.
            forget_files(self._session.get_one(KlineSeriesRow, series_id), now_ms)
        return to_roll

    def read_exact_columns(
        self, series_id: int, start: int, end: int, *, idle: bool = False
    ) -> KlineColumns:
        """Bars that open in [start, end), ascending, exactly, as columns.

        Args:
            idle: only those without volume.

        Raises:
            Unavailable: see ``read_columns``.
        """
        row = self._session.get_one(KlineSeriesRow, series_id)
        first, last = self.bounds(series_id) or (0, -1)
        wanted = interval_of(row.interval)
        reach = (max(start, first), min(end, last + 1))
        return read_exact_columns(self._session, series_id, wanted, *reach, idle=idle)

    def days(self, series_id: int, start: int, end: int) -> list[DayBars]:
        """How many bars that open in [start, end) are stored, by UTC day, ascending."""
        row = KlineRecord
        day = (row.open_ts - row.open_ts % DAY_MS).label("day")
        found = self._session.execute(
            select(day, func.count(), func.max(row.open_ts))
            .where(row.series_id == series_id, row.open_ts >= start, row.open_ts < end)
            .group_by(day)
            .order_by(day)
        )
        return [DayBars._make(each) for each in found]

    def _is_empty(
        self, series_id: int, bounds: tuple[int, int] | None, first: int, last: int
    ) -> bool:
        """Whether no bar is stored from the first to the last; of what follows the newest bar, as
        every bar of a stream does, nothing needs to be asked."""
        if bounds is None or first > bounds[1]:
            return True
        return self.count(series_id, first, last + 1) == 0

    def _store(
        self,
        series_id: int,
        rows: Sequence[KlineRow],
        is_empty: bool,
        source: str,
        now_ms: int,
    ) -> tuple[Stored, list[int]]:
        """What was done, and the open times of bars inserted or revised, ascending."""
        loader = BulkLoader(self._session)
        first, last = rows[0].open_ts, rows[-1].open_ts
        if is_empty:
            loader.insert_into_empty(series_id, rows)
            return Stored(len(rows), first=first, last=last), [row.open_ts for row in rows]
        known = {row.open_ts: row for row in self.read_exact(series_id, first, last + 1)}
        new = [row for row in rows if row.open_ts not in known]
        differing = [
            (before, after)
            for row in rows
            if (before := known.get(row.open_ts)) is not None
            and (after := row.completed_by(before)) != before
        ]
        loader.insert_missing(series_id, new)
        revise(self._session, series_id, differing, source, now_ms)
        changed = sorted([row.open_ts for row in new] + [row.open_ts for _, row in differing])
        stored = Stored(
            len(new),
            len(differing),
            len(rows) - len(changed),
            *((changed[0], changed[-1]) if changed else ()),
        )
        return stored, changed


def bars_of(series_id: int) -> Select[*tuple[Any, ...]]:
    """Every bar of a series by time, with the fields of ``KlineRow``."""
    row = KlineRecord
    columns = (getattr(row, name) for name in KlineRow._fields)
    return select(*columns).where(row.series_id == series_id).order_by(row.open_ts)


def _columns(series_id: int, start: int, end: int) -> Select[*tuple[Any, ...]]:
    row = KlineRecord
    return bars_of(series_id).where(row.open_ts >= start, row.open_ts < end)
