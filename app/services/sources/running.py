"""Runs of data sources: who runs one, since when, and when it is run again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from app.core.errors import Conflict, InvalidInput, Unavailable
from app.core.ports import Clock, Ids, Queue
from app.core.sources.errors import SourceError
from app.core.sources.period import retry_pause_ms
from app.core.sources.rows import short
from app.core.sources.runtime import RunEnd, SourceRun, SourceRuntime
from app.models import DataSourceRow
from app.repositories.unit import Unit, Units
from app.services.hinting import Hinter, Waiting
from app.services.sources.catalogue import TASK, namespace, ref_of
from app.services.sources.keeping import Keeper, Kept

_log = structlog.get_logger(__name__)
# Beyond the longest run: storing what came last, and a machine that is busy.
_LEASE_GRACE_MS: Final = 30_000
_ERROR_LIMIT: Final = 1_000


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run went.

    Attributes:
        state: ``succeeded``, ``failed``; ``not_claimed`` where another runs it, its time has
            not come, or it is gone; ``lost`` where another took it over meanwhile.
        end: how it ended where it did not fail: whole, time or full.
        error: one sentence where it failed.
        reasons: the first reasons for which observations were not stored.
    """

    name: str
    state: str
    kept: Kept = field(default_factory=Kept)
    end: str | None = None
    error: str | None = None
    reasons: tuple[str, ...] = ()


class SourceRunner:
    """Runs data sources. Safe for threads and for other processes beside it."""

    def __init__(
        self, units: Units, runtime: SourceRuntime, queue: Queue, clock: Clock, ids: Ids
    ) -> None:
        self._units = units
        self._runtime = runtime
        self._hinter = Hinter(queue, clock)
        self._clock = clock
        self._ids = ids

    def sweep(self) -> int:
        """Publish a hint for each source whose time has come; how many the queue took."""
        with self._units.read() as unit:
            due = unit.sources.due(self._clock.now_ms())
        return self._hinter.give([Waiting(TASK, row.id, mark=row.due_at) for row in due])

    def run(self, source_id: str) -> RunReport:
        """Run a source whose time has come; what it gives is stored as it comes."""
        owner = self._ids.new()
        row = self._units.run(lambda unit: self._claim(unit, source_id, owner, is_asked=False))
        return RunReport(source_id, "not_claimed") if row is None else self._run(row, owner)

    def run_now(self, source_id: str) -> RunReport:
        """Run a source here and now, be it due or not, enabled or not.

        Raises:
            NotFound: there is none of that id.
            Conflict: it is running.
        """
        owner = self._ids.new()
        row = self._units.run(lambda unit: self._claim(unit, source_id, owner, is_asked=True))
        if row is None:
            raise Conflict("it is running now; look again in a minute")
        return self._run(row, owner)

    def _claim(
        self, unit: Unit, source_id: str, owner: str, *, is_asked: bool
    ) -> DataSourceRow | None:
        if not is_asked and unit.sources.find(source_id) is None:
            return None  # removed since the hint was given
        row = unit.sources.lock(source_id)
        waits = not row.enabled or row.due_at > unit.now_ms
        if row.lease_until > unit.now_ms or (waits and not is_asked):
            return None
        row.lease_owner = owner
        row.lease_until = unit.now_ms + self._runtime.longest_ms + _LEASE_GRACE_MS
        return row

    def _run(self, row: DataSourceRow, owner: str) -> RunReport:
        exchange = namespace(row.name)
        # Which version of the code stated a value, for a revision.
        keeper = Keeper(self._units, self._clock, exchange, f"{exchange}@{row.sha256[:12]}")
        now = self._clock.now_ms()
        asked = SourceRun(row.name, row.params, row.symbols, self._since(row), now)
        end: RunEnd | None = None
        error: str | None = None
        try:
            end = self._runtime.observe(ref_of(row), asked, keeper.take)
        except (SourceError, InvalidInput) as failure:
            # InvalidInput: the file or its parameters fit this release no more.
            error = short(failure.message, _ERROR_LIMIT)
            _log.warning("source_failed", source=row.name, why=error)
        except Unavailable:
            # The process is stopping, or the database is: the source can do nothing about it, and
            # is run again.
            self._units.run(lambda unit: _let_go(unit, row.id, owner))
            raise
        report = RunReport(
            row.name,
            "failed" if error else "succeeded",
            keeper.kept,
            end.value if end else None,
            error,
            tuple(keeper.reasons),
        )
        is_own = self._units.run(lambda unit: _finish(unit, row.id, owner, report, now))
        return report if is_own else RunReport(row.name, "lost", keeper.kept)

    def _since(self, row: DataSourceRow) -> int:
        """Newest stored time, ms, of the series that lags most; 0 where nothing is stored."""
        wanted = {"", *row.symbols}
        with self._units.read() as unit:
            series = unit.points.series_of(namespace(row.name))
        times = [each.next_ts - 1 for each in series if each.symbol in wanted]
        return max(0, min(times, default=0))


def _finish(unit: Unit, source_id: str, owner: str, report: RunReport, began: int) -> bool:
    """Write how a run went and when the next is due; False where it is not ours any more."""
    row = unit.sources.find(source_id)
    if row is None:
        return False
    row = unit.sources.lock(source_id)
    if row.lease_owner != owner:
        return False
    row.lease_owner, row.lease_until = None, 0
    row.ran_at, row.error, row.result = began, report.error, _result(report)
    row.failures = row.failures + 1 if report.error else 0
    # After a run before its time that was well, the next one comes when it was to come.
    if row.due_at <= began or report.error is not None:
        row.due_at = _next(row, report, began, unit.now_ms)
    row.updated_at = unit.now_ms
    return True


def _let_go(unit: Unit, source_id: str, owner: str) -> None:
    row = unit.sources.find(source_id)
    if row is not None and unit.sources.lock(source_id).lease_owner == owner:
        row.lease_owner, row.lease_until = None, 0


def _next(row: DataSourceRow, report: RunReport, began: int, now: int) -> int:
    if report.error is not None:
        return now + retry_pause_ms(row.every_ms, row.failures)
    if report.end == RunEnd.FULL and report.kept.stored:
        return now  # there is more, and it moves on
    return max(began + row.every_ms, now)


def _result(report: RunReport) -> dict[str, Any]:
    return {**report.kept.as_row(), "end": report.end, "reasons": list(report.reasons)}
