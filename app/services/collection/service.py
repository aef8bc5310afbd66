"""Collection as others see it: plans, jobs, and following the market."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from app.core.errors import TidemarkError, Unavailable
from app.core.exchanges.errors import VenueError
from app.core.market.coverage import Span, can_be_asked_for, missing
from app.core.market.intervals import DAY_MS, MINUTE_MS
from app.core.ports import Clock, Ids, MarketClock
from app.models import CollectionPlanRow, JobRow
from app.repositories.unit import Unit, Units
from app.services.activity import ActivityService
from app.services.collection.arrivals import Arrivals
from app.services.collection.filling import Filler, Markets
from app.services.collection.jobs import CollectionJobs
from app.services.collection.plans import Plans
from app.services.collection.points import Extra, PointCollector
from app.services.collection.target import Target, kept, next_ask, targets_of
from app.services.collection.verifying import Verifier, series_of

_log = structlog.get_logger(__name__)
# Venues revise bars within minutes; a day is compared when that is over.
_DAY_GRACE_MS: Final = 30 * MINUTE_MS
# Days before the last one that are verified after a time without workers.
_OWED_MS: Final = 29 * DAY_MS


@dataclass(slots=True)
class Followed:
    """What following one plan, or all of them, did.

    Attributes:
        rows: bars stored or revised.
        points: funding rates and the like, stored or revised.
        jobs: ids of the jobs that now fill what was more than one page.
        errors: series that could not be followed this time, with the reason.
    """

    rows: int = 0
    points: int = 0
    jobs: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)


class CollectionService:
    """Keeps the series of all plans complete.

    Args:
        units: of the bulk engine, the only one that may load files into the database.
        markets: the market adapter of a venue; raises UnknownName for one not set up.
        market_clock: when bars close.
        clock: this machine's, for the length of a slice.
        grace_ms: by venue, how long after its close a bar is final; 3,000 where not listed.
    """

    def __init__(
        self,
        units: Units,
        markets: Markets,
        market_clock: MarketClock,
        ids: Ids,
        clock: Clock,
        *,
        grace_ms: Mapping[str, int] | None = None,
    ) -> None:
        self._units = units
        self._market_clock = market_clock
        self._filler = Filler(markets, market_clock, grace_ms or {})
        self._jobs = CollectionJobs(units, self._filler, ids, clock)
        self._verifier = Verifier(units, self._filler, ids, clock)
        self._points = PointCollector(units, markets, market_clock, clock)
        self.plans = Plans(units, markets, market_clock, ids)
        self.activity = ActivityService(units)
        self.arrivals = Arrivals(units, self._filler)

    def start(self, plan_id: str, *, heal: bool = False) -> list[JobRow]:
        """One job for each series of a plan that lacks any bar; live ones are not doubled.

        Args:
            heal: also where every missing bar was asked for so often that the next look is due
                later only.

        Raises:
            NotFound: no such plan.
            Unavailable: the venue's market time is not known.
        """
        plan = self.plans.get(plan_id)
        wanted = [target for target in self._targets(plan) if self._lacks(target, heal)]

        def work(unit: Unit) -> list[JobRow]:
            return [self._jobs.ensure(unit, plan, target, heal=heal) for target in wanted]

        return self._units.run(work)

    def choose_symbols(self, exchange: str) -> dict[str, list[str]]:
        """New listings brought into the plans that choose their symbols, by the plan's name.

        A venue that cannot be asked leaves them as they are: the next hour asks again.

        Raises:
            UnknownName: the venue is not set up.
        """
        try:
            return self.plans.choose_again(exchange)
        except VenueError as error:
            _log.warning("symbols_not_chosen", exchange=exchange, why=error.message)
            return {}

    def run_job(self, job_id: str) -> str:
        """Work on a job for a slice of less than a minute; the state in which it was left.

        One of queued, succeeded, failed, cancelled; ``not_claimed`` where another worker has
        it, its time has not come or it has ended; ``lost`` where another worker took it over.
        """
        return self._jobs.run(job_id)

    def verify(self, wanted: Target, days: int, *, despite_shift: bool = False) -> JobRow:
        """A job that compares the latest finished days of a series with its venue.

        Args:
            despite_shift: take the venue's bars also where they lie whole hours away from those
                stored; else such a job fails and changes nothing.

        Raises:
            InvalidInput: nothing of it is stored, or not a number of days that makes sense.
            Unavailable: the venue's market time is not known.
        """
        last = self._last_day(wanted.exchange)
        with self._units.read() as unit:
            series_of(unit, wanted)
        first = last - (days - 1) * DAY_MS
        return self._units.run(
            lambda unit: self._verifier.ensure(
                unit, wanted, first, days, despite_shift=despite_shift
            )
        )

    def verify_yesterday(self) -> int:
        """Have the finished days of every series of an enabled plan verified that were not; how
        many jobs do it.

        These are the last one, and of the last 30 those since the first one that was ever
        verified: workers that were down for a week owe a week.
        """
        with self._units.read() as unit:
            plans = unit.plans.enabled()
        wanted: dict[tuple[str, ...], tuple[Target, int]] = {}
        for plan in plans:
            try:
                day, targets = self._last_day(plan.exchange), self._targets(plan)
            except Unavailable as error:
                _log.warning("day_not_verified", exchange=plan.exchange, why=error.message)
                continue
            for each in targets:
                known = wanted.get(each.key)
                if known is None or each.since < known[0].since:
                    wanted[each.key] = each, day
        return self._units.run(lambda unit: self._ensure_verified(unit, wanted.values()))

    def _ensure_verified(self, unit: Unit, wanted: Iterable[tuple[Target, int]]) -> int:
        started = 0
        wanted = list(wanted)
        days = [day for _, day in wanted]
        verified = unit.days.verified(min(days) - _OWED_MS, max(days) + 1) if days else {}
        for each, day in wanted:
            series = unit.klines.find_series(*each.key)
            if series is None:
                continue
            done = verified.get(series.id, set())
            oldest = max(day - _OWED_MS, -(-each.since // DAY_MS) * DAY_MS)
            owed = _owed(done, oldest, day, unit.days.first(series.id))
            if owed is not None:
                first, last = owed
                self._verifier.ensure(unit, each, first, (last - first) // DAY_MS + 1)
                started += 1
        return started

    def run_verification(self, job_id: str) -> str:
        """Work on a verification job for a slice; as ``run_job``."""
        return self._verifier.run(job_id)

    def _last_day(self, exchange: str) -> int:
        """00:00 UTC of the last day that is over, and whose last bars may be final."""
        now = self._market_clock.now_ms(exchange) - _DAY_GRACE_MS
        return now - now % DAY_MS - DAY_MS

    def follow(self, plan_id: str) -> Followed:
        """Bring every series of a plan up to the last closed bar.

        One request for each series that lacks less than a page of bars; a job for more.

        Raises:
            NotFound: no such plan.
        """
        followed = Followed()
        self._follow(self.plans.get(plan_id), followed)
        return followed

    def follow_all(self) -> Followed:
        """Follow every enabled plan, most urgent first."""
        with self._units.read() as unit:
            plans = unit.plans.enabled()
        followed = Followed()
        for plan in plans:
            self._follow(plan, followed)
        return followed

    def _follow(self, plan: CollectionPlanRow, followed: Followed) -> None:
        failed = len(followed.errors)
        try:
            # Before the series are asked for: none of them is behind this time afterwards.
            market_ts = self._market_clock.now_ms(plan.exchange)
        except Unavailable as error:
            followed.errors[plan.exchange] = _said(error)
            return
        for target in self._targets(plan):
            try:
                self._follow_series(plan, target, followed)
            except (VenueError, Unavailable) as error:
                followed.errors[f"{target.symbol} {target.interval.name}"] = _said(error)
        self._follow_extras(plan, followed)
        if len(followed.errors) == failed and plan.followed_ts < market_ts:
            self._units.run(lambda unit: unit.plans.mark_followed(plan.id, market_ts))

    def _follow_extras(self, plan: CollectionPlanRow, followed: Followed) -> None:
        for text in plan.extras or ():
            extra = Extra.of(text)
            for symbol in plan.symbols:
                try:
                    followed.points += self._points.follow(
                        plan.exchange, symbol, extra, plan.since_ts
                    )
                except TidemarkError as error:
                    followed.errors[f"{symbol} {text}"] = _said(error)

    def _follow_series(self, plan: CollectionPlanRow, target: Target, followed: Followed) -> None:
        end = self._end(target)
        spans, now = self._spans(target)
        ranges = missing(spans, target.since, end, now)
        if not ranges:
            return
        # History, however long, is a job's; the present is followed meanwhile.
        tail = max(target.since, end - (target.page - 1) * target.interval.length_ms)
        recent = [part for part in ranges if part[0] > tail or part[0] == target.since]
        if sum(target.bars(*part) for part in recent) >= target.page:
            recent = []
        if len(recent) < len(ranges):
            job = self._units.run(lambda unit: self._jobs.ensure(unit, plan, target))
            followed.jobs.append(job.id)
        ask = next_ask(target, spans, recent[0][0], end, now) if recent else None
        if ask is not None:
            answer = self._filler.fetch(target, ask)
            stored = self._units.run(lambda unit: self._filler.keep(unit, target, answer).stored)
            followed.rows += stored.changed

    def _targets(self, plan: CollectionPlanRow) -> list[Target]:
        """The series of a plan, as far back as the rules of retention keep them.

        Raises:
            Unavailable: the venue's market time is not known.
        """
        targets = targets_of(plan, self._filler.page(plan.exchange))
        with self._units.read() as unit:
            rules = unit.retention.rules()
        if not rules:
            return targets
        market_ms = self._market_clock.now_ms(plan.exchange)
        return [kept(each, rules, market_ms) for each in targets]

    def _end(self, target: Target) -> int:
        return max(self._filler.closed_end(target), target.since)

    def _lacks(self, target: Target, heal: bool) -> bool:
        end = self._end(target)
        spans, now = self._spans(target)
        if heal:
            return can_be_asked_for(spans, target.since, end)
        return bool(missing(spans, target.since, end, now))

    def _spans(self, target: Target) -> tuple[list[Span], int]:
        """Coverage of a series, and the wall time of the look."""
        with self._units.read() as unit:
            series = unit.klines.find_series(*target.key)
            return unit.coverage.spans(series.id) if series else [], unit.now_ms


def _owed(done: set[int], oldest: int, last: int, first: int | None) -> tuple[int, int] | None:
    """The latest run of days up to ``last`` that are not done: its first and last one, or None.

    Args:
        oldest: the first day that may be owed.
        first: the first day that was ever verified; None where none was, and ``last`` alone is
            owed: what was collected before was asked for when it was over already.
    """
    since = last if first is None else max(oldest, first)
    owed = [day for day in range(since, last + 1, DAY_MS) if day not in done]
    if not owed or owed[-1] < oldest:
        return None
    begin = owed[-1]
    while begin - DAY_MS in owed:
        begin -= DAY_MS
    return begin, owed[-1]


def _said(error: TidemarkError) -> str:
    return f"{error.error_code}: {error.message}"
