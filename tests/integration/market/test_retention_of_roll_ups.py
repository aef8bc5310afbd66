"""Minutes go by a rule, and the hours and days that were made of them stay as they were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from app.core.market.intervals import DAY_MS, HOUR_MS
from app.repositories.partitions import KlinePartitions
from app.repositories.unit import Unit
from app.services.kline_pages import KlinePages
from app.services.listings import Listings
from app.services.retention import RetentionService
from tests.integration.market.collecting import SYMBOL, bar
from tests.integration.market.rolling import Rolling
from tests.support.record import START_MS, record

T = START_MS
DAY_MINUTES = 1_440


@pytest.fixture
def here(database_url: str) -> Iterator[Rolling]:
    with record(database_url, local_infile=True) as engine:
        found = Rolling(engine, range(11 * DAY_MINUTES))
        found.collect()
        yield found


def retention_of(here: Rolling, engine: Engine) -> RetentionService:
    partitions = KlinePartitions(engine)
    service = RetentionService(here.units, partitions, here.market_clock, here.clock, here.ids)
    service.set("*", "*", "1m", 8)
    return service


def test_minutes_wait_until_they_are_rolled_up(here: Rolling) -> None:
    service = retention_of(here, here.engine)
    assert service.apply().bars == 0
    assert len(here.stored()) == 11 * DAY_MINUTES
    here.roll_up()
    assert service.apply().bars == 3 * DAY_MINUTES


def test_hours_and_days_outlive_their_minutes(here: Rolling) -> None:
    here.roll_up()
    service = retention_of(here, here.engine)
    before = {name: (here.kept(name), here.read(name)) for name in ("1h", "1d")}
    four = here.read("4h")
    assert service.apply().bars == 3 * DAY_MINUTES
    assert here.stored()[0].open_ts == T + 3 * DAY_MS
    for name, (kept, read) in before.items():
        assert (here.kept(name), here.read(name)) == (kept, read)
        assert read[0].open_ts == T
    assert here.read("4h") == four
    assert here.breaches() == []
    assert here.roll_up() == 0, "nothing is to be made anew"
    # A page that begins before the minutes, and a listing, know of the hours as well.
    pages = KlinePages(here.units, here.market()._store)
    page = pages.find("binance", SYMBOL, "1h", T, None, 10)
    assert pages.read(page).open_ts.tolist() == [T + hour * HOUR_MS for hour in range(10)]
    stored = Listings(here.units).stored_range("binance", SYMBOL, "1h")
    assert stored == (T, T + 11 * DAY_MS)


def test_days_that_come_later_are_rolled_up_and_the_removed_ones_stay(here: Rolling) -> None:
    here.roll_up()
    service = retention_of(here, here.engine)
    service.apply()
    hours = here.kept("1h")
    here.heal(*range(11 * DAY_MINUTES, 13 * DAY_MINUTES))
    here.roll_up()
    assert here.kept("1h")[: len(hours)] == hours
    assert len(here.kept("1h")) == 13 * 24
    assert service.apply().bars == 2 * DAY_MINUTES
    assert len(here.read("1h")) == 13 * 24
    assert here.breaches() == []


def test_some_minutes_imported_into_a_removed_day_do_not_cost_its_hours(here: Rolling) -> None:
    """An hour made of five minutes would be none: the one that was made of all of them is right."""
    here.roll_up()
    retention_of(here, here.engine).apply()
    hours = here.read("1h")

    def store(unit: Unit) -> None:
        series = unit.klines.lock_series(here.minutes().id)
        rows = [bar(minute) for minute in range(5)]
        unit.klines.store(series.id, rows, covered=True, source="t", now_ms=unit.now_ms)

    here.units.run(store)
    here.rolls.roll_up(here.minutes().id)
    assert here.read("1h") == hours
    assert here.stored()[0].open_ts == T
    assert here.minutes().rolled_to == T + 11 * DAY_MS
