"""Histories that are not bars: series by name, points by time."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from app.core.errors import NotFound
from app.core.money import canonical
from app.models import PointRevisionRow, PointRow, PointSeriesRow
from app.repositories.base import Repository


class Point(NamedTuple):
    """One value at one time.

    Attributes:
        second: what belongs to it: the mark price of a funding rate, the worth of an interest.
    """

    ts: int
    value: Decimal
    second: Decimal | None = None


class PointRepository(Repository):
    """Points change only under their series row's lock."""

    def find_series(
        self, exchange: str, symbol: str, kind: str, interval: str = ""
    ) -> PointSeriesRow | None:
        """The series, or None where nothing was ever asked for."""
        row = PointSeriesRow
        return self._session.scalars(
            select(row).where(
                row.exchange == exchange,
                row.symbol == symbol,
                row.kind == kind,
                row.interval == interval,
            )
        ).one_or_none()

    def series(
        self, exchange: str, symbol: str, kind: str, interval: str, now_ms: int
    ) -> PointSeriesRow:
        """The series, made if there is none."""
        found = self.find_series(exchange, symbol, kind, interval)
        if found is not None:
            return found
        row = PointSeriesRow(
            exchange=exchange,
            symbol=symbol,
            kind=kind,
            interval=interval,
            next_ts=0,
            asked_at=0,
            created_at=now_ms,
        )
        try:
            with self._session.begin_nested():
                self._session.add(row)
        except IntegrityError:
            # Another worker made it between our look and our insert.
            found = self.find_series(exchange, symbol, kind, interval)
            if found is None:
                raise
            return found
        return row

    def lock_series(self, series_id: int) -> PointSeriesRow:
        """The series row, locked until the unit ends.

        Raises:
            NotFound: there is none.
        """
        row = self._session.scalars(
            select(PointSeriesRow)
            .where(PointSeriesRow.id == series_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).one_or_none()
        if row is None:
            raise NotFound(f"no series of points has the id {series_id}")
        return row

    def read(self, series_id: int, start: int, end: int, limit: int) -> list[Point]:
        """The first points in [start, end), ascending."""
        row = PointRow
        rows = self._session.execute(
            select(row.ts, row.value, row.second)
            .where(row.series_id == series_id, row.ts >= start, row.ts < end)
            .order_by(row.ts)
            .limit(limit)
        )
        return [Point(*each) for each in rows]

    def store(self, series_id: int, points: Sequence[Point], source: str, now_ms: int) -> int:
        """Insert what is new and revise what differs; how many that were.

        Args:
            points: ascending.
        """
        if not points:
            return 0
        first, last = points[0].ts, points[-1].ts
        known = {
            row.ts: row
            for row in self._session.scalars(
                select(PointRow).where(
                    PointRow.series_id == series_id, PointRow.ts >= first, PointRow.ts <= last
                )
            )
        }
        new = [point for point in points if point.ts not in known]
        if new:
            self._session.execute(
                insert(PointRow), [{"series_id": series_id, **each._asdict()} for each in new]
            )
        revised = 0
        for point in points:
            row = known.get(point.ts)
            if row is None or (row.value, row.second) == (point.value, point.second):
                continue
            old = Point(row.ts, row.value, row.second)
            self._session.add(
                PointRevisionRow(
                    series_id=series_id,
                    ts=point.ts,
                    old=_said(old),
                    new=_said(point),
                    source=source,
                    seen_at=now_ms,
                )
            )
            row.value, row.second = point.value, point.second
            revised += 1
        return len(new) + revised

    def revisions(self, series_id: int, limit: int = 100) -> Sequence[PointRevisionRow]:
        """The latest revisions of a series, newest first."""
        return self._session.scalars(
            select(PointRevisionRow)
            .where(PointRevisionRow.series_id == series_id)
            .order_by(PointRevisionRow.id.desc())
            .limit(limit)
        ).all()


def _said(point: Point) -> dict[str, str | None]:
    second = None if point.second is None else canonical(point.second)
    return {"value": canonical(point.value), "second": second}
