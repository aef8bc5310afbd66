"""Days that roll-ups lack."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, insert, select

from app.models import RollMarkRow
from app.repositories.base import Repository

# IN lists stay below SQLite's and MySQL's comfort.
_IN_LIMIT = 500


class RollMarkRepository(Repository):
    """Marked days by series. Write only under the series row's lock."""

    def mark(self, series_id: int, days: Sequence[int]) -> int:
        """Mark days; how many were not marked yet."""
        row = RollMarkRow
        known: set[int] = set()
        for position in range(0, len(days), _IN_LIMIT):
            chunk = days[position : position + _IN_LIMIT]
            known.update(
                self._session.scalars(
                    select(row.day_ts).where(row.series_id == series_id, row.day_ts.in_(chunk))
                )
            )
        new = [{"series_id": series_id, "day_ts": day} for day in days if day not in known]
        if new:
            self._session.execute(insert(row), new)
        return len(new)

    def days(self, series_id: int, start: int, end: int) -> list[int]:
        """Marked days that begin in [start, end), ascending."""
        row = RollMarkRow
        return list(
            self._session.scalars(
                select(row.day_ts)
                .where(row.series_id == series_id, row.day_ts >= start, row.day_ts < end)
                .order_by(row.day_ts)
            )
        )

    def first(self, series_id: int, limit: int) -> list[int]:
        """The first marked days of a series, ascending."""
        row = RollMarkRow
        return list(
            self._session.scalars(
                select(row.day_ts)
                .where(row.series_id == series_id)
                .order_by(row.day_ts)
                .limit(limit)
            )
        )

    def clear(self, series_id: int, days: Sequence[int]) -> None:
        """Take marks back."""
        row = RollMarkRow
        for position in range(0, len(days), _IN_LIMIT):
            chunk = days[position : position + _IN_LIMIT]
            self._session.execute(
                delete(row).where(row.series_id == series_id, row.day_ts.in_(chunk))
            )

    def waiting(self) -> list[tuple[int, int]]:
        """Series with marked days, and the first of them."""
        row = RollMarkRow
        found = self._session.execute(
            select(row.series_id, func.min(row.day_ts)).group_by(row.series_id)
        )
        return [(each[0], each[1]) for each in found]
