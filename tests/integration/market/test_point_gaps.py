"""Histories beside bars: what lacks is asked for again and accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import NotFound, Unavailable, UnknownName
from app.core.market.points import FundingRate, OpenInterest
from app.services.point_coverage import PointAccount, PointCoverage
from tests.integration.market.collecting import Collecting
from tests.integration.market.paying import (
    FUNDING,
    HOUR,
    HOURLY,
    SWAP,
    account,
    answers_nothing,
    hours,
    pay,
    paying,
    plan,
    rounds,
    told,
    unpaid,
)
from tests.support.record import START_MS


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    """A perpetual with a hundred days of payments behind it."""
    yield from paying(database_url)


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


def test_answers_without_any_payment_make_no_gap_the_venues(world: Collecting) -> None:
    """Two payments are late, and then the venue answers nothing for hours."""
    unpaid(world, 100, 101)
    plan(world)
    rounds(world, 2)
    answers_nothing(world, 30, seconds=300)
    assert told(account(world)) == [(100, 102, "pending", 2)]
    pay(world, 100)
    pay(world, 101)
    assert rounds(world, 7, seconds=300) == 2
    found = account(world)
    assert (found.expected, found.present, found.gaps) == (300, 300, [])


@pytest.mark.parametrize("hidden", [range(90, 100), range(102, 300)])
def test_an_answer_without_a_neighbour_of_a_gap_proves_nothing(
    world: Collecting, hidden: range
) -> None:
    unpaid(world, 100, 101)
    plan(world)
    rounds(world, 2)
    unpaid(world, *hidden)
    rounds(world, 60, seconds=300)
    assert told(account(world)) == [(100, 102, "pending", 2)]
    for number in hidden:
        pay(world, number)
    # Asked for but once a day by now, and yet: two more looks with both of them prove it.
    hours(world, 60)
    assert told(account(world)) == [(100, 102, "exchange_side", 2)]


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
    assert rounds(world, 2) == 3
    assert account(world, HOURLY).expected == account(world, HOURLY).present == 50


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


class _NoClock:
    """A venue whose market time cannot be asked."""

    def now_ms(self, exchange: str) -> int:
        raise Unavailable(f"the clock of {exchange} could not be read")


def test_where_the_market_time_is_not_known_the_account_ends_with_the_last_point(
    world: Collecting,
) -> None:
    unpaid(world, 100)
    plan(world)
    rounds(world, 3)
    world.market_clock.now += 17 * HOUR
    blind = PointCoverage(world.units, _NoClock())
    found = blind.of("binance", SWAP, FUNDING, None, None)
    assert (found.expected, told(found)) == (300, [(100, 101, "pending", 1)])
    assert found.unknown == "the clock of binance could not be read"
    assert account(world).unknown == ""
    # Up to an end that is given nothing is left open.
    given = blind.of("binance", SWAP, FUNDING, None, START_MS + 302 * 8 * HOUR)
    assert (given.expected, given.unknown) == (302, "")


def test_what_was_not_collected_has_no_account(world: Collecting) -> None:
    world.plan(name="bars")
    with pytest.raises(NotFound, match="--extra funding"):
        account(world)
    accounts = PointCoverage(world.units, world.market_clock)
    with pytest.raises(UnknownName):
        accounts.of("binance", "NO/SUCH", FUNDING, None, None)
