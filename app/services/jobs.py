"""Jobs: what every long-running piece of work shares."""

from __future__ import annotations

from typing import Any, Final

from app.core.errors import Conflict, TidemarkError
from app.core.events import body, topic
from app.core.ports import Clock, Queue
from app.models import JobRow
from app.repositories.base import Page
from app.repositories.unit import Unit, Units
from app.services.hinting import Hinter, Waiting

#: The task that works on a job, by the job's kind.
TASKS: Final = {
    "collection": "collection.run_job",
    "import": "collection.import_files",
    "backtest": "backtests.run",
}
LIVE: Final = ("queued", "running")


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
    """End a locked job: ``succeeded``, ``failed`` or ``cancelled``."""
    job.state = state
    job.finished_at = unit.now_ms
    job.dedupe_key = None
    job.lease_owner, job.lease_until = None, 0
    if result is not None:
        job.result = result
    if error is not None:
        job.error = {"code": error.error_code, "message": error.message}
    _emit(unit, job)


def _emit(unit: Unit, job: JobRow) -> None:
    unit.emit(
        topic("jobs", job.state, job.kind),
        body("jobs.v1", job_id=job.id, kind=job.kind, state=job.state, at=unit.now_ms),
    )


class JobService:
    """Reads, cancels and re-drives jobs."""

    def __init__(self, units: Units, queue: Queue, clock: Clock) -> None:
        self._units = units
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
        """Jobs, newest first."""
        with self._units.read() as unit:
            return unit.jobs.page(limit, cursor, *([JobRow.kind == kind] if kind else []))

    def cancel(self, job_id: str) -> JobRow:
        """Ask for a job to end; a queued one ends at once, a running one after its slice.

        Raises:
            NotFound: no such job.
            Conflict: it has ended already.
        """

        def work(unit: Unit) -> JobRow:
            job = unit.jobs.lock(job_id)
            if job.state not in LIVE:
                raise Conflict(f"job {job_id} has {job.state} already", code="already-terminal")
            job.cancel_requested = True
            if job.lease_until <= unit.now_ms:
                finish(unit, job, "cancelled")
            return job

        return self._units.run(work)

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
