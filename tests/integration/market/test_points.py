"""Funding rates and open interest: followed beside a plan's bars, whole and exact."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from app.core.errors import InvalidInput, NotFound, UnknownName
from app.core.market.points import FundingRate, OpenInterest
from app.models import CollectionPlanRow
from app.repositories.points import Point
from app.services.collection.points import Extra, PointKind
from app.services.points import PointQueries
from tests.integration.market.collecting import Collecting
from tests.integration.market.paying import FUNDING, HOUR, SWAP, paying
from tests.support.record import START_MS

D = Decimal


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    """A perpetual with 300 payments, 8 hours and some milliseconds apart."""
    yield from paying(database_url, pay)


def pay(world: Collecting, number: int, rate: str = "0.0001") -> None:
    """The venue states a payment."""
    ts = START_MS + number * 8 * HOUR + number % 7
    world.venue.funding[ts] = FundingRate(ts, D(rate), D("50000.5"))


def plan(world: Collecting, *extras: str, symbol: str = SWAP) -> CollectionPlanRow:
    return world.plan(symbols=[symbol], extras=extras)


def stored(world: Collecting, extra: Extra = FUNDING) -> list[Point]:
    points: list[Point] = []
    start: int | None = 0
    while start is not None:
        page, start = PointQueries(world.units).page("binance", SWAP, extra, start, None, 70)
        points += page
    return points


def test_a_history_comes_page_by_page_and_then_payment_by_payment(world: Collecting) -> None:
    made = plan(world, "funding")
    assert [world.service.follow(made.id).points for _ in range(3)] == [200, 100, 0]
    assert stored(world) == [
        Point(rate.ts, rate.rate, rate.mark_price)
        for _, rate in sorted(world.venue.funding.items())
    ]
    # The next payment is found when it is looked for again, ten minutes later at most.
    pay(world, 300, "-0.00012345")
    world.market_clock.now += 8 * HOUR
    assert world.service.follow(made.id).points == 0
    world.clock.advance(600_000)
    assert world.service.follow(made.id).points == 1
    assert stored(world)[-1].value == D("-0.00012345")
    assert [name for name, _ in world.events.sent if "funding" in name] == [
        "market.funding.binance.BTC/USDT:USDT"
    ] * 3


def test_a_point_that_is_stated_otherwise_is_a_revision(world: Collecting) -> None:
    point = Point(START_MS, D("0.0001"), D("50000.5"))
    changed = point._replace(value=D("0.0002"))
    with world.units.write() as unit:
        series = unit.points.series("binance", SWAP, "funding", "", 1)
        assert unit.points.store(series.id, [point], "rest:binance", 1) == 1
        assert unit.points.store(series.id, [point], "rest:binance", 2) == 0
        assert unit.points.store(series.id, [changed], "rest:binance", 3) == 1
        (revision,) = unit.points.revisions(series.id)
    assert (revision.old["value"], revision.new["value"]) == ("0.0001", "0.0002")
    assert stored(world) == [changed]


def test_open_interest_has_an_interval(world: Collecting) -> None:
    for hour in range(50):
        ts = START_MS + hour * HOUR
        world.venue.interest[ts] = OpenInterest(ts, D(1_000 + hour), None)
    made = plan(world, "open_interest:1h")
    assert world.service.follow(made.id).points == 50
    extra = Extra(PointKind.OPEN_INTEREST, "1h")
    assert [point.value for point in stored(world, extra)] == [D(1_000 + h) for h in range(50)]


def test_a_venue_that_fails_is_asked_again_and_the_bars_go_on(world: Collecting) -> None:
    made = plan(world, "funding")
    world.venue.list_funding = False
    assert set(world.service.follow(made.id).errors) == {f"{SWAP} funding"}
    world.venue.list_funding = True
    assert world.service.follow(made.id).points == 200


def test_what_cannot_be_followed_is_refused(world: Collecting) -> None:
    for extras, sentence in (
        (["funding:8h"], "no history beside the bars"),
        (["open_interest"], "no history beside the bars"),
        (["news"], "no history beside the bars"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            plan(world, *extras)
    with pytest.raises(UnknownName):
        plan(world, "open_interest:7m")
    with pytest.raises(InvalidInput, match="BTC/USDT is no perpetual"):
        plan(world, "funding", symbol="BTC/USDT")
    world.venue.periods = ("5m", "1h")
    with pytest.raises(InvalidInput, match="no open interest at 1w; use one of 5m, 1h"):
        plan(world, "open_interest:1w")
    world.venue.has_points = False
    with pytest.raises(InvalidInput, match="binance has no history of open interest"):
        plan(world, "open_interest:1h")
    with pytest.raises(NotFound, match="--extra funding"):
        stored(world)
