"""What was traded on the days of the series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from app.core.market.activity import DayActivity
from app.core.market.intervals import DAY_MS
from app.models import KlineActivityRow, KlineRecord, KlineSeriesRow
from app.repositories.base import Repository

# IN lists stay below SQLite's and MySQL's comfort; a chunk of a file has 35 days of minutes.
_IN_LIMIT = 500
_ROW = KlineActivityRow
_COUNTS = ("bars", "idle", "flat", "runs", "longest", "head", "tail")


class ActivityRepository(Repository):
    """Days by series. Write only under the series row's lock."""

    def changed_days(self, series_id: int, most: int) -> Sequence[int]:
        """The first days that have changed since they were counted, ascending."""
        return self._session.scalars(
            select(_ROW.day_ts)
            .where(_ROW.series_id == series_id, _ROW.last_ts == 0)
            .order_by(_ROW.day_ts)
            .limit(most)
        ).all()

    def uncounted_from(self, series_id: int) -> int | None:
        """The day of the first bar behind those that were counted, or None where there is none."""
        last = self._session.execute(
            select(func.max(_ROW.last_ts)).where(_ROW.series_id == series_id)
        ).scalar_one()
        first = self._session.execute(
            select(func.min(KlineRecord.open_ts)).where(
                KlineRecord.series_id == series_id,
                KlineRecord.open_ts > (last or -1),
            )
        ).scalar_one()
        return None if first is None else first - first % DAY_MS

    def put(self, series_id: int, days: Sequence[tuple[DayActivity, int]]) -> None:
        """Write days, each with the open time of its last bar, which must be above 0."""
        for position in range(0, len(days), _IN_LIMIT):
            part = days[position : position + _IN_LIMIT]
            here = _ROW.day_ts.in_([day.day for day, _ in part])
            self._session.execute(delete(_ROW).where(_ROW.series_id == series_id, here))
            self._session.execute(
                insert(_ROW),
                [
                    {
                        "series_id": series_id,
                        "day_ts": day.day,
                        **{name: getattr(day, name) for name in _COUNTS},
                        "price": day.price,
                        "last_ts": last_ts,
                    }
                    for day, last_ts in part
                ],
            )

    def of_series(self, series_id: int, start: int, end: int) -> list[DayActivity]:
        """Days that begin in [start, end) and have bars, ascending, as last counted."""
        rows = self._session.scalars(
            select(_ROW)
            .where(
                _ROW.series_id == series_id,
                _ROW.day_ts >= start,
                _ROW.day_ts < end,
                _ROW.bars > 0,
            )
            .order_by(_ROW.day_ts)
        )
        return [_day(row) for row in rows]

    def latest(self, series_id: int, most: int) -> list[DayActivity]:
        """The last days that have bars, ascending, as last counted."""
        rows = self._session.scalars(
            select(_ROW)
            .where(_ROW.series_id == series_id, _ROW.bars > 0)
            .order_by(_ROW.day_ts.desc())
            .limit(most)
        ).all()
        return [_day(row) for row in reversed(rows)]

    def others_traded(self, exchange: str, symbol: str, start: int, end: int) -> bool:
        """Whether another symbol of a venue was traded on a day that begins in [start, end)."""
        series = KlineSeriesRow
        found = self._session.execute(
            select(_ROW.series_id)
            .join(series, series.id == _ROW.series_id)
            .where(
                series.exchange == exchange,
                series.symbol != symbol,
                series.kind == "trade",
                _ROW.day_ts >= start,
                _ROW.day_ts < end,
                _ROW.idle < _ROW.bars,
            )
            .limit(1)
        ).first()
        return found is not None


def mark_changed(session: Session, series_id: int, days: Sequence[int]) -> None:
    """Note that bars of these days have changed: they are counted anew."""
    for position in range(0, len(days), _IN_LIMIT):
        part = days[position : position + _IN_LIMIT]
        here = (_ROW.series_id == series_id, _ROW.day_ts.in_(part))
        known = set(session.scalars(select(_ROW.day_ts).where(*here)))
        session.execute(
            update(_ROW).where(*here).values(last_ts=0).execution_options(synchronize_session=False)
        )
        counts = dict.fromkeys(_COUNTS, 0)
        new = [day for day in part if day not in known]
        if new:
            session.execute(
                insert(_ROW),
                [
                    {"series_id": series_id, "day_ts": day, **counts, "price": None, "last_ts": 0}
                    for day in new
                ],
            )


def _day(row: KlineActivityRow) -> DayActivity:
    counts: dict[str, Any] = {name: getattr(row, name) for name in _COUNTS}
    return DayActivity(day=row.day_ts, price=row.price, **counts)
