"""How a slice of an import lets go of its job: to the next slice, for later, or for good."""

from __future__ import annotations

from collections.abc import Callable

from app.core.errors import NotFetched, NotYetWhole, TidemarkError
from app.models import JobRow
from app.repositories.unit import Unit, Units
from app.services.attempts import broke_off, pause_after
from app.services.importing.account import (
    absent_error,
    left_out_error,
    shift_error,
    unplaced_error,
    with_characters,
)
from app.services.importing.fetching import fetched, not_fetched
from app.services.importing.turns import LostError, held
from app.services.job_accounts import import_account
from app.services.jobs import TASKS, finish


class Leaving:
    """The ends of one slice of a job; each gives the state in which it leaves it.

    That is ``lost`` where another worker holds the job by now, or it has ended.

    Args:
        token: under which the slice holds the job.
    """

    def __init__(self, units: Units, job_id: str, token: str) -> None:
        self._units = units
        self._job_id = job_id
        self._token = token

    def hand_on(self, slow: NotYetWhole | None = None) -> str:
        """Hand the job on to the next slice, or end it where that was asked for.

        One that is to rest is left to whoever resumes it.

        Args:
            slow: what the slice was over with: a file comes slowly, and the next one goes on.
        """

        def work(unit: Unit, job: JobRow) -> str:
            if job.cancel_requested:
                finish(unit, job, "cancelled")
                return "cancelled"
            if slow is not None:
                job.cursor = fetched(job.cursor)
                job.error = {"code": slow.error_code, "message": slow.message}
            job.state, job.lease_owner, job.lease_until = "queued", None, 0
            if not job.paused:
                unit.enqueue(TASKS[job.kind], job.id)
            return job.state

        return self._with_job(work)

    def put_off(self, error: TidemarkError) -> str:
        """Leave the job for later, since something cannot be had now; it fails if for too long."""

        def work(unit: Unit, job: JobRow) -> str:
            if isinstance(error, NotFetched):
                job.cursor, last = not_fetched(job.cursor, error, unit.now_ms)
                if last is not None:
                    return _finished(unit, job, "failed", last)
            failures = int(job.cursor.get("failures", 0)) + 1
            job.cursor = {**job.cursor, "failures": failures}
            job.state, job.lease_owner, job.lease_until = "queued", None, 0
            job.not_before = unit.now_ms + pause_after(failures)
            job.error = {"code": error.error_code, "message": error.message}
            return job.state

        return self._with_job(work)

    def end(self, state: str, error: TidemarkError | None = None) -> str:
        """End the job with its account; it fails by what that tells of."""
        return self._with_job(lambda unit, job: _finished(unit, job, state, error))

    def break_off(self, error: Exception) -> str:
        """Count an attempt that ended with what nobody foresaw."""
        return self._with_job(lambda unit, job: broke_off(unit, job, error))

    def _with_job(self, work: Callable[[Unit, JobRow], str]) -> str:
        try:
            return self._units.run(lambda unit: work(unit, held(unit, self._job_id, self._token)))
        except LostError:
            return "lost"


def _finished(unit: Unit, job: JobRow, state: str, error: TidemarkError | None) -> str:
    """End a locked job with its account; the state."""
    job.error = None
    if job.progress:
        job.progress = {**job.progress, "eta_s": None}
    shifts = job.cursor.get("shifts", [])
    result = with_characters(unit, import_account(job))
    problem = error or (shift_error(shifts[0]) if shifts else None)
    if problem is None and result["left_out"]:
        problem = left_out_error(result, len(job.cursor["files"]))
    if problem is None and result["unplaced"]:
        problem = unplaced_error(result)
    if problem is None and len(result["absent"]) == len(job.cursor.get("files", ())) > 0:
        problem = absent_error(job.params, result["absent"])
    ended = "failed" if problem else state
    finish(unit, job, ended, result=result, error=problem)
    return ended
