"""How complete and how right the days of the series are."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from app.models import KlineDayRow
from app.repositories.base import Repository


class DayRepository(Repository):
    """Verified days by series and day."""

    def put(self, row: KlineDayRow) -> None:
        """Write the figures of a day; those of an earlier verification are replaced."""
        self._session.merge(row)

    def of_series(self, series_id: int, start: int, end: int) -> Sequence[KlineDayRow]:
        """Verified days that begin in [start, end), ascending."""
        return self._session.scalars(
            select(KlineDayRow)
            .where(
                KlineDayRow.series_id == series_id,
                KlineDayRow.day_ts >= start,
                KlineDayRow.day_ts < end,
            )
            .order_by(KlineDayRow.day_ts)
        ).all()

    def verified(self, day_ts: int) -> set[int]:
        """Ids of the series whose day was verified."""
        return set(
            self._session.scalars(select(KlineDayRow.series_id).where(KlineDayRow.day_ts == day_ts))
        )

    def between(self, start: int, end: int) -> Sequence[KlineDayRow]:
        """Verified days of all series that begin in [start, end), by day and series."""
        return self._session.scalars(
            select(KlineDayRow)
            .where(KlineDayRow.day_ts >= start, KlineDayRow.day_ts < end)
            .order_by(KlineDayRow.day_ts, KlineDayRow.series_id)
        ).all()
