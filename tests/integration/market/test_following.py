"""Following the market: each series up to its last closed bar, cheaply."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.errors import Unavailable
from app.core.exchanges.errors import VenueUnreachable
from app.core.market.coverage import CoverageState
from app.repositories.instances import InstanceRepository
from app.services.collection import CollectionService
from tests.integration.market.collecting import SYMBOL, Collecting, M, bar
from tests.support.record import START_MS, record

PRESENT, PENDING = CoverageState.PRESENT, CoverageState.PENDING


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    with record(database_url, local_infile=True) as engine:
        yield Collecting(engine)


def jobs(world: Collecting) -> int:
    with world.units.read() as unit:
        return len(unit.jobs.page(100).rows)


def test_each_new_bar_costs_one_request_and_no_job(world: Collecting) -> None:
    world.list_bars(range(5))
    plan = world.plan()
    assert world.service.follow(plan.id).rows == 5
    for minute in range(5, 15):
        world.list_bars([minute])
        world.venue.asked.clear()
        followed = world.service.follow(plan.id)
        assert (followed.rows, followed.jobs, followed.errors) == (1, [], {})
        assert len(world.venue.asked) == 1
    world.venue.asked.clear()
    assert world.service.follow(plan.id).rows == 0
    assert world.venue.asked == []  # nothing has closed since
    assert jobs(world) == 0
    assert world.stored() == world.everything()
    assert world.told() == [(0, 15, PRESENT)]


def test_the_bar_that_is_still_open_is_not_stored(world: Collecting) -> None:
    world.list_bars(range(6))
    world.market_clock.now = START_MS + 5 * M + 59_999
    world.service.follow(world.plan().id)
    assert world.stored() == world.everything()[:5]


def test_a_real_venues_bar_is_final_three_seconds_after_its_close(world: Collecting) -> None:
    service = CollectionService(
        world.units, lambda _: world.venue, world.market_clock, world.ids, world.clock
    )
    world.list_bars(range(5))
    plan = world.plan()
    world.market_clock.now = START_MS + 5 * M + 2_999
    service.follow(plan.id)
    assert len(world.stored()) == 4
    world.market_clock.now += 1
    service.follow(plan.id)
    assert len(world.stored()) == 5


def test_more_than_a_page_is_a_jobs_work_and_the_present_is_followed_meanwhile(
    world: Collecting,
) -> None:
    world.list_bars(range(2_500))
    plan = world.plan()
    first = world.service.follow(plan.id)
    assert (first.rows, len(first.jobs)) == (0, 1)
    assert world.service.follow(plan.id).jobs == first.jobs
    assert world.finish(first.jobs[0]) == "succeeded"
    world.list_bars(range(2_500, 2_510))
    assert world.service.follow(plan.id).rows == 10
    assert world.told() == [(0, 2_510, PRESENT)]


def test_an_old_gap_does_not_keep_the_present_waiting(world: Collecting) -> None:
    world.list_bars([*range(10), *range(12, 3_000)])
    plan = world.plan()
    world.finish(world.service.follow(plan.id).jobs[0])
    world.clock.advance(M)
    world.list_bars([3_000])
    followed = world.service.follow(plan.id)
    assert (followed.rows, len(followed.jobs)) == (1, 1)


def test_a_bar_that_comes_a_minute_late_is_fetched_with_the_next_one(world: Collecting) -> None:
    world.list_bars(range(10))
    plan = world.plan()
    world.service.follow(plan.id)
    world.market_clock.now += M  # bar 10 has closed, and the venue does not have it yet
    assert world.service.follow(plan.id).rows == 0
    assert world.told() == [(0, 10, PRESENT)]
    world.list_bars([11])
    world.service.follow(plan.id)
    assert world.told() == [(0, 10, PRESENT), (10, 11, PENDING), (11, 12, PRESENT)]
    world.list_bars([10])
    world.clock.advance(30_000)
    world.service.follow(plan.id)
    assert world.told() == [(0, 12, PRESENT)]


def test_one_series_in_trouble_does_not_hold_up_the_others(world: Collecting) -> None:
    world.list_bars(range(5))
    plan = world.plan(symbols=["ETH/USDT", SYMBOL])
    world.venue.failures = [VenueUnreachable("binance", "no whole answer came")]
    followed = world.service.follow(plan.id)
    assert followed.errors == {"ETH/USDT 1m": "venue-unreachable: binance: no whole answer came"}
    assert world.stored() == world.everything()


def test_only_enabled_plans_are_followed(world: Collecting) -> None:
    world.list_bars(range(5))
    plan = world.plan(enabled=False)
    assert world.service.follow_all().rows == 0
    world.service.plans.enable(plan.id, True)
    assert world.service.follow_all().rows == 5


def test_followed_bars_are_announced_one_event_each_time(world: Collecting) -> None:
    world.list_bars(range(3))
    plan = world.plan()
    world.service.follow(plan.id)
    world.list_bars([3])
    world.service.follow(plan.id)
    told = world.events.on("market.kline")
    assert [(body["first"], body["last"], body["count"]) for body in told] == [
        (START_MS, START_MS + 2 * M, 3),
        (START_MS + 3 * M, START_MS + 3 * M, 1),
    ]
    assert bar(3) in world.stored()


def test_a_plan_remembers_up_to_when_it_was_followed(world: Collecting) -> None:
    world.list_bars(range(5))
    plan = world.plan()
    assert plan.followed_ts == 0
    world.service.follow(plan.id)
    assert world.service.plans.get(plan.id).followed_ts == world.market_clock.now
    world.list_bars([5])
    world.venue.failures = [VenueUnreachable("binance", "no whole answer came")]
    world.service.follow(plan.id)
    assert world.service.plans.get(plan.id).followed_ts == world.market_clock.now - M
    world.service.follow(plan.id)
    assert world.service.plans.get(plan.id).followed_ts == world.market_clock.now


def test_without_the_market_clock_nothing_is_followed(
    world: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_clock(exchange: str) -> int:
        raise Unavailable(f"the clock of {exchange} could not be read")

    plan = world.plan()
    monkeypatch.setattr(world.market_clock, "now_ms", no_clock)
    followed = world.service.follow(plan.id)
    assert followed.errors == {"binance": "unavailable: the clock of binance could not be read"}


def test_running_instances_are_told_once_for_each_stored_range(
    world: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def running_on(_: object, *series: str) -> list[str]:
        asked.append(series)
        return ["instance-1", "instance-2"]

    monkeypatch.setattr(InstanceRepository, "running_on", running_on)
    world.list_bars(range(3))
    plan = world.plan()
    world.service.follow(plan.id)
    world.service.follow(plan.id)
    assert asked == [("binance", SYMBOL, "1m")]
    assert world.hints.sent == [
        ("strategies.evaluate", "instance-1"),
        ("strategies.evaluate", "instance-2"),
    ]
