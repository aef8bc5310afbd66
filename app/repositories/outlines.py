"""What is known of many series at once, in few statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Table, bindparam, case, func, or_, select, update

from app.core.market.coverage import CoverageState, Span, missing
from app.models import CoverageRow, KlineSeriesRow
from app.repositories.base import Repository
from app.repositories.prepared import Prepared

# IN lists stay below SQLite's and MySQL's comfort.
_IN_LIMIT = 500
_DOUBTED = (CoverageState.PENDING.value, CoverageState.BEFORE_LISTING.value)
_SERIES = cast("Table", KlineSeriesRow.__table__).c
# With every bar of a stream, so built once: the building took longer than the driver.
_STREAMED = Prepared(
    update(cast("Table", KlineSeriesRow.__table__))
    .where(
        _SERIES.id.in_(bindparam("ids", expanding=True)),
        or_(_SERIES.streamed_ts.is_(None), _SERIES.streamed_ts < bindparam("opened")),
    )
    .values(streamed_ts=bindparam("opened")),
    many="ids",
)
#: Exchange, symbol, interval, kind.
SeriesKey = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Outline:
    """The spans of one series, told briefly.

    Attributes:
        start: where the first span begins, of those that were looked at.
        end: where the last one ends.
        covered: the sum of their lengths, ms: what is short of ``end - start`` nobody asked for.
        doubted: the spans of which a bar may be there after all: pending ones, and those before a
            listing, which is looked at again now and then.
        streamed_ts: open time of the newest bar that a stream brought, or None.
        is_over: whether the venue was asked after the delisting, and gave nothing more.
    """

    start: int
    end: int
    covered: int
    doubted: Sequence[Span]
    streamed_ts: int | None
    is_over: bool = False

    def lacks(self, start: int, end: int, now_ms: int) -> bool:
        """Whether a bar of [start, end) is to be asked for by ``now_ms``.

        Never wrongly False; wrongly True where the hole lies before ``start``.
        """
        if start >= end:
            return False
        if self.start > start or self.end < end or self.covered < self.end - self.start:
            return True
        return any(
            missing([span], max(start, span.start), min(end, span.end), now_ms, by_rounds=True)
            for span in self.doubted
        )


class OutlineRepository(Repository):
    """Outlines of the series of a venue, and what they need that no span says."""

    def of(self, exchange: str, symbols: Sequence[str], floor: int) -> dict[SeriesKey, Outline]:
        """What is known of every series of some symbols.

        Two statements for five hundred symbols, and a third where something is open to doubt.

        Args:
            floor: spans that end at or before it are left out.
        """
        found: dict[SeriesKey, Outline] = {}
        for position in range(0, len(symbols), _IN_LIMIT):
            found |= self._of(exchange, symbols[position : position + _IN_LIMIT], floor)
        return found

    def _of(self, exchange: str, symbols: Sequence[str], floor: int) -> dict[SeriesKey, Outline]:
        series, span = KlineSeriesRow, CoverageRow
        doubted, after = (
            func.sum(case((span.state.in_(states), 1), else_=0))
            for states in (_DOUBTED, (CoverageState.AFTER_DELISTING.value,))
        )
        named = (series.id, series.symbol, series.interval, series.kind, series.streamed_ts)
        rows = self._session.execute(
            select(
                *named,
                func.min(span.start_ts),
                func.max(span.end_ts),
                func.sum(span.end_ts - span.start_ts),
                *(doubted, after),
            )
            .join(span, span.series_id == series.id)
            .where(series.exchange == exchange, series.symbol.in_(symbols), span.end_ts > floor)
            .group_by(*named)
        ).all()
        spans = self._doubted([row[0] for row in rows if row[-2]], floor)
        return {
            (exchange, symbol, interval, kind): Outline(
                first, last, int(covered), spans.get(series_id, ()), streamed, bool(over)
            )
            for series_id, symbol, interval, kind, streamed, first, last, covered, _, over in rows
        }

    def _doubted(self, series_ids: Sequence[int], floor: int) -> dict[int, list[Span]]:
        found: dict[int, list[Span]] = defaultdict(list)
        row = CoverageRow
        for position in range(0, len(series_ids), _IN_LIMIT):
            rows = self._session.execute(
                select(row.series_id, row.start_ts, row.end_ts, row.state, row.proof).where(
                    row.series_id.in_(series_ids[position : position + _IN_LIMIT]),
                    row.state.in_(_DOUBTED),
                    row.end_ts > floor,
                )
            )
            for series_id, start, end, state, proof in rows:
                found[series_id].append(Span(start, end, CoverageState(state), proof))
        return found

    def note_streamed(self, open_ts: int, series_ids: Sequence[int]) -> None:
        """Note that a stream brought the bar of these series that opens then.

        Args:
            series_ids: their rows are locked.
        """
        for position in range(0, len(series_ids), _IN_LIMIT):
            names = {"opened": open_ts, "ids": series_ids[position : position + _IN_LIMIT]}
            _STREAMED.run(self._session, names)
