"""Collection jobs: long back-fills in slices that end before a minute is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from app.core.errors import Conflict, TidemarkError
from app.core.exchanges.errors import VenueRulesRefused
from app.core.market.coverage import CoverageState, count_bars, lay_apart, missing
from app.core.market.intervals import DAY_MS
from app.core.market.klines import KlineKind
from app.core.market.silence import fell_silent
from app.core.ports import Clock, Ids
from app.models import CollectionPlanRow, JobRow
from app.repositories.klines import Stored
from app.repositories.unit import Unit, Units
from app.services.activity import ActivityService
from app.services.collection.delisting import concluded
from app.services.collection.filling import Filler
from app.services.collection.gathering import MOST, Gathered, gathered
from app.services.collection.report import noted, report_of
from app.services.collection.target import Ask, Target, kept, next_ask, target
from app.services.jobs import LIVE, UNWANTED, new_job, purpose_of
from app.services.pace import eta_s
from app.services.slices import SlicedJobs

KIND: Final = "collection"
#: What a job says that waits for others.
WAITS: Final = "waits-for-others"
# A job that waits for those of other plans looks again so often.
_AFTER_OTHERS_MS: Final = 5_000
# Longer than any pause between two looks at a gap.
_EVERY_PAUSE_MS: Final = 3_660 * DAY_MS
# Of a job's cursor: where its series ended when it began; a job without one is about to begin.
_END: Final = "end"


class CollectionJobs(SlicedJobs):
    """Creates and runs the jobs of collection.

    Args:
        units: for rows of klines: of the engine that may load in bulk.
    """

    def __init__(self, units: Units, filler: Filler, ids: Ids, clock: Clock) -> None:
        super().__init__(units, ids, clock)
        self._filler = filler
        self._activity = ActivityService(units)

    def ensure(
        self, unit: Unit, plan: CollectionPlanRow, wanted: Target, *, heal: bool = False
    ) -> JobRow:
        """The live job of one series of a plan, made and announced to a worker if none is.

        One that asks for less, from a later start or not to heal, asks for this too from now on,
        and begins anew; what it has done is not done again.

        Args:
            heal: ask for every pending bar now, however often it was asked for in vain.
        """
        params = {
            "plan_id": plan.id,
            "exchange": wanted.exchange,
            "symbol": wanted.symbol,
            "interval": wanted.interval.name,
            "since": wanted.since,
            "kind": wanted.kind.value,
            **({"heal": True} if heal else {}),
        }
        purpose = purpose_of(KIND, params)
        known = unit.jobs.live_with(purpose)
        if known is not None and _asks_for(known, params):
            return known
        # A worker may have ended it by now.
        held = unit.jobs.lock(known.id) if known is not None else None
        if held is not None and held.state in LIVE:
            held.params = {
                **held.params,
                **params,
                "since": min(held.params["since"], wanted.since),
                **({"heal": True} if heal or held.params.get("heal") else {}),
            }
            held.cursor = {name: at for name, at in held.cursor.items() if name != _END}
            return held
        return new_job(
            unit, self._ids.new(), KIND, params, dedupe_key=purpose, priority=plan.priority
        )

    def _claim(self, unit: Unit, job_id: str, token: str) -> JobRow | None:
        job = super()._claim(unit, job_id, token)
        if job is None or job.state != "running":
            return job
        # Of two jobs of one series that are taken at one instant, the second one waits here until
        # the first is seen to work.
        exchange, symbol, name, kind = _series(job)
        unit.klines.locked(exchange, symbol, name, unit.now_ms, kind=kind)
        reason = _waits_for(unit, job)
        if reason:
            job.state, job.lease_owner, job.lease_until = "queued", None, 0
            job.not_before = unit.now_ms + _AFTER_OTHERS_MS
            job.error = {"code": WAITS, "message": reason}
            return None
        return job

    def _work(self, job: JobRow, token: str) -> str:
        job_id, over = job.id, self._slice()
        wanted = self._target_of(job)
        present = self._filler.closed_end(wanted)
        end = self._units.run(lambda unit: self._begin(unit, job_id, token, wanted, present))
        most = 1
        while not over():
            ask, stop = self._next(job_id, wanted, end)
            if stop in ("paused", "anew"):
                break
            if stop:
                return self._end(job_id, token, stop, self._unwanted(job_id))
            if ask is None:
                self._units.run(partial(self._note_silence, job_id, token, wanted, end))
                self._activity.count_named(*wanted.key, over=over)
                return self._end(job_id, token, "succeeded", None)
            page_began = self._clock.monotonic()
            try:
                came = gathered(self._filler, wanted, ask, self._clock, most)
            except VenueRulesRefused:
                if not self._units.run(partial(self._conclude, job_id, token, wanted, ask, end)):
                    raise
                continue
            most = MOST
            self._units.run(self._keeping(job_id, token, wanted, came, page_began))
            if came.error is not None:
                raise came.error
        return self._units.run(lambda unit: self._hand_on(unit, job_id, token))

    def _begin(self, unit: Unit, job_id: str, token: str, wanted: Target, end: int) -> int:
        """Fix the job's end and estimate, in the slice in which it begins; the end."""
        job = self._held(unit, job_id, token)
        if _END not in job.cursor:
            series = unit.klines.find_series(*wanted.key)
            spans = unit.coverage.spans(series.id) if series else []
            ranges = missing(spans, wanted.since, max(end, wanted.since), _looking_at(unit, job))
            bars = sum(wanted.bars(*part) for part in ranges)
            job.cursor = {**job.cursor, "position": wanted.since, _END: end, "failures": 0}
            done = job.progress or _progress(0, 0, Stored(), 0, None)
            total = done["slices_done"] + -(-bars // wanted.page)
            job.progress = {**done, "slices_total": total, "bars_total": done["rows"] + bars}
        return int(job.cursor[_END])

    def _next(self, job_id: str, wanted: Target, end: int) -> tuple[Ask | None, str]:
        """The next request, and how the job is to stop: "", "paused", "cancelled" or "anew"."""
        with self._units.read() as unit:
            job = unit.jobs.get(job_id)
            plan = unit.plans.find(job.params["plan_id"])
            if job.cancel_requested or plan is None or not plan.enabled:
                return None, "cancelled"
            if job.paused:
                return None, "paused"
            if self._begins_anew(job):
                return None, "anew"
            series = unit.klines.find_series(*wanted.key)
            spans = unit.coverage.spans(series.id) if series else []
            # A rule may have come, and time has gone on, since the job began.
            since = kept(wanted, unit.retention.rules(), end).since
            position = max(int(job.cursor["position"]), min(since, end))
            return next_ask(wanted, spans, position, end, _looking_at(unit, job)), ""

    def _unwanted(self, job_id: str) -> TidemarkError | None:
        """Why nobody wants what a job is to collect any more; None where its plan does."""
        with self._units.read() as unit:
            plan = unit.plans.find(unit.jobs.get(job_id).params["plan_id"])
        if plan is None:
            return Conflict("its plan was deleted", code=UNWANTED)
        return None if plan.enabled else Conflict(f"plan {plan.name} was disabled", code=UNWANTED)

    def _begins_anew(self, job: JobRow) -> bool:
        return _END not in job.cursor

    def _keeping(
        self, job_id: str, token: str, wanted: Target, came: Gathered, page_began: float
    ) -> Callable[[Unit], None]:
        """Store pages with the job's cursor and progress, all or nothing."""
        answer = came.answer

        def work(unit: Unit) -> None:
            job = self._held(unit, job_id, token)
            stored = self._filler.keep(unit, wanted, answer).stored
            spent = round((self._clock.monotonic() - page_began) * 1000)
            refused = noted(job.cursor.get("refused", {}), answer)
            moved = {"position": answer.position, "failures": 0, "refused": refused}
            job.cursor = {**job.cursor, **moved}
            job.progress = _advanced(job.progress, came.pages, stored, len(answer.bad), spent)
            job.error = None

        return work

    def _conclude(
        self, job_id: str, token: str, wanted: Target, ask: Ask, end: int, unit: Unit
    ) -> bool:
        """Go on behind the end, where the venue refuses a symbol that is delisted."""
        job = self._held(unit, job_id, token)
        is_over = concluded(unit, wanted, ask.wanted_from, end)
        if is_over:
            job.cursor = {**job.cursor, "position": end}
        return is_over

    def _note_silence(self, job_id: str, token: str, wanted: Target, end: int, unit: Unit) -> None:
        """Keep what the venue gave nothing of, so that no job asks for it again at once.

        What ends with the job and is less than a page is asked for by whoever follows the series.
        """
        self._held(unit, job_id, token)
        exchange, symbol, name, kind = wanted.key
        series = unit.klines.locked(exchange, symbol, name, unit.now_ms, kind=kind.value)
        since = kept(wanted, unit.retention.rules(), end).since
        before = unit.coverage.spans(series.id)
        silent = [
            span
            for span in fell_silent(before, since, end, unit.now_ms)
            if span.end < end or wanted.bars(span.start, span.end) >= wanted.page
        ]
        if silent:
            unit.coverage.save(series.id, before, lay_apart(before, silent))

    def _target_of(self, job: JobRow) -> Target:
        exchange, symbol, name, kind = _series(job)
        page = self._filler.page(exchange)
        return target(exchange, symbol, name, job.params["since"], kind, page)

    def _result(self, unit: Unit, job: JobRow) -> dict[str, Any]:
        """Counts of the job's whole range, by state, and what was stored."""
        goal = self._target_of(job)
        series = unit.klines.find_series(*goal.key)
        spans = unit.coverage.spans(series.id) if series else []
        end = max(int(job.cursor[_END]), goal.since)
        counts = count_bars(spans, goal.interval, goal.since, end)
        kept = {key: job.progress.get(key, 0) for key in ("rows", "revised", "quarantined")}
        found = report_of(unit, series, goal.since, end, job.cursor.get("refused", {}))
        return {**kept, **{state.value: counts[state] for state in CoverageState}, **found}


def _waits_for(unit: Unit, job: JobRow) -> str:
    """For whom a job waits, in words; "" where for nobody.

    Those are plans that come before its own and still fill the symbol, and a job of another plan
    that fills the same series now: side by side they would ask for every page twice.
    """
    plan = unit.plans.find(job.params["plan_id"])
    for name in (plan.after if plan is not None else None) or ():
        before = unit.plans.named(name)
        if before is None:
            continue
        purpose = purpose_of(KIND, {**job.params, "plan_id": before.id, "interval": ""})
        if unit.jobs.any_live(purpose):
            return f"waits until plan {name} has filled {job.params['symbol']}"
    for other in unit.jobs.worked_on(KIND, unit.now_ms):
        if other.id != job.id and _series(other) == _series(job):
            return f"waits for job {other.id}, which fills the same series"
    return ""


def _series(job: JobRow) -> tuple[str, ...]:
    """Exchange, symbol, interval and kind; a job of an older release says no kind."""
    wanted = job.params
    names = (wanted["exchange"], wanted["symbol"], wanted["interval"])
    return *names, wanted.get("kind", KlineKind.TRADE.value)


def _asks_for(job: JobRow, params: Mapping[str, Any]) -> bool:
    """Whether a job asks for all that another one with these parameters would."""
    heals = job.params.get("heal", False) or not params.get("heal", False)
    return bool(heals) and int(job.params["since"]) <= int(params["since"])


def _looking_at(unit: Unit, job: JobRow) -> int:
    """The time by which a gap is due again; for one who heals, every gap is."""
    return unit.now_ms + (_EVERY_PAUSE_MS if job.params.get("heal") else 0)


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
    before: dict[str, Any], pages: int, stored: Stored, quarantined: int, spent_ms: int
) -> dict[str, Any]:
    done = before["slices_done"] + pages
    rows = before["rows"] + stored.inserted
    work_ms = before["work_ms"] + spent_ms
    advanced = {
        **before,
        "slices_done": done,
        "slices_total": max(before["slices_total"], done),
        "rows": rows,
        "revised": before["revised"] + stored.revised,
        "quarantined": before["quarantined"] + quarantined,
        "work_ms": work_ms,
        "rows_per_s": round(rows * 1000 / work_ms) if work_ms else None,
    }
    return {**advanced, "eta_s": eta_s(advanced)}
