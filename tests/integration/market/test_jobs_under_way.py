"""Jobs of collection under way: paused, put off, tried again, and asked for more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.errors import Conflict
from app.core.exchanges.errors import (
    BudgetExhausted,
    VenueBanned,
    VenueRejected,
    VenueRetryLater,
)
from app.core.market.coverage import CoverageState, Span, lay_apart
from app.repositories.unit import Unit
from app.services.jobs import JobService
from tests.integration.market.collecting import SYMBOL, Collecting, M
from tests.support.record import START_MS, record

PRESENT, PENDING = CoverageState.PRESENT, CoverageState.PENDING
EXCHANGE_SIDE = CoverageState.EXCHANGE_SIDE
BEFORE_LISTING = CoverageState.BEFORE_LISTING
AFTER_DELISTING = CoverageState.AFTER_DELISTING


# Many cases of what does not depend on the database; one of each kind runs on both.
sqlite_alone = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    with record(database_url, local_infile=True) as engine:
        yield Collecting(engine)


def start(world: Collecting) -> str:
    """The job of a plan for everything since the start."""
    (job,) = world.service.start(world.plan().id)
    return job.id


@sqlite_alone
def test_a_paused_job_rests_where_it_is_and_goes_on_when_it_is_resumed(world: Collecting) -> None:
    world.list_bars(range(3_000))
    job_id = world.service.start(world.plan().id)[0].id
    jobs = JobService(world.units, world.hints, world.clock, world.ids)

    def rest() -> None:
        world.venue.before = None
        jobs.pause(job_id)

    world.venue.before = rest
    assert world.service.run_job(job_id) == "queued"
    assert len(world.stored()) == 1_000
    world.hints.sent.clear()
    assert jobs.sweep() == 0, "nobody is asked to work on it"
    assert world.service.run_job(job_id) == "not_claimed"
    jobs.resume(job_id)
    assert world.hints.sent == [("collection.run_job", job_id)]
    assert world.finish(job_id) == "succeeded"
    assert len(world.stored()) == 3_000
    # The page that had come was not asked for again.
    assert [asked[1] for asked in world.venue.asked].count(START_MS) == 1


@sqlite_alone
def test_a_job_that_waits_for_its_time_goes_on_at_once_when_it_is_resumed(
    world: Collecting,
) -> None:
    world.list_bars(range(100))
    job_id = world.service.start(world.plan().id)[0].id
    world.venue.failures.append(VenueRetryLater("binance", "later", retry_after_ms=600_000))
    assert world.service.run_job(job_id) == "queued"
    assert world.service.run_job(job_id) == "not_claimed"
    JobService(world.units, world.hints, world.clock, world.ids).resume(job_id)
    assert world.finish(job_id) == "succeeded"


@sqlite_alone
def test_a_job_is_tried_again_by_another_that_goes_on_where_it_ended(world: Collecting) -> None:
    world.list_bars(range(2_000))
    plan = world.plan()
    jobs = JobService(world.units, world.hints, world.clock, world.ids)
    first = world.service.start(plan.id)[0].id
    with pytest.raises(Conflict, match="nothing to try again"):
        jobs.retry(first)
    world.venue.before = lambda: world.venue.failures.append(
        VenueRejected("binance", "refused", venue_code="-1121")
    )
    assert world.service.run_job(first) == "failed"
    world.venue.before = None
    world.venue.failures.clear()
    again = jobs.retry(first)
    assert (again.state, again.params) == ("queued", world.job(first).params)
    with pytest.raises(Conflict, match="does the work"):
        jobs.retry(first)
    assert world.finish(again.id) == "succeeded"
    assert len(world.stored()) == 2_000
    for done in (jobs.pause, jobs.resume, jobs.retry):
        with pytest.raises(Conflict):
            done(again.id)


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_job_under_way_begins_anew_when_its_plan_reaches_further_back(
    world: Collecting, at: int
) -> None:
    """Before it was taken, between two pages, and while the last page comes."""
    world.list_bars(range(4_000))
    plan = world.plan(since_ms=START_MS + 1_000 * M)
    (job,) = world.service.start(plan.id)
    requests = 0

    def move() -> None:
        nonlocal requests
        requests += 1
        if requests == at:
            reach_back()

    def reach_back() -> None:
        world.service.plans.begin_at(plan.id, START_MS)
        assert [each.id for each in world.service.start(plan.id)] == [job.id]

    world.venue.before = move
    if not at:
        reach_back()
    assert world.finish(job.id) == "succeeded"
    assert world.stored() == world.everything()
    asked = [start for _, start, _, _ in world.venue.asked]
    assert len(asked) == len(set(asked)), "no page is asked for again"
    done = world.job(job.id)
    assert done.result is not None
    assert (done.result["rows"], done.result["present"]) == (4_000, 4_000)


@pytest.mark.parametrize("is_running", [False, True])
def test_healing_while_an_ordinary_job_is_live_heals(world: Collecting, is_running: bool) -> None:
    """The ordinary job passes over a gap that was looked at often; who heals wants it now."""
    world.list_bars([*range(100), *range(110, 200)])
    plan = world.plan()
    (first,) = world.service.start(plan.id)
    world.finish(first.id)
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", SYMBOL, "1m")
    assert series is not None

    def doubt(unit: Unit) -> None:
        spans = unit.coverage.spans(series.id)
        looked = {"first": world.clock.now - M, "last": world.clock.now, "looks": 3}
        pending = [Span(START_MS + 100 * M, START_MS + 110 * M, PENDING, looked)]
        unit.coverage.save(series.id, spans, lay_apart(spans, pending))

    world.units.run(doubt)
    world.list_bars([*range(100, 110), *range(200, 3_000)])
    (ordinary,) = world.service.start(plan.id)

    def heal() -> None:
        world.venue.before = None
        assert [job.id for job in world.service.start(plan.id, heal=True)] == [ordinary.id]

    if is_running:
        world.venue.before = heal
    else:
        heal()
    assert world.finish(ordinary.id) == "succeeded"
    assert world.stored() == world.everything()


def test_a_job_that_heals_goes_on_healing_when_an_ordinary_one_is_asked_for(
    world: Collecting,
) -> None:
    world.list_bars(range(10))
    plan = world.plan()
    (healing,) = world.service.start(plan.id, heal=True)
    assert [job.id for job in world.service.start(plan.id)] == [healing.id]
    assert world.job(healing.id).params["heal"] is True


@sqlite_alone
def test_the_eta_of_a_job_counts_the_minutes_that_its_budget_takes(world: Collecting) -> None:
    """Two pages a minute are allowed: six of eight take three more waits of 50 s, one of them now.

    A ban says nothing of the pace.
    """
    world.list_bars(range(8_000))
    job_id = start(world)
    world.venue.tamper = lambda rows: world.clock.advance(2_000) or rows
    asked: list[int] = []

    def refuse() -> None:
        asked.append(1)
        if len(asked) == 3:
            error = BudgetExhausted("binance", "used up", retry_at=0, retry_after_ms=50_000)
            world.venue.failures.append(error)
        if len(asked) == 4:
            banned = VenueBanned("binance", "banned", until_ms=0, retry_after_ms=600_000)
            world.venue.failures.append(banned)

    world.venue.before = refuse
    assert world.service.run_job(job_id) == "queued"
    job = world.job(job_id)
    assert (job.progress["slices_done"], job.progress["slices_total"]) == (2, 8)
    assert job.not_before == world.clock.now_ms() + 50_000
    # Six pages of two seconds, and behind the wait that began two others.
    assert job.progress["eta_s"] == 6 * 2 + 2 * 50
    world.clock.advance(50_000)
    assert world.service.run_job(job_id) == "queued"
    assert world.job(job_id).progress["eta_s"] == 6 * 2 + 2 * 50
    world.clock.advance(600_000)
    assert world.finish(job_id) == "succeeded"
    assert world.job(job_id).progress["eta_s"] == 0
