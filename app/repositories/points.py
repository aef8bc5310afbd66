"""Histories that are not bars: series by name, points by time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from app.core.errors import NotFound
from app.core.money import canonical
from app.models import PointQuarantineRow, PointRevisionRow, PointRow, PointSeriesRow
from app.repositories.base import Repository

# IN lists stay below SQLite's and MySQL's comfort.
_IN_LIMIT: Final = 500


class Point(NamedTuple):
    """One value at one time.

    Attributes:
        second: what belongs to it: the mark price of a funding rate, the worth of an interest.
        label: a word that belongs to it, at most 64 characters.
    """

    ts: int
    value: Decimal
    second: Decimal | None = None
    label: str | None = None


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

    def series_of(self, exchange: str) -> Sequence[PointSeriesRow]:
        """Every series of a venue or source, by kind, symbol and interval."""
        row = PointSeriesRow
        return self._session.scalars(
            select(row).where(row.exchange == exchange).order_by(row.kind, row.symbol, row.interval)
        ).all()

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
            select(row.ts, row.value, row.second, row.label)
            .where(row.series_id == series_id, row.ts >= start, row.ts < end)
            .order_by(row.ts)
            .limit(limit)
        )
        return [Point(*each) for each in rows]

    def times(self, series_id: int, start: int, end: int) -> list[int]:
        """Times of the points in [start, end), ascending."""
        row = PointRow
        return list(
            self._session.scalars(
                select(row.ts)
                .where(row.series_id == series_id, row.ts >= start, row.ts < end)
                .order_by(row.ts)
            )
        )

    def times_around(self, series_id: int, start: int, end: int, more: int) -> list[int]:
        """The same, with up to so many before and behind them."""
        row = PointRow
        of_series = select(row.ts).where(row.series_id == series_id)
        before = self._session.scalars(
            of_series.where(row.ts < start).order_by(row.ts.desc()).limit(more)
        ).all()
        behind = self._session.scalars(
            of_series.where(row.ts >= end).order_by(row.ts).limit(more)
        ).all()
        return [*reversed(before), *self.times(series_id, start, end), *behind]

    def first_times(self, series_id: int, most: int) -> list[int]:
        """Times of the first points, ascending."""
        row = PointRow
        return list(
            self._session.scalars(
                select(row.ts).where(row.series_id == series_id).order_by(row.ts).limit(most)
            )
        )

    def store(self, series_id: int, points: Sequence[Point], source: str, now_ms: int) -> int:
        """Insert what is new and revise what differs; how many that were.

        Args:
            points: ascending.
        """
        if not points:
            return 0
        known: dict[int, PointRow] = {}
        for position in range(0, len(points), _IN_LIMIT):
            # By their times and not by a range, which may be all of a long history.
            times = [point.ts for point in points[position : position + _IN_LIMIT]]
            found = select(PointRow).where(PointRow.series_id == series_id, PointRow.ts.in_(times))
            known |= {row.ts: row for row in self._session.scalars(found)}
        new = [point for point in points if point.ts not in known]
        if new:
            self._session.execute(
                insert(PointRow), [{"series_id": series_id, **each._asdict()} for each in new]
            )
        revised = 0
        for point in points:
            row = known.get(point.ts)
            if row is None:
                continue
            old = Point(row.ts, row.value, row.second, row.label)
            if old == point:
                continue
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
            row.value, row.second, row.label = point.value, point.second, point.label
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

    def quarantine(
        self, exchange: str, bad: Sequence[tuple[Any, str]], source: str, now_ms: int
    ) -> int:
        """Keep observations (as they came, and the reason) that may not be stored.

        One that is kept already is not kept again: a source may state it each time it is asked.

        Returns:
            How many were not known yet.
        """
        wanted = {_digest(row, reason): (row, reason) for row, reason in bad}
        if not wanted:
            return 0
        table = PointQuarantineRow
        known = set(
            self._session.scalars(
                select(table.digest).where(
                    table.exchange == exchange, table.digest.in_(list(wanted))
                )
            )
        )
        new = [each for each in wanted.items() if each[0] not in known]
        for digest, (row, reason) in new:
            self._session.add(
                PointQuarantineRow(
                    exchange=exchange,
                    digest=digest,
                    row=row,
                    reason=reason,
                    source=source,
                    seen_at=now_ms,
                )
            )
        return len(new)

    def count_quarantined(self, exchange: str) -> int:
        """How many observations of a source are kept in quarantine."""
        row = PointQuarantineRow
        counted = select(func.count()).select_from(row).where(row.exchange == exchange)
        return int(self._session.scalar(counted) or 0)

    def quarantined(self, exchange: str, limit: int) -> Sequence[PointQuarantineRow]:
        """The latest observations in quarantine, newest first."""
        row = PointQuarantineRow
        return self._session.scalars(
            select(row).where(row.exchange == exchange).order_by(row.id.desc()).limit(limit)
        ).all()


def _said(point: Point) -> dict[str, str | None]:
    second = None if point.second is None else canonical(point.second)
    label = {} if point.label is None else {"label": point.label}
    return {"value": canonical(point.value), "second": second, **label}


def _digest(row: Any, reason: str) -> str:
    return hashlib.sha256(json.dumps([row, reason]).encode()).hexdigest()
