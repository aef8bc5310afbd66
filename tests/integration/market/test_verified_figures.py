"""What a verification sees of stored bars, which days it looks at, and what stays known of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from app.core.errors import InvalidInput
from app.core.exchanges.errors import VenueRulesRefused
from app.core.market.coverage import CoverageState
from app.core.market.instruments import InstrumentStatus
from app.core.market.intervals import DAY_MS
from app.repositories.unit import Unit
from app.services.quality import Quality
from tests.integration.market.collecting import SYMBOL, Collecting, M, bar, instrument
from tests.integration.market.verified import MINUTES, figures, minutes, quarantined, verify
from tests.support.record import START_MS, CountingIds, record

DAYS = 4


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    """Four days of minutes, collected; the fifth has begun."""
    with record(database_url, local_infile=True) as engine:
        yield collected(Collecting(engine, range(DAYS * MINUTES + 60)))


def collected(world: Collecting, since_ms: int = START_MS) -> Collecting:
    world.finish(world.service.start(world.plan(since_ms=since_ms).id)[0].id)
    return world


def restate_as_none(world: Collecting, gone: Iterable[int]) -> None:
    """The venue has some of its minutes no more."""
    for minute in gone:
        del world.venue.bars[START_MS + minute * M]


def quality(world: Collecting) -> Quality:
    return world.quality.quality("binance", SYMBOL, "1m", 0, 2**60)


@pytest.mark.parametrize(
    ("gone", "surplus"),
    [
        # Twenty minutes over midnight of the second day.
        (range(2 * MINUTES - 10, 2 * MINUTES + 10), [10, 10]),
        # Eighty over the end of the first page of the second day, which has 998 bars.
        (range(MINUTES + 960, MINUTES + 1_040), [80, 0]),
    ],
)
def test_surplus_bars_are_seen_over_the_edge_of_a_page_and_of_a_day(
    world: Collecting, gone: range, surplus: list[int]
) -> None:
    restate_as_none(world, gone)
    days = verify(world, days=DAYS)
    assert [day.surplus for day in days] == [0, *surplus, 0]
    assert [day.compared for day in days[1:3]] == [MINUTES - bars for bars in surplus]
    assert {day.uncompared for day in days} == {0}
    assert sorted(row.open_ts or 0 for row in quarantined(world)) == [
        START_MS + minute * M for minute in gone
    ]
    assert world.stored() == world.everything()


def test_what_is_proven_once_a_day_is_verified_counts_as_the_venues_since(
    database_url: str,
) -> None:
    """At half past midnight, an hour's worth of proof of 23:40 to 23:55 cannot be there yet."""
    lacking = range(MINUTES - 20, MINUTES - 5)
    with record(database_url, local_infile=True) as engine:
        world = collected(Collecting(engine, sorted({*range(MINUTES + 31)} - {*lacking})))
        (day,) = verify(world)
        assert (day.present, day.exchange_side, day.pending) == (MINUTES - 15, 0, 15)
        assert quality(world).success == (MINUTES - 15) / MINUTES
        for _ in range(4):
            world.clock.advance(31 * M)
            plan = world.service.plans.page(1).rows[0]
            for job in world.service.start(plan.id, heal=False):
                world.finish(job.id)
        assert world.told()[1][2] is CoverageState.EXCHANGE_SIDE
        (day,) = figures(world)
        assert (day.present, day.exchange_side, day.pending) == (MINUTES - 15, 15, 0)
        assert (quality(world).obtainable, quality(world).success) == (MINUTES - 15, 1.0)
        # One of them comes after all: it could have been had, and was not there.
        world.units.run(lambda unit: come_after_all(unit, lacking[0]))
        (day,) = figures(world)
        assert (day.exchange_side, day.pending, quality(world).obtainable) == (14, 1, MINUTES - 14)


def come_after_all(unit: Unit, minute: int) -> None:
    """A bar that was proven to be missing is there: its range begins a bar later."""
    series = unit.klines.find_series("binance", SYMBOL, "1m")
    assert series is not None
    unit.klines.lock_series(series.id)
    spans = unit.coverage.spans(series.id)
    start = START_MS + minute * M
    assert (spans[0].end, spans[1].start) == (start, start)
    moved = [replace(spans[0], end=start + M), replace(spans[1], start=start + M), *spans[2:]]
    unit.coverage.save(series.id, spans, moved)


