"""A symbol of which the venue has nothing: never traded, or silent for longer than a page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.market.coverage import CoverageState
from app.services.jobs import JobService
from tests.integration.market.collecting import Collecting, M
from tests.support.record import START_MS, record

PRESENT, PENDING = CoverageState.PRESENT, CoverageState.PENDING
HOUR, DAY = 3_600_000, 24 * 3_600_000


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    with record(database_url, local_infile=True) as engine:
        yield Collecting(engine)


def rounds(world: Collecting, minutes: int) -> int:
    """Follow every ten seconds for so long, every minute for more than half an hour, and do the
    jobs that come of it; how many did."""
    done: set[str] = set()
    step = M if minutes > 30 else 10_000
    for _ in range(minutes * M // step):
        world.clock.advance(step)
        world.market_clock.now += step
        for job_id in world.service.follow_all().jobs:
            assert world.finish(job_id) == "succeeded"
            done.add(job_id)
    return len(done)


def test_what_never_traded_is_asked_for_by_one_job_and_then_at_the_times_of_gaps(
    world: Collecting,
) -> None:
    world.market_clock.now = START_MS + 2_000 * M
    world.plan()
    assert rounds(world, 20) == 1
    # Half an hour after the first look, after an hour, and then once a day.
    assert rounds(world, 100) == 2
    world.clock.advance(DAY - 2 * HOUR)
    assert rounds(world, 2) == 0
    world.clock.advance(2 * HOUR)
    assert rounds(world, 2) == 1


def test_each_minute_of_a_silent_symbol_is_asked_for_once(world: Collecting) -> None:
    world.market_clock.now = START_MS + 2_000 * M
    world.plan()
    rounds(world, 1)
    world.venue.asked.clear()
    rounds(world, 20)
    # Whether the bar is there, and whether any bar ever was.
    assert len(world.venue.asked) == 2 * 20
    assert len(world.spans()) == 1


def test_when_it_trades_at_last_its_bars_are_stored_and_the_rest_is_before_its_listing(
    world: Collecting,
) -> None:
    world.market_clock.now = START_MS + 2_000 * M
    world.plan()
    rounds(world, 2)
    world.list_bars(range(2_010, 2_013))
    world.service.follow_all()
    assert world.stored() == world.everything()
    world.clock.advance(DAY)
    for job_id in world.service.follow_all().jobs:
        world.finish(job_id)
    assert world.told() == [
        (0, 2_010, CoverageState.BEFORE_LISTING),
        (2_010, 2_013, PRESENT),
    ]


def test_silence_after_bars_is_no_proof_that_the_venue_lacks_them(world: Collecting) -> None:
    world.list_bars(range(10))
    world.plan()
    world.service.follow_all()
    world.market_clock.now += 2_000 * M
    assert rounds(world, 130) == 3
    assert {state for _, _, state in world.told()} == {PRESENT, PENDING}
    # The market opens again: what was missed is there after all.
    world.list_bars(range(10, 2_200))
    world.clock.advance(DAY)
    for job_id in world.service.follow_all().jobs:
        world.finish(job_id)
    world.service.follow_all()
    assert world.stored() == world.everything()


def test_a_venue_that_gave_nothing_once_does_not_make_a_gap_proven_sooner(
    world: Collecting,
) -> None:
    """Looks at which no neighbour came do not count among the three that prove a gap."""
    world.list_bars(range(10))
    world.plan()
    world.service.follow_all()
    world.market_clock.now += 2_000 * M
    rounds(world, 100)
    world.list_bars(range(2_200, 2_300))
    world.clock.advance(DAY)
    for job_id in world.service.follow_all().jobs:
        world.finish(job_id)
    assert world.told()[1][2] is PENDING
    assert CoverageState.EXCHANGE_SIDE not in {state for _, _, state in world.told()}


def test_ended_jobs_are_deleted_after_a_month_and_live_ones_never(world: Collecting) -> None:
    world.list_bars(range(10))
    done = world.service.start(world.plan().id)[0].id
    assert world.finish(done) == "succeeded"
    world.list_bars(range(2_000))
    live = world.service.follow_all().jobs[0]
    jobs = JobService(world.units, world.hints, world.clock, world.ids, keep_days=30)
    world.clock.advance(30 * DAY)
    assert jobs.prune() == 0
    world.clock.advance(1)
    assert jobs.prune() == 1
    assert [job.id for job in jobs.page(10, None).rows] == [live]
