"""Jobs that work in slices: taken by one worker, killed at any point, gone on with by another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

import structlog

from app.core.errors import InvalidInput, TidemarkError, Unavailable
from app.core.exchanges.errors import VenueError, VenueRejected, VenueRetryLater
from app.core.ports import Clock, Ids
from app.models import JobRow
from app.repositories.unit import Unit, Units
from app.services.attempts import FIRST_PAUSE_MS, broke_off, pause_after, take
from app.services.jobs import TASKS, finish
from app.services.pace import put_off

_log = structlog.get_logger(__name__)
# A task ends before 60 s; one request may take 10 s and its store some more.
_SLICE_S: Final = 40.0
#: Longer than a slice: a worker that lives renews it with every page.
LEASE_MS: Final = 90_000


class LostError(Exception):
    """Another worker holds the job now, or it has ended."""


class SlicedJobs(ABC):
    """Runs the jobs of one kind that ask a venue.

    A subclass says how to work (``_work``) and what the result is (``_result``). Each step of its
    work is one transaction that begins with ``_held``.
    """

    def __init__(self, units: Units, ids: Ids, clock: Clock) -> None:
        self._units = units
        self._ids = ids
        self._clock = clock

    def run(self, job_id: str) -> str:
        """Work on a job for one slice of time; the state in which it was left.

        One of queued, succeeded, failed, cancelled; ``not_claimed`` where another worker has
        it, its time has not come or it has ended; ``lost`` where another worker took it over. An
        exception that nobody foresaw is kept with the job, see ``app.services.attempts``.
        Delivered twice, the second call finds the lease taken and does nothing. Killed at any
        point, the next call goes on behind the last finished step.
        """
        token = self._ids.new()
        job = self._units.run(lambda unit: self._claim(unit, job_id, token))
        if job is None:
            return "not_claimed"
        return self._attempt(job, token) if job.state == "running" else job.state

    def _attempt(self, job: JobRow, token: str) -> str:
        job_id = job.id
        try:
            return self._work(job, token)
        except LostError:
            return "lost"
        except VenueRetryLater as error:
            pause = max(error.retry_after_ms, FIRST_PAUSE_MS)
            return self._put_off(job_id, token, error, pause)
        except (VenueRejected, InvalidInput) as error:
            return self._end(job_id, token, "failed", error)
        except (VenueError, Unavailable) as error:
            return self._put_off(job_id, token, error, None)
        except Exception as error:  # noqa: BLE001
            # The row says it at once, and counts: left to the lease it would be tried for ever.
            _log.exception("job_attempt_broke_off", job_id=job_id, kind=job.kind)
            return self._break_off(job_id, token, error)

    @abstractmethod
    def _work(self, job: JobRow, token: str) -> str:
        """One slice; ends with ``_hand_on`` or ``_end``."""

    @abstractmethod
    def _result(self, unit: Unit, job: JobRow) -> dict[str, Any]:
        """What a job that succeeded has to show."""

    def _begins_anew(self, job: JobRow) -> bool:
        """Whether more was asked of a job since its slice began, which the next one is to do."""
        del job
        return False

    def _claim(self, unit: Unit, job_id: str, token: str) -> JobRow | None:
        return take(unit, job_id, token, LEASE_MS)

    def _slice(self) -> Callable[[], bool]:
        """Begin a slice; says whether it is over."""
        began = self._clock.monotonic()
        return lambda: self._clock.monotonic() - began >= _SLICE_S

    def _held(self, unit: Unit, job_id: str, token: str) -> JobRow:
        """The job, locked, if it is still this worker's; its lease begins anew.

        Raises:
            LostError: it is not.
        """
        job = unit.jobs.lock(job_id)
        if job.state != "running" or job.lease_owner != token:
            raise LostError
        job.lease_until = unit.now_ms + LEASE_MS
        return job

    def _hand_on(self, unit: Unit, job_id: str, token: str) -> str:
        """Let go of a job whose slice is over."""
        job = self._held(unit, job_id, token)
        job.state, job.lease_owner, job.lease_until = "queued", None, 0
        if not job.paused:
            unit.enqueue(TASKS[job.kind], job.id)
        return job.state

    def _put_off(self, job_id: str, token: str, error: TidemarkError, pause_ms: int | None) -> str:
        """Leave the job for later: the sweeper finds it again when its time has come."""

        def work(unit: Unit) -> str:
            job = self._held(unit, job_id, token)
            failures = int(job.cursor.get("failures", 0))
            pause = pause_ms
            if pause is None:
                failures += 1
                pause = pause_after(failures)
            job.cursor = {**job.cursor, "failures": failures}
            job.state, job.lease_owner, job.lease_until = "queued", None, 0
            job.not_before = unit.now_ms + pause
            job.progress = put_off(job.progress, error, pause)
            job.error = {"code": error.error_code, "message": error.message}
            return job.state

        return self._finally(work)

    def _break_off(self, job_id: str, token: str, error: Exception) -> str:
        return self._finally(lambda unit: broke_off(unit, self._held(unit, job_id, token), error))

    def _end(self, job_id: str, token: str, state: str, error: TidemarkError | None) -> str:
        def work(unit: Unit) -> str:
            job = self._held(unit, job_id, token)
            result, job.error = None, None
            if state == "succeeded" and self._begins_anew(job):
                return self._hand_on(unit, job_id, token)
            if state == "succeeded":
                result = self._result(unit, job)
                job.progress = {**job.progress, "eta_s": 0}
            finish(unit, job, state, result=result, error=error)
            return state

        return self._finally(work)

    def _finally(self, work: Callable[[Unit], str]) -> str:
        try:
            return self._units.run(work)
        except LostError:
            return "lost"
