"""Following the market: what the series of plans lack is asked for, and nothing else.

A round over all plans tells from a few statements which series lack anything. In most rounds none
does: streams bring each bar within a second or two of its close.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

from app.core.errors import TidemarkError, Unavailable
from app.core.exchanges.errors import VenueError, VenueRulesRefused
from app.core.market.coverage import Span, lay_apart, missing
from app.core.market.retention import KeepRule
from app.core.market.silence import still_silent
from app.core.ports import MarketClock
from app.models import CollectionPlanRow
from app.repositories.klines import Stored
from app.repositories.outlines import Outline, SeriesKey
from app.repositories.unit import Unit, Units
from app.services.collection.delisting import concluded, prolong, reopen
from app.services.collection.filling import Answer, Filler
from app.services.collection.jobs import CollectionJobs
from app.services.collection.learning import earlier
from app.services.collection.points import Extra, PointCollector
from app.services.collection.rounds import Followed, Round, Times
from app.services.collection.skipping import Idle, idle_of
from app.services.collection.target import Target, kept, next_ask, targets_of


class Follower:
    """Brings the series of plans up to the last closed bar. Safe for threads and processes."""

    def __init__(
        self,
        units: Units,
        filler: Filler,
        jobs: CollectionJobs,
        points: PointCollector,
        market_clock: MarketClock,
    ) -> None:
        self._units = units
        self._filler = filler
        self._jobs = jobs
        self._points = points
        self._market_clock = market_clock

    def follow(self, plan: CollectionPlanRow) -> Followed:
        """Ask for what one plan lacks, also where a stream may be about to bring it."""
        with self._units.read() as unit:
            rules = unit.retention.rules()
        return self._run([plan], rules, trusts_streams=False)

    def follow_all(self) -> Followed:
        """Follow every enabled plan, most urgent first; what a stream brings is left to it."""
        with self._units.read() as unit:
            plans = unit.plans.enabled()
            rules = unit.retention.rules() if plans else []
        return self._run(plans, rules, trusts_streams=True)

    def targets(self, plan: CollectionPlanRow) -> list[Target]:
        """The series of a plan, as far back as the rules of retention keep them.

        Raises:
            Unavailable: the venue's market time is not known.
        """
        with self._units.read() as unit:
            rules = unit.retention.rules()
        return self._targets(plan, rules, self._market_clock.now_ms)

    def lacking(self, target: Target) -> list[tuple[int, int]]:
        """Ranges of a series to ask its venue for now.

        Raises:
            Unavailable: the venue's market time is not known.
        """
        spans, now = self.spans(target)
        return missing(spans, target.since, self.end(target), now)

    def end(self, target: Target, market_ms: int | None = None) -> int:
        """The end of what can be kept of a series at a market time, now where none is given."""
        return max(self._filler.closed_end(target, market_ms), target.since)

    def spans(self, target: Target) -> tuple[list[Span], int]:
        """Coverage of a series, and the wall time of the look."""
        with self._units.read() as unit:
            series = unit.klines.find_series(*target.key)
            return unit.coverage.spans(series.id) if series else [], unit.now_ms

    def _targets(
        self, plan: CollectionPlanRow, rules: Sequence[KeepRule], now_ms: Callable[[str], int]
    ) -> list[Target]:
        targets = targets_of(plan, self._filler.page(plan.exchange))
        if not rules:
            return targets
        market_ms = now_ms(plan.exchange)
        return [kept(each, rules, market_ms) for each in targets]

    def _run(
        self,
        plans: Sequence[CollectionPlanRow],
        rules: Sequence[KeepRule],
        *,
        trusts_streams: bool,
    ) -> Followed:
        times = Times(self._market_clock)
        errors: dict[str, str] = {}
        wanted: list[tuple[CollectionPlanRow, list[Target]]] = []
        for plan in plans:
            try:
                times.now_ms(plan.exchange)
                wanted.append((plan, self._targets(plan, rules, times.now_ms)))
            except Unavailable as error:
                errors[plan.exchange] = _said(error)
        known = self._known(wanted)
        this = Round(self._units, times, *known, trusts_streams)
        this.followed.errors |= errors
        for plan, targets in wanted:
            self._follow(plan, targets, this)
        self._mark(this.marks)
        return this.followed

    def _known(
        self, wanted: Sequence[tuple[CollectionPlanRow, list[Target]]]
    ) -> tuple[dict[SeriesKey, Outline], int, Idle]:
        """What is known of some series, the wall time of the look, and what does not trade."""
        by_venue: dict[str, dict[str, int]] = defaultdict(dict)
        for _, targets in wanted:
            for each in targets:
                since = by_venue[each.exchange]
                since[each.symbol] = min(each.since, since.get(each.symbol, each.since))
        found: dict[SeriesKey, Outline] = {}
        with self._units.read() as unit:
            for exchange, since in by_venue.items():
                found |= unit.outlines.of(exchange, sorted(since), min(since.values()))
            return found, unit.now_ms, idle_of(unit, (plan for plan, _ in wanted))

    def _follow(self, plan: CollectionPlanRow, targets: Sequence[Target], this: Round) -> None:
        followed = this.followed
        failed = len(followed.errors)
        try:
            # Before the series are asked for: none of them is behind this time afterwards.
            market_ts = until = this.times.now_ms(plan.exchange)
        except Unavailable as error:
            followed.errors[plan.exchange] = _said(error)
            return
        for target in targets:
            end = self.end(target, market_ts)
            if this.is_back(target):
                self._units.run(partial(reopen, target=target))
            elif this.is_whole(target, end):
                continue
            elif this.is_skipped(target):
                if this.is_over(target):
                    self._units.run(partial(prolong, target=target, end=end))
                continue
            if this.is_streams(target, end, market_ts):
                until = min(until, end - 1)
                continue
            # Whoever comes next is looked at as of then: this may take a while.
            this.times.known.clear()
            try:
                self._follow_series(plan, target, followed)
            except (VenueError, Unavailable) as error:
                followed.errors[f"{target.symbol} {target.interval.name}"] = _said(error)
        self._follow_extras(plan, this)
        if len(followed.errors) == failed and plan.followed_ts < until:
            this.marks[until].append(plan.id)

    def _follow_series(self, plan: CollectionPlanRow, target: Target, followed: Followed) -> None:
        end = self.end(target)
        spans, now = self.spans(target)
        ranges = missing(spans, target.since, end, now, by_rounds=True)
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
            try:
                answer = self._filler.fetch(target, ask)
            except VenueRulesRefused:
                if self._units.run(lambda unit: concluded(unit, target, ask.wanted_from, end)):
                    return
                raise
            stored = self._units.run(lambda unit: self._keep(unit, target, answer))
            followed.rows += stored.changed

    def _keep(self, unit: Unit, target: Target, answer: Answer) -> Stored:
        came = self._filler.keep(unit, target, answer)
        times, wanted, end = answer.times, answer.ask.wanted_from, answer.ask.end
        spans: Sequence[Span] = ()
        found: Sequence[Span] = ()
        if answer.earliest is not None:
            spans = unit.coverage.spans(came.series_id, target.since, end)
            found = earlier(target, answer, spans, unit.now_ms)
        if not found and not answer.bad and not (times and times[-1] >= wanted):
            spans = unit.coverage.spans(came.series_id, wanted, end)
            found = still_silent(spans, wanted, end)
        if found:
            unit.coverage.save(came.series_id, spans, lay_apart(spans, found))
        return came.stored

    def _follow_extras(self, plan: CollectionPlanRow, this: Round) -> None:
        followed = this.followed
        for text in plan.extras or ():
            extra = Extra.of(text)
            for symbol in plan.symbols:
                if (plan.exchange, symbol) in this.idle:
                    continue
                try:
                    known = this.points_of(plan.exchange).get((symbol, extra.kind, extra.interval))
                    followed.points += self._points.follow(
                        plan.exchange, symbol, extra, plan.since_ts, known
                    )
                except TidemarkError as error:
                    followed.errors[f"{symbol} {text}"] = _said(error)

    def _mark(self, marks: dict[int, list[str]]) -> None:
        if not marks:
            return

        def work(unit: Unit) -> None:
            for market_ts, plan_ids in sorted(marks.items()):
                unit.plans.mark_followed(plan_ids, market_ts)

        self._units.run(work)


def _said(error: TidemarkError) -> str:
    return f"{error.error_code}: {error.message}"
