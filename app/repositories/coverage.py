"""What is known of each expected bar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.orm import aliased

from app.core.market.absences import Ranges, changed_absences, merged
from app.core.market.coverage import CoverageState, Span
from app.models import CoverageRow
from app.repositories.base import Repository
from app.repositories.days import DayRepository
from app.repositories.kline_past import note_absences
from app.repositories.prepared import Prepared

# IN lists stay below SQLite's and MySQL's comfort.
_IN_LIMIT = 500
# What a BIGINT holds.
_LAST = (1 << 63) - 1
_FIRST = -_LAST
_SPAN = select(CoverageRow.start_ts, CoverageRow.end_ts, CoverageRow.state, CoverageRow.proof)
# Spans do not overlap, so that the last one that begins before a range is the first that may lie
# in it or touch it: of a market in which few trade, all spans since the listing would be read.
_EARLIER = aliased(CoverageRow)
_FIRST_IN_RANGE = (
    select(func.max(_EARLIER.start_ts))
    .where(_EARLIER.series_id == bindparam("series"), _EARLIER.start_ts < bindparam("start"))
    .scalar_subquery()
)
_SPANS = Prepared(
    _SPAN.where(
        CoverageRow.series_id == bindparam("series"),
        CoverageRow.start_ts >= func.coalesce(_FIRST_IN_RANGE, bindparam("start")),
        CoverageRow.end_ts >= bindparam("start"),
        CoverageRow.start_ts <= bindparam("end"),
    )
    .order_by(CoverageRow.start_ts)
    .limit(bindparam("most"))
)
_BEFORE = Prepared(
    _SPAN.where(
        CoverageRow.series_id == bindparam("series"), CoverageRow.start_ts < bindparam("position")
    )
    .order_by(CoverageRow.start_ts.desc())
    .limit(1)
)
_AFTER = Prepared(
    _SPAN.where(
        CoverageRow.series_id == bindparam("series"), CoverageRow.start_ts >= bindparam("position")
    )
    .order_by(CoverageRow.start_ts)
    .limit(1)
)
_RANGES = Prepared(
    select(CoverageRow.start_ts, CoverageRow.end_ts)
    .where(
        CoverageRow.series_id == bindparam("series"),
        CoverageRow.start_ts >= func.coalesce(_FIRST_IN_RANGE, bindparam("start")),
        CoverageRow.end_ts > bindparam("start"),
        CoverageRow.start_ts < bindparam("end"),
        CoverageRow.state == bindparam("state"),
    )
    .order_by(CoverageRow.start_ts)
)
_MOVE_END = Prepared(
    update(CoverageRow)
    .where(CoverageRow.series_id == bindparam("series"), CoverageRow.start_ts == bindparam("start"))
    .values(end_ts=bindparam("end_ts"))
)


class CoverageRepository(Repository):
    """Spans of a series. Write only under the series row's lock."""

    def spans(
        self,
        series_id: int,
        start: int | None = None,
        end: int | None = None,
        limit: int | None = None,
    ) -> list[Span]:
        """Spans that overlap or touch [start, end], ascending; all of them without bounds.

        Args:
            limit: the first ones, at most so many. A market that omits minutes without a trade
                has 100,000 in three months.
        """
        names = {
            "series": series_id,
            "start": _FIRST if start is None else start,
            "end": _LAST if end is None else end,
            "most": _LAST if limit is None else limit,
        }
        return _spans(_SPANS.rows(self._session, names))

    def before(self, series_id: int, position: int) -> Span | None:
        """The last span that begins before ``position``, or None."""
        names = {"series": series_id, "position": position}
        return next(iter(_spans(_BEFORE.rows(self._session, names))), None)

    def after(self, series_id: int, position: int) -> Span | None:
        """The first span that begins at ``position`` or later, or None."""
        names = {"series": series_id, "position": position}
        return next(iter(_spans(_AFTER.rows(self._session, names))), None)

    def ranges(self, series_id: int, start: int, end: int, state: CoverageState) -> Ranges:
        """Where [start, end) overlaps spans of one state, ascending; neighbours are one range.

        Their proofs, which cost most of a span, are not read.
        """
        names = {"series": series_id, "start": start, "end": end, "state": state.value}
        return merged((row[0], row[1]) for row in _RANGES.rows(self._session, names))

    def save(self, series_id: int, before: Sequence[Span], after: Sequence[Span]) -> None:
        """Replace the spans ``before``, as ``spans`` gave them, by ``after``.

        Where a bar is proven to be missing since, or is not any more, whoever makes longer bars
        of these is told in the same transaction, and the days' figures follow.
        """
        proven, disproven = changed_absences(before, after)
        if proven or disproven:
            note_absences(self._session, series_id, sorted([*proven, *disproven]))
            DayRepository(self._session).recount(series_id, proven, disproven)
        known = {span.start: span for span in before}
        wanted = {span.start: span for span in after}
        for span in after:
            # What every new bar does: a range ends later, and nothing else.
            old = known.get(span.start)
            if old is not None and old != span and old == replace(span, end=old.end):
                self._move_end(series_id, span)
                known[span.start] = span
        gone = [start for start, span in known.items() if wanted.get(start) != span]
        for position in range(0, len(gone), _IN_LIMIT):
            self._session.execute(
                delete(CoverageRow).where(
                    CoverageRow.series_id == series_id,
                    CoverageRow.start_ts.in_(gone[position : position + _IN_LIMIT]),
                )
            )
        new = [span for span in after if known.get(span.start) != span]
        if new:
            self._session.execute(
                insert(CoverageRow),
                [
                    {
                        "series_id": series_id,
                        "start_ts": span.start,
                        "end_ts": span.end,
                        "state": span.state.value,
                        "proof": dict(span.proof),
                    }
                    for span in new
                ],
            )

    def _move_end(self, series_id: int, span: Span) -> None:
        names = {"series": series_id, "start": span.start, "end_ts": span.end}
        _MOVE_END.run(self._session, names)


def _spans(rows: Iterable[Sequence[Any]]) -> list[Span]:
    return [Span(row[0], row[1], CoverageState(row[2]), row[3]) for row in rows]