def test_a_hole_of_two_days_is_seen_told_and_left_to_a_person(world: Collecting) -> None:
    restate_as_none(world, range(MINUTES, 3 * MINUTES))
    for _ in range(2):
        days = verify(world, days=DAYS)
        assert [day.surplus for day in days] == [0, MINUTES, MINUTES, 0]
        assert [day.compared for day in days] == [MINUTES, 0, 0, MINUTES]
        assert quality(world).accuracy == 0.5
    assert (len(world.stored()), quarantined(world)) == (DAYS * MINUTES + 60, [])
    told = world.events.on("risk.alert.warning")
    assert {alarm["kind"] for alarm in told} == {"surplus-bars"}
    assert all("none was taken away" in alarm["text"] for alarm in told)


def test_a_hole_is_counted_once_where_the_venues_day_differs_as_well(world: Collecting) -> None:
    """The day of the venue is another one without those bars, so all minutes are asked again."""
    world.venue.longer = world.hours_of(range(DAYS * MINUTES))
    last = world.venue.longer["1d"][-1]
    world.venue.longer["1d"][-1] = last._replace(high=last.high + 1)
    restate_as_none(world, range(4 * MINUTES - 442, 4 * MINUTES))
    (day,) = verify(world)
    assert (day.compared, day.surplus, day.derived_differed) == (MINUTES - 442, 442, 1)


def test_a_venue_that_gives_less_than_a_page_takes_no_bar_from_the_store(
    world: Collecting,
) -> None:
    """It cuts every answer at 300 bars: the rest comes with the next requests, and is compared."""
    world.venue.tamper = lambda rows: rows[:300]
    world.venue.bars[START_MS + (4 * MINUTES - 5) * M] = bar(4 * MINUTES - 5, close=150)
    (day,) = verify(world)
    assert (day.compared, day.differed, day.surplus, day.uncompared) == (MINUTES, 1, 0, 0)
    assert len(world.stored()) == DAYS * MINUTES + 60


def test_bars_after_the_last_that_the_venue_gives_are_not_compared(world: Collecting) -> None:
    """It has forgotten the end: whether those bars were right cannot be known, nor is it said."""
    restate_as_none(world, range(4 * MINUTES - 100, 4 * MINUTES + 60))
    (day,) = verify(world)
    assert (day.compared, day.surplus, day.uncompared) == (MINUTES - 100, 0, 100)
    assert len(world.stored()) == DAYS * MINUTES + 60
    assert quality(world).accuracy == (MINUTES - 100) / MINUTES
    (alarm,) = world.events.on("risk.alert.warning")
    assert (alarm["kind"], alarm["bars"]) == ("bars-not-compared", 100)
    # Once the venue has them again, they are compared for the first time.
    world.list_bars(range(4 * MINUTES - 100, 4 * MINUTES + 60))
    (day,) = verify(world)
    assert (day.compared, day.surplus, day.uncompared) == (MINUTES, 0, 0)
    assert quality(world).accuracy == 1


def test_a_second_verification_does_not_wash_what_the_first_one_found(database_url: str) -> None:
    """Ten bars were not stored and one was revised: repaired at once, and known ever after."""
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine, [n for n in range(MINUTES + 60) if not 500 <= n < 510])
        collected(world)
        world.list_bars(range(500, 510))
        world.venue.bars[START_MS + 700 * M] = bar(700, close=150)
        for _ in range(2):
            (day,) = verify(world)
            assert (day.present, day.missed, day.differed) == (MINUTES, 10, 1)
            assert day.compared == MINUTES - 10
            found = quality(world)
            assert (found.missed, found.success) == (10, (MINUTES - 10) / MINUTES)
            assert found.accuracy == (MINUTES - 11) / (MINUTES - 10)
        # What is revised later is found later, and adds up.
        world.venue.bars[START_MS + 800 * M] = bar(800, close=150)
        (day,) = verify(world)
        assert (day.differed, day.missed) == (2, 10)


