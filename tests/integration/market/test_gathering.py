"""Pages of a long back-fill are stored together where they come quickly, and none is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.exchanges.errors import VenueRetryLater
from app.core.market.coverage import CoverageState
from tests.integration.market.collecting import Collecting, M
from tests.support.record import START_MS, record

PRESENT, PENDING = CoverageState.PRESENT, CoverageState.PENDING


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    with record(database_url, local_infile=True) as engine:
        yield Collecting(engine, range(22_500))


def stored_at_once(world: Collecting) -> list[int]:
    """Bars of each event, in thousands: an event for each transaction that stored some."""
    return [body["count"] // 1_000 for topic, body in world.events.sent if "kline" in topic]


def test_after_the_first_page_ten_come_in_one_transaction(world: Collecting) -> None:
    job = world.service.start(world.plan().id)[0].id
    assert world.service.run_job(job) == "succeeded"
    assert stored_at_once(world) == [1, 10, 10, 1]
    assert len(world.stored()) == 22_500
    assert len(world.venue.asked) == 23


def test_a_venue_that_answers_slowly_has_each_page_stored_as_it_comes(world: Collecting) -> None:
    """A page in four tenths of a second: three of them take longer than a second."""
    world.venue.before = lambda: world.clock.advance(400)
    job = world.service.start(world.plan().id)[0].id
    world.service.run_job(job)
    assert stored_at_once(world) == [1, *[3] * 7, 0], "and 500 bars at the end"
    assert len(world.stored()) == 22_500


def test_a_venue_that_refuses_the_fourth_page_loses_none_before_it(world: Collecting) -> None:
    job = world.service.start(world.plan().id)[0].id

    def refuse_the_fourth() -> None:
        if len(world.venue.asked) == 4:
            world.venue.failures = [VenueRetryLater("binance", "later", retry_after_ms=60_000)]

    world.venue.before = refuse_the_fourth
    assert world.service.run_job(job) == "queued"
    assert len(world.stored()) == 3_000
    with world.units.read() as unit:
        assert unit.jobs.get(job).not_before == unit.now_ms + 60_000
    world.clock.advance(60_000)
    assert world.service.run_job(job) == "succeeded"
    assert len(world.stored()) == 22_500
    # The page that was refused was asked for once more, and no other twice.
    starts = [start for _, start, _, _ in world.venue.asked]
    assert len(starts) - len(set(starts)) == 1


def test_a_gap_at_the_border_of_two_pages_is_seen_between_its_neighbours(
    world: Collecting,
) -> None:
    """Minutes 1,999 and 2,000 are missing: one page ends before them, the next begins behind."""
    for minute in (1_999, 2_000):
        del world.venue.bars[START_MS + minute * M]
    job = world.service.start(world.plan().id)[0].id
    assert world.service.run_job(job) == "succeeded"
    assert world.told() == [
        (0, 1_999, PRESENT),
        (1_999, 2_001, PENDING),
        (2_001, 22_500, PRESENT),
    ]


def test_a_bad_row_in_the_midst_of_them_is_refused_alone(world: Collecting) -> None:
    job = world.service.start(world.plan().id)[0].id
    bad = START_MS + 2_500 * M
    world.venue.tamper = lambda rows: [
        row._replace(high=row.low - 1) if row.open_ts == bad else row for row in rows
    ]
    world.service.run_job(job)
    assert stored_at_once(world)[:2] == [1, 9], "9,999 bars"
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", "BTC/USDT", "1m")
        assert series is not None
        assert {each.open_ts for each in unit.klines.quarantined(series.id)} == {bad}
    assert (2_500, 2_501, PENDING) in world.told()


def test_nothing_is_gathered_behind_a_page_whose_times_are_in_disorder(world: Collecting) -> None:
    job = world.service.start(world.plan().id)[0].id
    world.venue.tamper = lambda rows: rows[::-1] if len(world.venue.asked) == 3 else rows
    world.service.run_job(job)
    # The third request's page is the second of its transaction, and ends it. Of its bars only
    # the newest is above the one before; the others are refused, and asked for again.
    assert stored_at_once(world)[:3] == [1, 1, 10]
    assert len(world.stored()) == 22_500 - 999
