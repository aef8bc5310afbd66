"""A venue that pays funding every eight hours, and a plan that follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

from app.core.market.instruments import InstrumentType
from app.core.market.points import FundingRate
from app.services.collection.points import Extra, PointKind
from app.services.point_coverage import PointAccount, PointCoverage
from tests.integration.market.collecting import Collecting, instrument
from tests.support.record import START_MS, record

SWAP = "BTC/USDT:USDT"
HOUR = 3_600_000
DAY = 24 * HOUR
FUNDING = Extra(PointKind.FUNDING)
HOURLY = Extra(PointKind.OPEN_INTEREST, "1h")


def pay(world: Collecting, number: int) -> None:
    """The venue states a payment, some milliseconds late."""
    ts = START_MS + number * 8 * HOUR + number % 7
    world.venue.funding[ts] = FundingRate(ts, Decimal(number + 1) / 10_000, None)


def paying(
    database_url: str, pays: Callable[[Collecting, int], None] = pay
) -> Iterator[Collecting]:
    """A perpetual with a hundred days of payments behind it."""
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine)
        world.venue.catalogue.append(
            replace(instrument("BTC/USDT"), symbol=SWAP, type=InstrumentType.SWAP)
        )
        for number in range(300):
            pays(world, number)
        world.market_clock.now = START_MS + 300 * 8 * HOUR
        yield world


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


def hours(world: Collecting, count: int, each: int = 1) -> int:
    """Follow twice every so many hours: for what is new, and for what lacks."""
    return sum(rounds(world, 1, each * 3_600 - 10) + rounds(world, 1) for _ in range(count))


def answers_nothing(world: Collecting, count: int, seconds: int = 10) -> None:
    """Follow so often while the venue gives no payment at all."""
    kept, world.venue.funding = world.venue.funding, {}
    rounds(world, count, seconds)
    world.venue.funding = kept


def told(found: PointAccount) -> list[tuple[float, float, str, int | None]]:
    """Gaps as (first payment, next one that is there, state, how many)."""
    eight = 8 * HOUR
    return [
        ((gap.start - START_MS) / eight, (gap.end - START_MS) / eight, gap.state.value, gap.count)
        for gap in found.gaps
    ]
