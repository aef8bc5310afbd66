"""How complete and how right the days of the series are."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from app.models import KlineDayRow
from app.repositories.base import Repository


class DayRepository(Repository):
    """Verified days by series and day."""

    def find(self, series_id: int, day: int) -> KlineDayRow | None:
        """The figures of a day, or None where it was never verified."""
        return self._session.get(KlineDayRow, (series_id, day))

    def put(self, row: KlineDayRow) -> None:
        """Write the figures of a day; those of an earlier verification are replaced."""
        self._session.merge(row)

    def of_series(
        self, series_id: int, start: int, end: int, latest: int | None = None
    ) -> Sequence[KlineDayRow]:
        """Verified days that begin in [start, end), ascending.

        Args:
            latest: the last ones only, so many at most.
        """
        found = self._session.scalars(
            select(KlineDayRow)
            .where(
                KlineDayRow.series_id == series_id,
                KlineDayRow.day_ts >= start,
                KlineDayRow.day_ts < end,
            )
            .order_by(KlineDayRow.day_ts.desc())
            .limit(latest)
        )
        return found.all()[::-1]

    def verified(self, start: int, end: int) -> dict[int, set[int]]:
        """Verified days that begin in [start, end), by the ids of their series."""
        row = KlineDayRow
        found: dict[int, set[int]] = {}
        rows = self._session.execute(
            select(row.series_id, row.day_ts).where(row.day_ts >= start, row.day_ts < end)
        )
        for series_id, day in rows:
            found.setdefault(series_id, set()).add(day)
        return found

    def first(self, series_id: int) -> int | None:
        """The first verified day of a series, or None."""
        return self._session.execute(
            select(func.min(KlineDayRow.day_ts)).where(KlineDayRow.series_id == series_id)
        ).scalar_one()

    def between(self, start: int, end: int) -> Sequence[KlineDayRow]:
        """Verified days of all series that begin in [start, end), by day and series."""
        return self._session.scalars(
            select(KlineDayRow)
            .where(KlineDayRow.day_ts >= start, KlineDayRow.day_ts < end)
            .order_by(KlineDayRow.day_ts, KlineDayRow.series_id)
        ).all()
