"""The removal of bars that a rule no longer keeps, step by step and month by month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from app.core.events import body, topic
from app.core.market.coverage import CoverageState, Span, count_bars, lay_apart
from app.core.market.intervals import interval as interval_of
from app.core.market.retention import KeepRule, is_retired, reopened, retired, rule_of, step_end
from app.models import KlineSeriesRow
from app.repositories.partitions import KlinePartitions, Partition
from app.repositories.unit import Unit, Units

_log = structlog.get_logger(__name__)
# Whoever stores bars of the series waits for a step, and on SQLite everybody: on MariaDB it takes
# 0.1 s on one core.
_STEP_BARS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Due:
    """A series of which bars are older than its rule keeps.

    Attributes:
        cut: open time of the first bar that stays, ms of market time.
    """

    series: KlineSeriesRow
    rule: KeepRule
    cut: int


class Months:
    """Drops months of bars that no series keeps, where the bars lie in months."""

    def __init__(self, units: Units, partitions: KlinePartitions) -> None:
        self._units = units
        self._partitions = partitions

    def drop_all(self, wanted: Sequence[Due]) -> list[str]:
        """Drop each month that every series which has a bar in it may lose; their names.

        Raises:
            Unavailable: the database stayed locked.
        """
        return [part.name for part in self._partitions.all() if self._drop(part, wanted)]

    def _drop(self, part: Partition, wanted: Sequence[Due]) -> bool:
        """Drop a month if it may go; whether it was.

        First all that is known of its bars is changed, then they go: a crash between leaves bars
        that the next call removes, and never a bar that is said to be there and is not.
        """
        end = part.end
        losing = [due for due in wanted if end is not None and due.cut >= end]
        # Looked at first: a month that is kept is so by one of the first who have a bar in it.
        if end is None or not losing or self._is_kept(part, losing):
            return False
        having = [due for due in losing if self._partitions.holds(part, due.series.id)]
        if not having and part.start:
            return False  # nothing is freed, and a back-fill would lack the month
        for due in having:
            if not self._units.run(partial(_retire_month, due=due, part=part, end=end)):
                return False
        return self._drop_retired(part, having, losing)

    def _drop_retired(self, part: Partition, having: Sequence[Due], losing: Sequence[Due]) -> bool:
        with self._partitions.all_series_locked():
            # Somebody may have stored a bar in between: an import does not look at rules.
            if any(self._is_present(due, part) for due in having) or self._is_kept(part, losing):
                return False
            if part.name not in {each.name for each in self._partitions.all()}:
                return False  # another was faster
            self._partitions.drop(part)
        _log.info("month_dropped", partition=part.name, series=len(having))
        return True

    def _is_kept(self, part: Partition, losing: Sequence[Due]) -> bool:
        """Whether a month has bars of a series that keeps them."""
        with self._units.read() as unit:
            ids = unit.retention.series_ids()
        free = {due.series.id for due in losing}
        return any(self._partitions.holds(part, each) for each in ids if each not in free)

    def _is_present(self, due: Due, part: Partition) -> bool:
        """Whether a bar of a month is said to be there."""
        with self._units.read() as unit:
            spans = unit.coverage.spans(due.series.id, part.start, part.end)
        return any(
            span.state is CoverageState.PRESENT
            and span.end > part.start
            and (part.end is None or span.start < part.end)
            for span in spans
        )


def rule_for(rules: Sequence[KeepRule], row: KlineSeriesRow) -> KeepRule | None:
    """The rule that counts for a series, or None."""
    return rule_of(rules, row.exchange, row.symbol, row.interval, row.kind)


def step(unit: Unit, due: Due) -> int | None:
    """Remove the oldest days of a series; how many bars, or None where nothing is left."""
    series = unit.klines.lock_series(due.series.id)
    if not _still_holds(unit, due):
        return None
    cut = unit.retention.removable_to(series, due.cut)
    bounds = unit.klines.bounds(series.id)
    if bounds is None or bounds[0] >= cut:
        return _retire(unit, due, 0, cut)
    first = bounds[0]
    end = step_end(first, cut, interval_of(series.interval), _STEP_BARS)
    _retire(unit, due, 0, end, first)
    bars = unit.retention.remove(series, first, end, unit.now_ms)
    _tell(unit, due, first, end, bars)
    return bars


def _retire(unit: Unit, due: Due, start: int, end: int, first: int | None = None) -> int | None:
    """Say of the bars in [start, end) that they are removed; None where that is said already.

    Args:
        first: open time of a bar for which coverage need not account.
    """
    spans = unit.coverage.spans(due.series.id, start, end)
    known = [span.start for span in spans] + ([] if first is None else [first])
    begin = max(start, min(known, default=end))
    end = min(end, _expected_to(unit, due, spans, end, first))
    if is_retired(spans, begin, end):
        return None
    after = lay_apart(spans, retired(spans, begin, end, due.rule, unit.now_ms))
    unit.coverage.save(due.series.id, spans, after)
    return 0


def _expected_to(unit: Unit, due: Due, spans: Sequence[Span], end: int, first: int | None) -> int:
    """Up to where bars before ``end`` are expected: what no plan keeps ends with what is known.

    A bar for which coverage does not account says nothing of where that is.
    """
    row = due.series
    if unit.plans.since(row.exchange, row.symbol, row.interval, row.kind) is not None:
        return end
    if unit.coverage.after(row.id, end) is not None:
        return end
    known = max((span.end for span in spans), default=end)
    return end if first is not None and first >= known else known


def _still_holds(unit: Unit, due: Due) -> bool:
    """Whether the rules remove now what they removed when this was found."""
    rule = rule_for(unit.retention.rules(), due.series)
    return rule is not None and (rule.keep_days or 0) <= (due.rule.keep_days or 0)


def _retire_month(unit: Unit, due: Due, part: Partition, end: int) -> bool:
    """Say of the bars of a month that they are removed, before they are; False if they stay."""
    series = unit.klines.lock_series(due.series.id)
    if not _still_holds(unit, due) or unit.retention.removable_to(series, end) < end:
        return False
    spans = unit.coverage.spans(series.id, part.start, end)
    start = max(part.start, min((span.start for span in spans), default=end))
    counts = count_bars(
        spans, interval_of(series.interval), start, max(start, end), series.grid_offset_ms
    )
    if _retire(unit, due, part.start, end) is not None:
        unit.retention.forget(series, start, end, unit.now_ms)
        _tell(unit, due, start, end, counts[CoverageState.PRESENT])
    return True


def reopen(unit: Unit, series_id: int, cut: int) -> int:
    """Have what was removed from ``cut`` on asked for again; how many bars."""
    series = unit.klines.lock_series(series_id)
    spans = unit.coverage.spans(series_id)
    wanted = reopened(spans, cut)
    if not wanted:
        return 0
    unit.coverage.save(series_id, spans, lay_apart(spans, wanted))
    grid = interval_of(series.interval)
    return sum(grid.expected(span.start, span.end, series.grid_offset_ms) for span in wanted)


def _tell(unit: Unit, due: Due, start: int, end: int, bars: int) -> None:
    row = due.series
    unit.emit(
        topic("market", "retired", row.exchange, row.symbol, row.interval),
        body(
            "retention.v1",
            kind=row.kind,
            exchange=row.exchange,
            symbol=row.symbol,
            interval=row.interval,
            start=start,
            end=end,
            count=bars,
            rule=due.rule.id,
            keep_days=due.rule.keep_days,
        ),
    )
