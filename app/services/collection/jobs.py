"""Collection jobs: long back-fills in slices that end before a minute is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from app.core.errors import InvalidInput, TidemarkError, Unavailable
from app.core.exchanges.errors import VenueError, VenueRejected, VenueRetryLater
from app.core.market.coverage import CoverageState, count_bars, missing
from app.core.ports import Clock, Ids
from app.models import CollectionPlanRow, JobRow
from app.repositories.klines import Stored
from app.repositories.unit import Unit, Units
from app.services.collection.filling import Answer, Filler
from app.services.collection.target import PAGE, Ask, Target, next_ask, target
from app.services.jobs import finish, new_job, purpose_of

KIND: Final = "collection"
TASK: Final = "collection.run_job"
# A task ends before 60 s; one request may take 10 s and its store some more.
_SLICE_S: Final = 40.0
# Longer than a slice: a worker that lives renews it with every page.
_LEASE_MS: Final = 90_000
_FIRST_PAUSE_MS: Final = 2_000
_LONGEST_PAUSE_MS: Final = 15 * 60_000
# A job that waits for those of other plans looks again so often.
_AFTER_OTHERS_MS: Final = 5_000


class _LostError(Exception):
    """Another worker holds the job now, or it has ended."""


class CollectionJobs:
    """Creates and runs the jobs of collection.

    Args:
        units: for rows of klines: of the engine that may load in bulk.
    """

    def __init__(self, units: Units, filler: Filler, ids: Ids, clock: Clock) -> None:
        self._units = units
        self._filler = filler
        self._ids = ids
        self._clock = clock

    def ensure(self, unit: Unit, plan: CollectionPlanRow, wanted: Target) -> JobRow:
        """The live job of one series of a plan, made and announced to a worker if none is."""
        params = {
            "plan_id": plan.id,
            "exchange": wanted.exchange,
            "symbol": wanted.symbol,
            "interval": wanted.interval.name,
            "since": wanted.since,
        }
        purpose = purpose_of(KIND, params)
        known = unit.jobs.live_with(purpose)
        if known is not None:
            return known
        return new_job(
            unit, self._ids.new(), KIND, params, dedupe_key=purpose, priority=plan.priority
        )

    def run(self, job_id: str) -> str:
        """Work on a job for one slice of time; the state in which it was left.

        Delivered twice, the second call finds the lease taken and does nothing. Killed at any
        point, the next call goes on behind the last stored page.
        """
        token = self._ids.new()
        job = self._units.run(lambda unit: self._claim(unit, job_id, token))
        if job is None:
            return "not_claimed"
        wanted = target(
            job.params["exchange"],
            job.params["symbol"],
            job.params["interval"],
            job.params["since"],
        )
        try:
            return self._work(job_id, token, wanted)
        except _LostError:
            return "lost"
        except VenueRetryLater as error:
            pause = max(error.retry_after_ms, _FIRST_PAUSE_MS)
            return self._put_off(job_id, token, error, pause)
        except (VenueRejected, InvalidInput) as error:
            return self._end(job_id, token, "failed", error)
        except (VenueError, Unavailable) as error:
            return self._put_off(job_id, token, error, None)

    def _claim(self, unit: Unit, job_id: str, token: str) -> JobRow | None:
        job = unit.jobs.claim(job_id, token, unit.now_ms, _LEASE_MS)
        if job is not None and self._waits_for_others(unit, job):
            job.state, job.lease_owner, job.lease_until = "queued", None, 0
            job.not_before = unit.now_ms + _AFTER_OTHERS_MS
            return None
        return job

    def _waits_for_others(self, unit: Unit, job: JobRow) -> bool:
        """Whether a plan that comes before this job's still fills the symbol."""
        plan = unit.plans.find(job.params["plan_id"])
        for name in (plan.after if plan is not None else None) or ():
            before = unit.plans.named(name)
            if before is None:
                continue
            purpose = purpose_of(KIND, {**job.params, "plan_id": before.id, "interval": ""})
            if unit.jobs.any_live(purpose):
                return True
        return False

    def _work(self, job_id: str, token: str, wanted: Target) -> str:
        began = self._clock.monotonic()
        present = self._filler.closed_end(wanted)
        end = self._units.run(lambda unit: self._begin(unit, job_id, token, wanted, present))
        while self._clock.monotonic() - began < _SLICE_S:
            ask, stop = self._next(job_id, wanted, end)
            if stop == "paused":
                break
            if stop:
                return self._end(job_id, token, stop, None)
            if ask is None:
                return self._end(job_id, token, "succeeded", None)
            page_began = self._clock.monotonic()
            answer = self._filler.fetch(wanted, ask)
            self._units.run(self._keeping(job_id, token, wanted, answer, page_began))
        return self._units.run(lambda unit: self._hand_on(unit, job_id, token))

    def _begin(self, unit: Unit, job_id: str, token: str, wanted: Target, end: int) -> int:
        """Fix the job's end and estimate, in its first slice; the end."""
        job = self._held(unit, job_id, token)
        if "end" not in job.cursor:
            series = unit.klines.find_series(wanted.exchange, wanted.symbol, wanted.interval.name)
            spans = unit.coverage.spans(series.id) if series else []
            ranges = missing(spans, wanted.since, max(end, wanted.since), unit.now_ms)
            bars = sum(wanted.bars(*part) for part in ranges)
            job.cursor = {"position": wanted.since, "end": end, "failures": 0}
            job.progress = _progress(0, -(-bars // PAGE), Stored(), 0, None)
            job.progress["bars_total"] = bars
        return int(job.cursor["end"])

    def _next(self, job_id: str, wanted: Target, end: int) -> tuple[Ask | None, str]:
        """The next request, and how the job is to stop: "", "paused" or "cancelled"."""
        with self._units.read() as unit:
            job = unit.jobs.get(job_id)
            plan = unit.plans.find(job.params["plan_id"])
            if job.cancel_requested or plan is None or not plan.enabled:
                return None, "cancelled"
            if job.paused:
                return None, "paused"
            series = unit.klines.find_series(wanted.exchange, wanted.symbol, wanted.interval.name)
            spans = unit.coverage.spans(series.id) if series else []
            position = int(job.cursor["position"])
            return next_ask(wanted, spans, position, end, unit.now_ms), ""

    def _keeping(
        self, job_id: str, token: str, wanted: Target, answer: Answer, page_began: float
    ) -> Callable[[Unit], None]:
        """Store one page with the job's cursor and progress, all or nothing."""

        def work(unit: Unit) -> None:
            job = self._held(unit, job_id, token)
            stored = self._filler.keep(unit, wanted, answer)
            spent = round((self._clock.monotonic() - page_began) * 1000)
            job.cursor = {**job.cursor, "position": answer.position, "failures": 0}
            job.progress = _advanced(job.progress, stored, len(answer.bad), spent)
            job.error = None
            job.lease_until = unit.now_ms + _LEASE_MS

        return work

    def _hand_on(self, unit: Unit, job_id: str, token: str) -> str:
        job = self._held(unit, job_id, token)
        job.state, job.lease_owner, job.lease_until = "queued", None, 0
        if not job.paused:
            unit.enqueue(TASK, job.id)
        return job.state

    def _put_off(self, job_id: str, token: str, error: TidemarkError, pause_ms: int | None) -> str:
        """Leave the job for later: the sweeper finds it again when its time has come."""

        def work(unit: Unit) -> str:
            job = self._held(unit, job_id, token)
            failures = int(job.cursor.get("failures", 0))
            pause = pause_ms
            if pause is None:
                failures += 1
                pause = min(_FIRST_PAUSE_MS * 2 ** min(failures, 16), _LONGEST_PAUSE_MS)
            job.cursor = {**job.cursor, "failures": failures}
            job.state, job.lease_owner, job.lease_until = "queued", None, 0
            job.not_before = unit.now_ms + pause
            job.error = _problem(error)
            return job.state

        return self._finally(work)

    def _end(self, job_id: str, token: str, state: str, error: TidemarkError | None) -> str:
        def work(unit: Unit) -> str:
            job = self._held(unit, job_id, token)
            result, job.error = None, None
            if state == "succeeded":
                result = self._result(unit, job)
                job.progress = {**job.progress, "eta_s": 0}
            finish(unit, job, state, result=result, error=error)
            return state

        return self._finally(work)

    def _finally(self, work: Callable[[Unit], str]) -> str:
        try:
            return self._units.run(work)
        except _LostError:
            return "lost"

    def _held(self, unit: Unit, job_id: str, token: str) -> JobRow:
        job = unit.jobs.lock(job_id)
        if job.state != "running" or job.lease_owner != token:
            raise _LostError
        return job

    def _result(self, unit: Unit, job: JobRow) -> dict[str, Any]:
        """Counts of the job's whole range, by state, and what was stored."""
        wanted = job.params
        series = unit.klines.find_series(wanted["exchange"], wanted["symbol"], wanted["interval"])
        spans = unit.coverage.spans(series.id) if series else []
        goal = target(wanted["exchange"], wanted["symbol"], wanted["interval"], wanted["since"])
        end = max(int(job.cursor["end"]), goal.since)
        counts = count_bars(spans, goal.interval, goal.since, end)
        kept = {key: job.progress.get(key, 0) for key in ("rows", "revised", "quarantined")}
        return {**kept, **{state.value: counts[state] for state in CoverageState}}


def _progress(
    done: int, total: int, stored: Stored, work_ms: int, rows_per_s: int | None
) -> dict[str, Any]:
    return {
        "slices_done": done,
        "slices_total": total,
        "rows": stored.inserted,
        "revised": stored.revised,
        "quarantined": 0,
        "work_ms": work_ms,
        "rows_per_s": rows_per_s,
        "eta_s": None,
    }


def _advanced(
    before: dict[str, Any], stored: Stored, quarantined: int, spent_ms: int
) -> dict[str, Any]:
    done = before["slices_done"] + 1
    rows = before["rows"] + stored.inserted
    work_ms = before["work_ms"] + spent_ms
    total = max(before["slices_total"], done)
    return {
        **before,
        "slices_done": done,
        "slices_total": total,
        "rows": rows,
        "revised": before["revised"] + stored.revised,
        "quarantined": before["quarantined"] + quarantined,
        "work_ms": work_ms,
        "rows_per_s": round(rows * 1000 / work_ms) if work_ms else None,
        "eta_s": round(work_ms / done * (total - done) / 1000, 1),
    }


def _problem(error: TidemarkError) -> dict[str, Any]:
    return {"code": error.error_code, "message": error.message}
