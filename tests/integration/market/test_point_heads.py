"""Histories beside bars: whole from where plans want them on, or from their first point."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from app.core.market.files.reading import Reading
from app.core.market.intervals import interval
from app.core.market.klines import KlineKind
from app.core.market.points import FundingRate
from app.repositories.points import Point
from app.services.importing.funding import Payments, keep_funding
from app.services.importing.order import ImportFile
from tests.integration.market.collecting import Collecting
from tests.integration.market.paying import (
    DAY,
    HOUR,
    SWAP,
    account,
    answers_nothing,
    hours,
    pay,
    paying,
    plan,
    rounds,
    told,
)
from tests.support.record import START_MS


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    """A perpetual with a hundred days of payments behind it."""
    yield from paying(database_url)


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


def test_what_the_venue_has_not_kept_is_before_its_first_payment_and_not_expected(
    world: Collecting,
) -> None:
    plan(world, since=START_MS)
    world.venue.funding = _from(world, 200)
    rounds(world, 3)
    found = account(world)
    assert (found.expected, found.present) == (100, 100)
    assert told(found) == [(0, 200, "before_listing", None)]
    assert found.start == START_MS
    # Said of any part of it.
    part = account(world, start=START_MS + 50 * 8 * HOUR, end=START_MS + 210 * 8 * HOUR)
    assert (part.expected, told(part)) == (10, [(50, 200, "before_listing", None)])


def _from(world: Collecting, number: int) -> dict[int, FundingRate]:
    """The venue's payments from one on."""
    since = START_MS + number * 8 * HOUR
    return {ts: rate for ts, rate in world.venue.funding.items() if ts >= since}


def test_a_first_answer_with_the_latest_payments_alone_does_not_write_off_those_before(
    world: Collecting,
) -> None:
    whole, world.venue.funding = world.venue.funding, _from(world, 295)
    plan(world)
    rounds(world, 3)
    assert told(account(world)) == [(0, 295, "before_listing", None)]
    world.venue.funding = whole
    assert hours(world, 23) == 0
    # A day later the first payment is looked at again: there are older ones, page by page.
    assert hours(world, 3) == 295
    found = account(world)
    assert (found.expected, found.present, found.gaps) == (300, 300, [])


def test_an_empty_first_answer_does_not_write_off_the_years_before(world: Collecting) -> None:
    plan(world, since=START_MS + 250 * 8 * HOUR)
    rounds(world, 3)
    plan(world, "earlier")
    answers_nothing(world, 1)
    assert told(account(world)) == [(0, 250, "pending", 250)]
    assert rounds(world, 3) == 250
    assert account(world).gaps == []


def test_a_first_payment_is_looked_at_again_on_two_days_and_then_once_a_month(
    world: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.venue.funding = _from(world, 200)
    plan(world)
    rounds(world, 2)
    asked = []
    rates = world.venue.funding_rates

    def noting(symbol: str, start: int, *rest: int) -> list[FundingRate]:
        asked.extend([world.clock.now_ms()] if start == START_MS else [])
        return rates(symbol, start, *rest)

    monkeypatch.setattr(world.venue, "funding_rates", noting)
    begin = world.clock.now_ms()
    hours(world, 4 * 40, each=6)
    assert [round((at - begin) / DAY) for at in asked] == [1, 2, 32]
    assert account(world).expected == 100


def test_a_venue_that_forgets_its_first_payment_has_no_listing_there(world: Collecting) -> None:
    world.venue.funding = _from(world, 200)
    plan(world)
    rounds(world, 2)
    world.venue.funding = _from(world, 203)
    hours(world, 26)
    found = account(world)
    assert told(found) == [(0, 200, "pending", 200)]
    assert (found.expected, found.present) == (300, 100)


def test_an_older_payment_of_a_file_opens_again_what_lay_before_the_first_one(
    world: Collecting,
) -> None:
    world.venue.funding = _from(world, 290)
    plan(world)
    rounds(world, 2)
    ts = START_MS + 280 * 8 * HOUR
    file = ImportFile("old.csv", "binance", SWAP, interval("8h"), KlineKind.TRADE, Reading("csv"))
    payments = Payments([Point(ts, Decimal("0.0001"))], rows=1)
    with world.units.write() as unit:
        keep_funding(unit, file, payments)
    assert told(account(world))[1:] == [(281, 290, "pending", 9)]
    for number in range(281, 290):
        pay(world, number)
    assert rounds(world, 2) == 9


@pytest.mark.parametrize("is_asked_for", [True, False])
def test_what_nobody_asked_for_yet_is_cut_to_the_range(
    world: Collecting, is_asked_for: bool
) -> None:
    """An earlier plan wants 260 payments more, of which the venue gave none yet."""
    plan(world, since=START_MS + 260 * 8 * HOUR)
    rounds(world, 3)
    plan(world, "earlier")
    if is_asked_for:
        answers_nothing(world, 1)
    assert told(account(world)) == [(0, 260, "pending", 260)]
    at_60, at_150 = START_MS + 60 * 8 * HOUR, START_MS + 150 * 8 * HOUR
    later = account(world, start=at_60)
    assert (later.start, later.expected, told(later)) == (at_60, 240, [(60, 260, "pending", 200)])
    first = account(world, end=at_150)
    assert (first.end, first.expected, told(first)) == (at_150, 150, [(0, 150, "pending", 150)])
    between = account(world, start=at_60, end=at_150)
    assert (between.expected, between.present) == (90, 0)
