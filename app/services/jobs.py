"""Jobs: what every long-running piece of work shares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from app.core.errors import Conflict, TidemarkError, UnknownName
from app.core.events import body, topic
from app.core.market.intervals import DAY_MS
from app.core.ports import Clock, Ids, Queue
from app.models import JobRow
from app.repositories.base import Page
from app.repositories.unit import Unit, Units
from app.services.hinting import Hinter, Waiting
from app.services.job_accounts import account_of

#: The task that works on a job, by the job's kind.
TASKS: Final = {
    "collection": "collection.run_job",
    "verification": "collection.verify",
    "import": "collection.import_files",
    "backtest": "backtests.run",
}
LIVE: Final = ("queued", "running")
#: Code of a job that was cancelled since nobody wants its work any more.
UNWANTED: Final = "unwanted"
# Kinds that keep files where they are worked on; a worker there deletes them behind a cancel.
_LEAVES_FILES: Final = frozenset({"import"})
# Jobs deleted in one transaction.
_PRUNED: Final = 500
# Kinds that work in slices from a cursor, and so can rest and be taken up again; with the
# parameters that say what such a job is for, where few say all.
_SLICED: Final[Mapping[str, tuple[str, ...]]] = {
    "collection": ("plan_id", "symbol", "interval"),
    "verification": ("exchange", "symbol", "interval", "kind"),
    "import": (),
}


def new_job(
    unit: Unit,
    job_id: str,
    kind: str,
    params: dict[str, Any],
    *,
    dedupe_key: str | None = None,
    priority: int = 100,
) -> JobRow:
    """Insert a queued job and ask a worker for it once the unit has committed."""
    job = JobRow(
        id=job_id,
        kind=kind,
        state="queued",
        priority=priority,
        dedupe_key=dedupe_key,
        params=params,
        cursor={},
        progress={},
        attempt=0,
        not_before=0,
        lease_until=0,
        cancel_requested=False,
        created_at=unit.now_ms,
    )
    unit.jobs.add(job)
    unit.flush()
    _emit(unit, job)
    unit.enqueue(TASKS[kind], job_id)
    return job


def finish(
    unit: Unit,
    job: JobRow,
    state: str,
    *,
    result: dict[str, Any] | None = None,
    error: TidemarkError | None = None,
) -> None:
    """End a locked job: ``succeeded``, ``failed`` or ``cancelled``.

    Args:
        result: what it has to show; else the account of what it has done so far, if it has one.
        error: why it ended so; what it met before is no reason any more.
    """
    job.state = state
    job.finished_at = unit.now_ms
    job.dedupe_key = None
    job.lease_owner, job.lease_until = None, 0
    job.result = account_of(job) if result is None else result
    if result is None and "eta_s" in job.progress:
        job.progress = {**job.progress, "eta_s": None}
    job.error = None if error is None else {"code": error.error_code, "message": error.message}
    if job.kind == "backtest":
        _end_backtest(unit, job)
    _emit(unit, job)


def _end_backtest(unit: Unit, job: JobRow) -> None:
    """Also where no worker ends it: its holder has gone, or it never had one."""
    row = unit.backtests.of_job(job.id)
    if row is not None and row.status in LIVE:
        row.status, row.finished_at = job.state, unit.now_ms


def _emit(unit: Unit, job: JobRow) -> None:
    unit.emit(
        topic("jobs", job.state, job.kind),
        body("jobs.v1", job_id=job.id, kind=job.kind, state=job.state, at=unit.now_ms),
    )


def is_interrupted(job: JobRow, now_ms: int) -> bool:
    """Whether whoever worked on a job has gone without a word: it waits for the next one."""
    return job.state == "running" and job.lease_until <= now_ms


def purpose_of(kind: str, params: Mapping[str, Any]) -> str:
    """What a job is for: at most one live job has one purpose.

    An import's is all of its order, by its digest: paths are longer than the column. It counts
    where one is tried again; a file is imported as often as somebody says so.
    """
    if not _SLICED[kind]:
        whole = json.dumps(params, sort_keys=True)
        return f"{kind}:{hashlib.sha256(whole.encode()).hexdigest()}"
    return ":".join([kind, *(str(params[name]) for name in _SLICED[kind])])


def _live(unit: Unit, job_id: str) -> JobRow:
    job = unit.jobs.lock(job_id)
    if job.state not in LIVE:
        raise Conflict(f"job {job_id} has {job.state} already", code="already-terminal")
    return job


def _a(job: JobRow) -> str:
    return f"{'an' if job.kind[0] in 'aeiou' else 'a'} {job.kind} job"


def _require_plan(unit: Unit, job: JobRow) -> None:
    """Nothing, unless a job would end at once: nobody wants what it is to collect."""
    plan_id = job.params.get("plan_id")
    plan = None if plan_id is None else unit.plans.find(plan_id)
    if plan_id is not None and (plan is None or not plan.enabled):
        what = "deleted; add one" if plan is None else f"disabled; enable {plan.name}"
        raise Conflict(f"the plan of job {job.id} is {what} to have it collected")


class JobService:
    """Reads, cancels, pauses and re-drives jobs, and deletes those that ended long ago.

    Args:
        keep_days: how long a job is kept after its end.
    """

    def __init__(
        self, units: Units, queue: Queue, clock: Clock, ids: Ids, *, keep_days: int = 30
    ) -> None:
        self._units = units
        self._ids = ids
        self._keep_ms = keep_days * DAY_MS
        self._hinter = Hinter(queue, clock)
        self._clock = clock

    def get(self, job_id: str) -> JobRow:
        """One job.

        Raises:
            NotFound: there is none.
        """
        with self._units.read() as unit:
            return unit.jobs.get(job_id)

    def page(self, limit: int, cursor: str | None, kind: str | None = None) -> Page[JobRow]:
        """Jobs, newest first.

        Raises:
            UnknownName: no job is of that kind.
            InvalidInput: the cursor is none.
        """
        if kind is not None and kind not in TASKS:
            raise UnknownName(f"no job is of the kind {kind[:40]!r}; use one of {', '.join(TASKS)}")
        with self._units.read() as unit:
            return unit.jobs.page(limit, cursor, *([] if kind is None else [JobRow.kind == kind]))

    def cancel(self, job_id: str) -> JobRow:
        """Ask for a job to end; a queued one ends at once, a running one after its slice.

        Raises:
            NotFound: no such job.
            Conflict: it has ended already.
        """

        def work(unit: Unit) -> JobRow:
            job = _live(unit, job_id)
            job.cancel_requested = True
            if job.lease_until <= unit.now_ms:
                finish(unit, job, "cancelled")
                if job.kind in _LEAVES_FILES:
                    unit.enqueue(TASKS[job.kind], job.id)
            return job

        return self._units.run(work)

    def pause(self, job_id: str) -> JobRow:
        """Let a job rest where it is; a running one ends its slice first.

        Raises:
            NotFound: no such job.
            Conflict: it has ended, or it is a backtest, which cannot stop half-way.
        """

        def work(unit: Unit) -> JobRow:
            job = _live(unit, job_id)
            if job.kind not in _SLICED:
                raise Conflict(f"{_a(job)} cannot rest half-way; cancel it instead")
            job.paused = True
            return job

        return self._units.run(work)

    def resume(self, job_id: str) -> JobRow:
        """Let a job go on at once, be it paused or waiting for its time.

        Raises:
            NotFound: no such job.
            Conflict: it has ended.
        """

        def work(unit: Unit) -> JobRow:
            job = _live(unit, job_id)
            job.paused, job.not_before = False, 0
            unit.enqueue(TASKS[job.kind], job.id)
            return job

        return self._units.run(work)

    def retry(self, job_id: str) -> JobRow:
        """A new job that does again what one was to do that failed or was cancelled.

        What the first one stored stays: a collection goes on where it ended, and an import tells
        what is stored already as unchanged.

        Raises:
            NotFound: no such job.
            Conflict: it has not ended, it has succeeded, another does its work already, or the
                plan that it was for is disabled or no more.
        """

        def work(unit: Unit) -> JobRow:
            job = unit.jobs.lock(job_id)
            if job.state in LIVE:
                raise Conflict(f"job {job_id} is {job.state}; there is nothing to try again")
            if job.state == "succeeded":
                raise Conflict(f"job {job_id} has succeeded; there is nothing to try again")
            if job.kind not in _SLICED:
                raise Conflict(f"{_a(job)} is not tried again; ask anew for what it was to do")
            _require_plan(unit, job)
            purpose = purpose_of(job.kind, job.params)
            if unit.jobs.live_with(purpose) is not None:
                raise Conflict(f"another job does the work of {job_id} already")
            return new_job(
                unit,
                self._ids.new(),
                job.kind,
                job.params,
                dedupe_key=purpose,
                priority=job.priority,
            )

        return self._units.run(work)

    def prune(self) -> int:
        """Delete jobs that ended long ago, but for those that a backtest came of; how many.

        What they collected, imported or verified stays.
        """
        horizon = self._clock.now_ms() - self._keep_ms
        pruned = 0
        while True:
            # Few at a time: nobody who takes a job waits for a long transaction.
            gone = self._units.run(lambda unit: unit.jobs.prune(horizon, _PRUNED))
            pruned += gone
            if gone < _PRUNED:
                return pruned

    def free_leases(self) -> None:
        """Let go of every live job; only for a start that knows it is alone."""
        self._units.run(lambda unit: unit.jobs.free_leases())

    def sweep(self) -> int:
        """Publish a hint for each job that waits for a worker; how many the queue took."""
        with self._units.read() as unit:
            due = unit.jobs.due(self._clock.now_ms())
        return self._hinter.give(
            [Waiting(TASKS[job.kind], job.id, mark=job.attempt + job.not_before) for job in due]
        )