def test_a_verification_stores_nothing_from_before_the_first_bar_that_is_wanted(
    database_url: str,
) -> None:
    """Kept since ten o'clock of the second day; the venue has the days before as well."""
    with record(database_url, local_infile=True) as engine:
        since = START_MS + DAY_MS + 600 * M
        world = collected(Collecting(engine, range(3 * MINUTES + 60)), since)
        job = world.service.verify(minutes(), 3_000)
        assert (job.params["first_day"], job.params["days"]) == (START_MS + DAY_MS, 2)
        while world.service.run_verification(job.id) == "queued":
            pass
        result = world.job(job.id).result or {}
        assert (result["slices_total"], result["skipped_days"]) == (2, 2_998)
        assert world.stored()[0].open_ts == since
        first, second = figures(world)
        assert (first.expected, first.compared, first.missed) == (MINUTES - 600, MINUTES - 600, 0)
        assert (second.expected, second.compared) == (MINUTES, MINUTES)


def test_a_series_whose_first_day_is_not_over_is_refused_with_that_day(database_url: str) -> None:
    with record(database_url, local_infile=True) as engine:
        world = collected(Collecting(engine, range(MINUTES + 60)), START_MS + DAY_MS)
        with pytest.raises(InvalidInput, match=r"from 20\d\d-\d\d-\d\d on") as refused:
            world.service.verify(minutes(), 3)
        assert refused.value.error_code == "nothing-to-verify"


@pytest.mark.parametrize("status", [InstrumentStatus.HALTED, InstrumentStatus.DELISTED])
def test_a_symbol_that_does_not_trade_is_verified_to_its_end_and_left_alone_then(
    world: Collecting, status: InstrumentStatus
) -> None:
    def states(unit: Unit) -> None:
        listed = [] if status is InstrumentStatus.DELISTED else [instrument(SYMBOL, status)]
        unit.instruments.refresh("binance", listed, CountingIds().new, 1)

    world.units.run(states)
    world.market_clock.now += 3 * DAY_MS
    assert world.service.verify_yesterday() == 1
    job = world.live_job("verification")
    assert (job.params["first_day"], job.params["days"]) == (START_MS + 4 * DAY_MS, 1)
    world.service.run_verification(job.id)
    assert world.job(job.id).state == "succeeded"
    assert world.service.verify_yesterday() == 0


def test_days_of_a_halted_symbol_that_its_venue_refuses_are_tried_ever_more_seldom(
    world: Collecting,
) -> None:
    """Looked at every hour, some minutes early or late, for six days."""
    halted = [instrument(SYMBOL, InstrumentStatus.HALTED)]
    world.units.run(lambda unit: unit.instruments.refresh("binance", halted, world.ids.new, 1))
    world.market_clock.now += 3 * DAY_MS
    tried = []
    for hour in range(6 * 24):
        # Each process that looks is another one.
        if world.new_service().verify_yesterday():
            tried.append(hour)
            world.venue.failures = [VenueRulesRefused("binance", "refused")]
            assert world.service.run_verification(world.live_job("verification").id) == "failed"
        world.clock.advance(60 * M + (5_000 if hour % 2 else -5_000))
    assert tried == [0, 1, 3, 7, 15, 31, 55, 79, 103, 127]
    # A day that ends later is another matter, as is any of a symbol that trades again.
    trading = [instrument(SYMBOL)]
    world.units.run(lambda unit: unit.instruments.refresh("binance", trading, world.ids.new, 2))
    assert world.service.verify_yesterday() == 1


def test_expected_is_one_figure_in_coverage_and_in_quality(database_url: str) -> None:
    """Planned since three days before the listing: bars of those days are no expected ones."""
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine, [n for n in range(2 * MINUTES + 60) if not 70 <= n < 80])
        collected(world, START_MS - 3 * DAY_MS)
        verify(world, days=2)
        two_days = START_MS + 2 * DAY_MS
        found = world.quality.coverage("binance", SYMBOL, "1m", end=two_days)
        assert found.counts["before_listing"] == 3 * MINUTES
        parts = ("present", "pending", "exchange_side")
        assert found.expected == sum(found.counts[part] for part in parts) == 2 * MINUTES
        assert quality(world).expected == found.expected


def test_the_latest_days_are_so_many_at_whatever_hour_one_looks(world: Collecting) -> None:
    days = [day.day_ts for day in verify(world, days=DAYS)]
    assert len(days) == DAYS

    def seen(start: int | None = None, end: int | None = None) -> list[int]:
        found = world.quality.quality("binance", SYMBOL, "1m", start, end, latest=3)
        return [day.day_ts for day in found.days]

    assert seen() == days[1:]
    world.clock.advance(400 * DAY_MS)
    assert seen() == days[1:]
    assert seen(end=days[2] + 1) == days[:3]
    assert seen(start=days[0]) == days
