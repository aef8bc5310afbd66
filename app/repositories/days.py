"""How complete and how right the days of the series are."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from app.core.market.expected import within
from app.core.market.intervals import DAY_MS, interval
from app.models import KlineDayRow, KlineSeriesRow
from app.repositories.base import Repository


class DayRepository(Repository):
    """Verified days by series and day."""

    def find(self, series_id: int, day: int) -> KlineDayRow | None:
        """The figures of a day, or None where it was never verified."""
        return self._session.get(KlineDayRow, (series_id, day))

    def put(self, row: KlineDayRow) -> None:
        """Write the figures of a day; those of an earlier verification are replaced."""
        self._session.merge(row)

    def recount(
        self,
        series_id: int,
        proven: Sequence[tuple[int, int]],
        disproven: Sequence[tuple[int, int]],
    ) -> None:
        """Let verified days follow what is proven of their missing bars since.

        A proof takes an hour and more. What the venue lacks of a day's last hour is proven once
        the day is verified, and would count for ever as what could have been had.

        Args:
            proven: half-open ranges of bars that are missing at the venue since, ascending.
            disproven: the same of bars of which that is not said any more.
        """
        changed = sorted([*proven, *disproven])
        first = changed[0][0] - changed[0][0] % DAY_MS
        days = self.of_series(series_id, first, max(end for _, end in changed))
        if not days:
            return
        series = self._session.get_one(KlineSeriesRow, series_id)

        def bars(ranges: Sequence[tuple[int, int]], day: int) -> int:
            return sum(
                interval(series.interval).expected(start, end, series.grid_offset_ms)
                for start, end in within(ranges, day, day + DAY_MS)
            )

        for row in days:
            more = bars(proven, row.day_ts) - bars(disproven, row.day_ts)
            row.exchange_side = max(0, row.exchange_side + more)
            row.pending = max(0, row.pending - more)

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
