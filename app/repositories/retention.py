"""Rules of how long bars are kept, and the removal of bars."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, Table, delete, select

from app.core.market.intervals import DAY_MS
from app.core.market.retention import KeepRule
from app.models import (
    KlineActivityRow,
    KlineRecord,
    KlineSeriesRow,
    RetentionRuleRow,
)
from app.repositories.base import KeyedRepository
from app.repositories.kline_past import note_removed, removable_to

# The table, not the class: the ORM would look for removed rows among those it holds.
_KLINES = cast("Table", KlineRecord.__table__)


class RetentionRepository(KeyedRepository[RetentionRuleRow]):
    """Rules by id and by what they name. Remove bars only under the series row's lock."""

    model = RetentionRuleRow
    key = RetentionRuleRow.id
    noun = "retention rule"

    def rules(self) -> list[KeepRule]:
        """Every rule, by exchange, symbol and interval."""
        row = RetentionRuleRow
        found = self._session.scalars(select(row).order_by(row.exchange, row.symbol, row.interval))
        return [rule_in(each) for each in found]

    def named(self, exchange: str, symbol: str, interval: str) -> RetentionRuleRow | None:
        """The rule of exactly these names, or None."""
        row = RetentionRuleRow
        return self._session.scalars(
            select(row).where(
                row.exchange == exchange, row.symbol == symbol, row.interval == interval
            )
        ).one_or_none()

    def series_ids(self) -> list[int]:
        """Every series, those included that were made of others."""
        return list(self._session.scalars(select(KlineSeriesRow.id).order_by(KlineSeriesRow.id)))

    def delete(self, rule_id: str) -> None:
        """Delete a rule; what it removed stays away."""
        self._session.execute(delete(RetentionRuleRow).where(RetentionRuleRow.id == rule_id))

    def remove(self, series: KlineSeriesRow, start: int, end: int, now_ms: int) -> int:
        """Delete the bars that open in [start, end); how many there were.

        Args:
            series: locked.
            start, end: whoever keeps these bars outside reads their periods again.
        """
        found = self._session.connection().execute(
            delete(_KLINES).where(
                _KLINES.c.series_id == series.id,
                _KLINES.c.open_ts >= start,
                _KLINES.c.open_ts < end,
            )
        )
        self.forget(series, start, end, now_ms)
        return cast("CursorResult[Any]", found).rowcount

    def forget(self, series: KlineSeriesRow, start: int, end: int, now_ms: int) -> None:
        """Have nobody use what was made of the bars in [start, end): files, counted days.

        What was rolled up of them stays as it is: it is all that is left of them.
        """
        row = KlineActivityRow
        self._session.execute(
            delete(row).where(
                row.series_id == series.id,
                row.day_ts >= start - start % DAY_MS,
                row.day_ts <= end - DAY_MS,
            )
        )
        note_removed(self._session, series, start, end, now_ms)

    def removable_to(self, series: KlineSeriesRow, cut: int) -> int:
        """Up to where bars before ``cut`` may be removed now; see ``kline_past``."""
        return removable_to(self._session, series, cut)


def rule_in(row: RetentionRuleRow) -> KeepRule:
    """The rule of a row."""
    return KeepRule(row.id, row.exchange, row.symbol, row.interval, row.keep_days)
