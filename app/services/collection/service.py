"""Collection as others see it: plans, jobs, and following the market."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Final

import structlog

from app.core.errors import Conflict, Unavailable
from app.core.exchanges.errors import VenueError
from app.core.market.coverage import can_be_asked_for
from app.core.market.intervals import DAY_MS, MINUTE_MS
from app.core.ports import Clock, Ids, MarketClock
from app.models import JobRow
from app.repositories.unit import Unit, Units
from app.services.activity import ActivityService
from app.services.collection.arrivals import Arrivals
from app.services.collection.daily import latest_days
from app.services.collection.filling import Filler, Markets
from app.services.collection.following import Follower
from app.services.collection.jobs import CollectionJobs
from app.services.collection.owing import OWED_MS, Attempts, owed
from app.services.collection.plans import Plans
from app.services.collection.points import PointCollector
from app.services.collection.rounds import Followed
from app.services.collection.skipping import Idle, idle_of
from app.services.collection.target import Target
from app.services.collection.verifying import Verifier, require_covered

_log = structlog.get_logger(__name__)
# Venues revise bars within minutes; a day is compared when that is over.
_DAY_GRACE_MS: Final = 30 * MINUTE_MS


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
        points = PointCollector(units, markets, market_clock, clock)
        self._follower = Follower(units, self._filler, self._jobs, points, market_clock)
        self.plans = Plans(units, markets, market_clock, ids)
        self.activity = ActivityService(units)
        self.arrivals = Arrivals(units, self._filler)

    def start(self, plan_id: str, *, heal: bool = False) -> list[JobRow]:
        """One job for each series of a plan that lacks any bar; live ones are not doubled.

        A symbol that does not trade is skipped, unless something of it is stored already.

        Args:
            heal: also where every missing bar was asked for so often that the next look is due
                later only.

        Raises:
            NotFound: no such plan.
            Conflict: it is disabled; its jobs would end at once.
            Unavailable: the venue's market time is not known.
        """
        plan = self.plans.get(plan_id)
        if not plan.enabled:
            raise Conflict(
                f"plan {plan.name} is disabled: nothing is collected for it; enable it first: "
                f"tidemark data plans enable {shlex.quote(plan.name)}",
                code="plan-disabled",
            )
        with self._units.read() as unit:
            idle = idle_of(unit, [plan])
        wanted = [
            target
            for target in self._follower.targets(plan)
            if self._lacks(target, heal)
            and ((plan.exchange, target.symbol) not in idle or self._follower.spans(target)[0])
        ]

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

        Days of which nothing is stored or planned are left out; the job counts them as
        ``skipped_days``.

        Args:
            despite_shift: take the venue's bars also where they lie whole hours away from those
                stored; else such a job fails and changes nothing.

        Raises:
            InvalidInput: nothing of it is stored, not a number of days that makes sense, or none
                of them is stored or planned.
            Conflict: a verification of the series is under way, for other days.
            Unavailable: the venue's market time is not known.
        """
        last = self._last_day(wanted.exchange)

        def work(unit: Unit) -> JobRow:
            kept = latest_days(unit, wanted, last, days)
            job = self._verifier.ensure(
                unit, wanted, kept, skipped=days - kept.count, despite_shift=despite_shift
            )
            require_covered(job, kept, despite_shift=despite_shift)
            return job

        return self._units.run(work)

    def verify_yesterday(self) -> int:
        """Have the finished days of every series of an enabled plan verified that were not; how
        many jobs do it.

        These are the last one, and of the last 30 those since the first one that was ever
        verified: workers that were down for a week owe a week. Of a symbol that its venue does
        not trade by the catalogue the days end with that of its last stored bar, and where the
        venue refuses them they are asked for ever more seldom, see ``Attempts``.
        """
        with self._units.read() as unit:
            plans = unit.plans.enabled()
            idle = idle_of(unit, plans)
        wanted: dict[tuple[str, ...], tuple[Target, int]] = {}
        for plan in plans:
            try:
                day, targets = self._last_day(plan.exchange), self._follower.targets(plan)
            except Unavailable as error:
                _log.warning("day_not_verified", exchange=plan.exchange, why=error.message)
                continue
            for each in targets:
                known = wanted.get(each.key)
                if known is None or each.since < known[0].since:
                    wanted[each.key] = each, day
        return self._units.run(lambda unit: self._ensure_verified(unit, wanted.values(), idle))

    def _ensure_verified(self, unit: Unit, wanted: Iterable[tuple[Target, int]], idle: Idle) -> int:
        started = 0
        wanted = list(wanted)
        days = [day for _, day in wanted]
        verified = unit.days.verified(min(days) - OWED_MS, max(days) + 1) if days else {}
        attempts = Attempts.of(unit) if idle else Attempts()
        for each, finished in wanted:
            series = unit.klines.find_series(*each.key)
            if series is None:
                continue
            done = verified.get(series.id, set())
            oldest = max(finished - OWED_MS, -(-each.since // DAY_MS) * DAY_MS)
            day = finished
            is_idle = (each.exchange, each.symbol) in idle
            if is_idle:
                _, last_bar = unit.klines.bounds(series.id) or (0, 0)
                day = min(day, last_bar - last_bar % DAY_MS)
            owing = owed(done, oldest, day, unit.days.first(series.id))
            if owing is None or (is_idle and not attempts.are_due(each, owing, unit.now_ms)):
                continue
            self._verifier.ensure(unit, each, owing)
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
        """Bring every series of a plan up to the last closed bar, at once.

        One request for each series that lacks less than a page of bars; a job for more.

        Raises:
            NotFound: no such plan.
        """
        return self._follower.follow(self.plans.get(plan_id))

    def follow_all(self) -> Followed:
        """Follow every enabled plan, most urgent first.

        The bar that a stream is about to bring is left to it for some seconds.
        """
        return self._follower.follow_all()

    def _lacks(self, target: Target, heal: bool) -> bool:
        if not heal:
            return bool(self._follower.lacking(target))
        spans, _ = self._follower.spans(target)
        return can_be_asked_for(spans, target.since, self._follower.end(target))
