"""Histories beside bars: whole from their first wanted day on, and what lacks is accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import NotFound, UnknownName
from app.core.market.instruments import InstrumentType
from app.core.market.points import FundingRate, OpenInterest
from app.services.collection.points import Extra, PointKind
from app.services.point_coverage import PointAccount, PointCoverage
from tests.integration.market.collecting import Collecting, instrument
from tests.support.record import START_MS, record

SWAP = "BTC/USDT:USDT"
HOUR = 3_600_000
DAY = 24 * HOUR
FUNDING = Extra(PointKind.FUNDING)
HOURLY = Extra(PointKind.OPEN_INTEREST, "1h")


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    """A perpetual with a hundred days of payments behind it."""
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine)
        world.venue.catalogue.append(
            replace(instrument("BTC/USDT"), symbol=SWAP, type=InstrumentType.SWAP)
        )
        for number in range(300):
            pay(world, number)
        world.market_clock.now = START_MS + 300 * 8 * HOUR
        yield world


def pay(world: Collecting, number: int) -> None:
    """The venue states a payment, some milliseconds late."""
    ts = START_MS + number * 8 * HOUR + number % 7
    world.venue.funding[ts] = FundingRate(ts, Decimal(number + 1) / 10_000, None)


def unpaid(world: Collecting, *numbers: int) -> None:
    """The venue does not state these payments."""
    for number in numbers:
        del world.venue.funding[START_MS + number * 8 * HOUR + number % 7]


def plan(world: Collecting, name: str = "p", extra: str = "funding", since: int = START_MS) -> None:
    world.plan(name=name, symbols=[SWAP], intervals=["1d"], extras=[extra], since_ms=since)


def rounds(world: Collecting, count: int, seconds: int = 10) -> int:
    """Follow so often; how many points were new."""
    came = 0
    for _ in range(count):
        world.clock.advance(seconds * 1_000)
        came += world.service.follow_all().points
    return came


def account(world: Collecting, extra: Extra = FUNDING, **part: Any) -> PointAccount:
    wanted = {"start": None, "end": None} | part
    return PointCoverage(world.units, world.market_clock).of("binance", SWAP, extra, **wanted)


def told(found: PointAccount) -> list[tuple[float, float, str, int | None]]:
    """Gaps as (first payment, next one that is there, state, how many)."""
    eight = 8 * HOUR
    return [
        ((gap.start - START_MS) / eight, (gap.end - START_MS) / eight, gap.state.value, gap.count)
        for gap in found.gaps
    ]


def test_a_plan_that_begins_earlier_gets_the_years_before(world: Collecting) -> None:
    plan(world, since=START_MS + 250 * 8 * HOUR)
    assert rounds(world, 3) == 50
    plan(world, "earlier")
    # Not asked for yet, and said so.
    assert rounds(world, 1) == 200
    assert rounds(world, 1) == 50
    assert rounds(world, 3) == 0
    found = account(world)
    assert (found.expected, found.present, found.gaps) == (300, 300, [])


def test_a_plan_that_begins_later_makes_no_hole_in_what_is_still_fetched(
    world: Collecting,
) -> None:
    plan(world)
    assert rounds(world, 1) == 200
    plan(world, "later", since=START_MS + 290 * 8 * HOUR)
    assert rounds(world, 2) == 100
    assert account(world).present == 300


def test_a_payment_that_came_late_is_asked_for_again_and_the_account_is_whole(
    world: Collecting,
) -> None:
    unpaid(world, 100, 101, 250)
    plan(world)
    rounds(world, 2)
    found = account(world)
    assert (found.expected, found.present, found.every_ms) == (300, 297, 8 * HOUR)
    assert told(found) == [(100, 102, "pending", 2), (250, 251, "pending", 1)]
    for number in (100, 101, 250):
        pay(world, number)
    assert rounds(world, 3) == 3
    assert account(world).gaps == []


def test_a_payment_that_the_venue_never_states_is_its_own_after_three_looks_over_an_hour(
    world: Collecting,
) -> None:
    unpaid(world, 100)
    plan(world)
    rounds(world, 12)
    assert told(account(world)) == [(100, 101, "pending", 1)]
    rounds(world, 30, seconds=300)
    assert told(account(world)) == [(100, 101, "exchange_side", 1)]
    assert account(world).expected == 300


def test_a_gap_costs_few_questions(world: Collecting, monkeypatch: pytest.MonkeyPatch) -> None:
    unpaid(world, 100)
    plan(world)
    rounds(world, 2)
    asked = []
    rates = world.venue.funding_rates

    def noting(*what: Any) -> list[FundingRate]:
        asked.append(what)
        return rates(*what)

    monkeypatch.setattr(world.venue, "funding_rates", noting)
    rounds(world, 90)
    # Three looks half a minute apart, of which a round sees each thrice; later ones are spaced.
    gap = START_MS + 100 * 8 * HOUR
    assert len([what for what in asked if what[1] <= gap < what[2]]) <= 9


def test_what_should_have_come_by_now_lacks_too(world: Collecting) -> None:
    plan(world)
    rounds(world, 3)
    world.market_clock.now += 17 * HOUR
    assert told(account(world)) == [(300, 303, "pending", 3)]
    world.market_clock.now = START_MS + 300 * 8 * HOUR
    assert account(world, start=START_MS + 10 * 8 * HOUR, end=START_MS + 20 * 8 * HOUR) == (
        PointAccount(START_MS + 80 * HOUR + 3, START_MS + 160 * HOUR, 8 * HOUR, 10, 10, [])
    )


def test_open_interest_lacks_by_its_interval(world: Collecting) -> None:
    def observe(hours: range) -> None:
        for hour in hours:
            ts = START_MS + hour * HOUR
            world.venue.interest[ts] = OpenInterest(ts, Decimal(1_000 + hour), None)

    observe(range(20))
    observe(range(23, 50))
    world.market_clock.now = START_MS + 50 * HOUR
    plan(world, extra="open_interest:1h")
    assert rounds(world, 1) == 47
    (gap,) = account(world, HOURLY).gaps
    assert (gap.start, gap.end, gap.count) == (START_MS + 20 * HOUR, START_MS + 23 * HOUR, 3)
    observe(range(20, 23))
    # Three rounds later is another look.
    assert [rounds(world, 2), rounds(world, 1)] == [0, 3]
    assert account(world, HOURLY).expected == account(world, HOURLY).present == 50


def test_what_the_venue_has_not_kept_is_no_gap(world: Collecting) -> None:
    """Before its first payment there is nothing to wait for."""
    plan(world, since=START_MS)
    world.venue.funding = {
        ts: rate for ts, rate in world.venue.funding.items() if ts >= START_MS + 200 * 8 * HOUR
    }
    rounds(world, 3)
    found = account(world)
    assert (found.present, found.gaps) == (100, [])
    assert found.start == START_MS + 200 * 8 * HOUR + 200 % 7


def test_a_series_of_an_older_release_is_gone_through_once(world: Collecting) -> None:
    unpaid(world, 270)
    plan(world, since=START_MS + 250 * 8 * HOUR)
    rounds(world, 3)
    with world.units.write() as unit:
        series = unit.points.find_series("binance", SWAP, "funding")
        assert series is not None
        series.from_ts, series.gaps, series.asked_at = None, None, 0
    pay(world, 270)
    assert rounds(world, 4) == 1
    plan(world, "earlier")
    assert rounds(world, 4) == 250
    assert account(world).gaps == []


def test_what_was_not_collected_has_no_account(world: Collecting) -> None:
    world.plan(name="bars")
    with pytest.raises(NotFound, match="--extra funding"):
        account(world)
    accounts = PointCoverage(world.units, world.market_clock)
    with pytest.raises(UnknownName):
        accounts.of("binance", "NO/SUCH", FUNDING, None, None)
