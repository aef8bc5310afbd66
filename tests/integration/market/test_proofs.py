"""What proves that a venue has no bar, and what does not: gaps, listings, forgetful venues."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.market.coverage import CoverageState
from app.core.market.intervals import DAY_MS
from tests.integration.market.collecting import Collecting, M
from tests.support.record import START_MS, record

DAY = 1_440
PRESENT, PENDING = CoverageState.PRESENT, CoverageState.PENDING
EXCHANGE_SIDE = CoverageState.EXCHANGE_SIDE
BEFORE_LISTING = CoverageState.BEFORE_LISTING


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    with record(database_url, local_infile=True) as engine:
        yield Collecting(engine)


def fill(world: Collecting, *, heal: bool = False) -> int:
    """Start every plan and finish its jobs; how many there were."""
    jobs = [
        job
        for plan in world.service.plans.page(5).rows
        for job in world.service.start(plan.id, heal=heal)
    ]
    for job in jobs:
        assert world.finish(job.id) == "succeeded"
    return len(jobs)


def look(world: Collecting, minutes: int = 31, times: int = 6) -> None:
    """Let the installation look again and again, by its wall clock."""
    for _ in range(times):
        world.clock.advance(minutes * M)
        fill(world)


# -- gaps -------------------------------------------------------------------------------------


def test_a_gap_of_three_pages_is_proven_by_the_bars_on_both_sides_of_it(world: Collecting) -> None:
    """An outage of the venue: of 3,000 minutes it has none, and gives those around them."""
    world.list_bars([*range(500), *range(3_500, 4_000)])
    world.plan()
    fill(world)
    assert world.told()[1] == (500, 3_500, PENDING)
    world.venue.asked.clear()
    look(world)
    assert world.told() == [(0, 500, PRESENT), (500, 3_500, EXCHANGE_SIDE), (3_500, 4_000, PRESENT)]
    asked = {
        ((start - START_MS) // M, (end - START_MS) // M) for _, start, end, _ in world.venue.asked
    }
    assert asked == {(499, 3_501)}, "the bar before the gap is asked for with it"


def test_what_a_venue_gives_no_longer_is_no_hole_of_its_own(world: Collecting) -> None:
    """Workers were down for three days, and the venue gives the latest 720 minutes alone."""
    world.list_bars(range(600))
    world.plan()
    fill(world)
    world.venue.latest = 720
    world.list_bars(range(600, 3 * DAY))
    look(world, times=20)
    known = 3 * DAY - 720
    assert world.told() == [(0, 600, PRESENT), (600, known, PENDING), (known, 3 * DAY, PRESENT)]
    assert "looks" not in world.spans()[1].proof
    # Should the venue give them again, they come.
    world.venue.latest = None
    fill(world, heal=True)
    assert world.told() == [(0, 3 * DAY, PRESENT)]
    assert world.stored() == world.everything()


def test_a_venue_that_proves_nothing_is_not_asked_every_ten_seconds(world: Collecting) -> None:
    world.list_bars(range(600))
    plan = world.plan()
    fill(world)
    world.venue.latest = 720
    world.list_bars(range(600, 3 * DAY))
    fill(world)
    world.venue.asked.clear()
    for _ in range(360):
        world.clock.advance(10_000)
        for job_id in world.service.follow(plan.id).jobs:
            world.finish(job_id)
    assert len(world.venue.asked) <= 12, "of 360 times"


def test_a_gap_in_which_a_bar_was_never_asked_for_with_its_neighbour_stays_open(
    world: Collecting,
) -> None:
    """The venue no longer gives the bar before the gap, whatever it is asked for."""
    world.list_bars([*range(100), *range(120, 300)])
    world.plan()
    fill(world)
    world.venue.latest = 180
    look(world)
    assert world.told()[1] == (100, 120, PENDING)


def test_a_gap_at_the_beginning_of_a_page_is_proven_within_two_hours(world: Collecting) -> None:
    """The bar before it came with another page: the first time it was asked for proves nothing."""
    world.list_bars([*range(1_000), *range(1_005, 2_500)])
    world.plan()
    fill(world)
    look(world, times=3)
    assert world.told()[1] == (1_000, 1_005, EXCHANGE_SIDE)


def test_minutes_without_a_trade_at_the_very_start_are_proven_by_an_older_bar(
    world: Collecting,
) -> None:
    world.list_bars([*range(50), *range(55, 150)])
    world.plan(since_ms=START_MS + 50 * M)
    fill(world)
    assert world.told()[0] == (50, 55, PENDING)
    look(world)
    assert world.told() == [(50, 55, EXCHANGE_SIDE), (55, 150, PRESENT)]


def test_a_plan_that_reaches_back_further_meets_the_same_listing(world: Collecting) -> None:
    """What it asks for ends before the first bar: nothing comes, and the venue says where it is."""
    world.list_bars(range(400, 500))
    world.plan()
    fill(world)
    world.plan(name="earlier", since_ms=START_MS - 100 * M)
    fill(world)
    assert world.told() == [(-100, 400, BEFORE_LISTING), (400, 500, PRESENT)]
    assert fill(world) == 0


# -- listings ---------------------------------------------------------------------------------


def test_the_latest_bars_of_a_venue_do_not_begin_with_a_listing(world: Collecting) -> None:
    """It gives 720 minutes, and days of years: the symbol was listed long before."""
    world.list_bars(range(5 * DAY))
    world.venue.latest = 720
    world.plan()
    fill(world)
    known = 5 * DAY - 720
    assert world.told() == [(0, known, PENDING), (known, 5 * DAY, PRESENT)]


def test_a_first_bar_that_moves_on_is_no_listing(world: Collecting) -> None:
    """The venue keeps the latest two hours of all intervals, and says so nowhere."""
    world.list_bars(range(300))
    world.venue.latest = 120
    world.plan()
    fill(world)
    assert world.told()[0] == (0, 180, BEFORE_LISTING)
    world.list_bars(range(300, 400))
    fill(world)
    world.clock.advance(DAY_MS)
    fill(world)
    assert world.told()[0] == (0, 180, PENDING)
    look(world, minutes=DAY + 1)
    assert world.told()[0] == (0, 180, PENDING), "and it never becomes one again"


def test_a_listing_is_looked_at_three_times_and_then_once_a_month(world: Collecting) -> None:
    world.list_bars(range(400, 500))
    world.plan()
    fill(world)
    looks = []
    for hours in (1, 23, 24, 24, 24 * 28, 24):
        world.clock.advance(hours * 60 * M)
        looks.append(fill(world))
    assert looks == [0, 1, 1, 0, 0, 1]
    proof = world.spans()[0].proof
    assert (proof["earliest"], proof["looks"]) == (START_MS + 400 * M, 4)


def test_bars_from_before_the_listing_come_once_the_venue_has_them(world: Collecting) -> None:
    world.list_bars(range(400, 500))
    world.plan()
    fill(world)
    assert world.told()[0] == (0, 400, BEFORE_LISTING)
    world.list_bars(range(100, 400))
    assert fill(world) == 0
    assert fill(world, heal=True) == 1
    assert world.told() == [(0, 100, BEFORE_LISTING), (100, 500, PRESENT)]


def test_a_stored_bar_that_is_older_than_the_listing_opens_what_lies_between(
    world: Collecting,
) -> None:
    """As of a file: the venue gives ten bars of before its first one, and nothing between."""
    world.list_bars(range(400, 500))
    plan = world.plan()
    fill(world)
    world.list_bars(range(100, 110))
    world.service.plans.delete(plan.id)
    world.plan(name="early", since_ms=START_MS + 100 * M)
    fill(world, heal=True)
    assert world.told()[:3] == [
        (0, 100, BEFORE_LISTING),
        (100, 110, PRESENT),
        (110, 400, PENDING),
    ]


def test_no_stored_bar_is_said_to_be_from_before_the_listing(world: Collecting) -> None:
    """A venue that has forgotten what is stored here has no listing to show."""
    world.list_bars(range(100, 300))
    plan = world.plan(since_ms=START_MS + 100 * M)
    fill(world)
    world.service.plans.delete(plan.id)
    world.venue.latest = 50
    world.plan(name="all")
    fill(world)
    assert world.told() == [(0, 100, PENDING), (100, 300, PRESENT)]


def test_rounds_that_are_one_look_ask_once(world: Collecting) -> None:
    """Five bars lack in history: rounds come every ten seconds, a look counts once in thirty."""
    world.list_bars([*range(500), *range(505, 3_000)])
    plan = world.plan()
    fill(world)
    jobs: list[str] = []
    for _ in range(8):
        world.clock.advance(10_000)
        came = world.service.follow(plan.id).jobs
        for job_id in came:
            world.finish(job_id)
        jobs += came
    assert len(jobs) == 2, "the two looks that are left of three"
    gap = next(span for span in world.spans() if span.state is PENDING)
    assert gap.proof["looks"] == 3
    # Who heals by hand does not wait for the next look.
    assert fill(world, heal=True) == 1
