"""Where a venue gives no minute without a trade, hours and days are made of those that exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from app.core.market.coverage import CoverageState
from app.core.market.intervals import DAY_MS, HOUR_MS
from app.core.market.klines import KlineFrame, KlineRow
from app.repositories.kline_store import KlineStore
from app.services.frame_cache import FrameCache
from app.services.kline_pages import KlinePages
from app.services.retention import RetentionService
from tests.integration.market.collecting import SYMBOL, M, bar
from tests.integration.market.rolling import Rolling
from tests.integration.market.test_composed_klines import statements
from tests.integration.market.verified import verify
from tests.support.record import START_MS, record, shared_data

T = START_MS
DAY = 1_440
LAST = 4 * DAY + 600
#: A minute of the first hour, all of the sixth hour, and one of the hour at 10:00 of the next day.
OMITTED = {7, *range(300, 360), DAY + 630}
#: Hours of the range that have any minute.
HOURS = 106 - 1


@pytest.fixture
def world(database_url: str) -> Iterator[Rolling]:
    """Collected; nothing of what is missing is proven yet."""
    with record(database_url, local_infile=True) as engine:
        world = Rolling(engine, [n for n in range(LAST) if n not in OMITTED])
        world.collect()
        yield world


def prove(world: Rolling) -> None:
    """Three looks over an hour at what is missing."""
    plan = world.service.plans.page(5).rows[0]
    for _ in range(6):
        world.clock.advance(31 * M)
        for job in world.service.start(plan.id):
            assert world.finish(job.id) == "succeeded"
    absent = [told for told in world.told() if told[2] is CoverageState.EXCHANGE_SIDE]
    assert [told[:2] for told in absent] == [(7, 8), (300, 360), (DAY + 630, DAY + 631)]


def made(world: Rolling, length: int) -> list[KlineRow]:
    """Longer bars of the stored minutes, whichever there are, made one by one."""
    found: dict[int, list[KlineRow]] = {}
    for row in world.stored():
        found.setdefault(row.open_ts - row.open_ts % length, []).append(row)
    return [
        KlineRow(
            ts,
            rows[0].open,
            max(row.high for row in rows),
            min(row.low for row in rows),
            rows[-1].close,
            sum((row.volume for row in rows), Decimal(0)),
            sum((row.quote_volume or Decimal(0) for row in rows), Decimal(0)),
            sum(row.trade_count or 0 for row in rows),
        )
        for ts, rows in sorted(found.items())
        if ts + length <= T + LAST * M
    ]


def check(world: Rolling) -> None:
    """Every reader has every bar that a minute exists of."""
    market = world.market()
    for name, length in (("1h", HOUR_MS), ("4h", 4 * HOUR_MS), ("1d", DAY_MS)):
        wanted = made(world, length)
        assert world.read(name) == wanted
        frame = market.frame("binance", SYMBOL, name, T, T + LAST * M)
        assert opens(frame) == [row.open_ts for row in wanted]
        assert frame.volume.tolist() == [float(row.volume) for row in wanted]
    assert world.breaches() == []


def opens(bars: Sequence[KlineRow] | KlineFrame) -> list[int]:
    return [
        *(bars.open_ts.tolist() if isinstance(bars, KlineFrame) else [row.open_ts for row in bars])
    ]


def test_an_hour_with_a_minute_that_may_still_come_is_not_made(world: Rolling) -> None:
    assert T not in opens(world.read("1h"))
    assert len(world.read("1h")) == HOURS - 2


def test_an_hour_is_made_once_its_missing_minutes_are_proven(world: Rolling) -> None:
    prove(world)
    check(world)
    hours = world.read("1h")
    assert len(hours) == HOURS
    assert T + 5 * HOUR_MS not in opens(hours), "nobody traded in it"
    assert len(world.read("1d")) == 4


@pytest.mark.parametrize("is_rolled_up_again", [False, True])
def test_roll_ups_follow_a_proof_and_a_bar_that_comes_after_all(
    world: Rolling, is_rolled_up_again: bool
) -> None:
    world.roll_up()
    assert len(world.kept("1d")) == 2

    def go_on() -> None:
        check(world)
        if is_rolled_up_again:
            world.roll_up()
            check(world)

    prove(world)
    go_on()
    if is_rolled_up_again:
        assert opens(world.kept("1d")) == [T + day * DAY_MS for day in range(4)]
        assert world.kept("1h") == made(world, HOUR_MS)[:95]
    # The venue has found one of the minutes: a verification of that day brings it.
    (before,) = (row for row in world.read("1h") if row.open_ts == T + DAY_MS + 10 * HOUR_MS)
    world.list_bars([DAY + 630])
    now, world.market_clock.now = world.market_clock.now, T + 2 * DAY_MS + HOUR_MS
    assert verify(world)[-1].missed == 1
    world.market_clock.now = now
    assert bar(DAY + 630) in world.stored()
    go_on()
    (after,) = (row for row in world.read("1h") if row.open_ts == before.open_ts)
    one = bar(DAY + 630).trade_count
    assert one
    assert after.trade_count == (before.trade_count or 0) + one


def test_coverage_tells_of_the_hours_as_they_are_read(world: Rolling) -> None:
    pending = world.market().coverage("binance", SYMBOL, "1h", T, T + 2 * DAY_MS)
    assert pending.counts[CoverageState.PENDING] == 3
    prove(world)
    report = world.market().coverage("binance", SYMBOL, "1h", T, T + 2 * DAY_MS)
    assert [(gap.start, gap.end, gap.state) for gap in report.gaps] == [
        (T + 5 * HOUR_MS, T + 6 * HOUR_MS, CoverageState.EXCHANGE_SIDE)
    ]
    assert report.counts[CoverageState.PRESENT] == 47


def test_a_page_and_a_running_strategy_hear_of_a_proof(world: Rolling) -> None:
    pages = KlinePages(world.units, KlineStore(world.units, None))
    market = world.market()
    cache, minutes = FrameCache(market), FrameCache(market)
    asked = ("binance", SYMBOL, "1h", T, T + LAST * M)

    def stamp(name: str) -> str:
        return pages.find("binance", SYMBOL, name, T, T + LAST * M, 500).stamp

    assert len(cache.frame(*asked)) == HOURS - 2
    minutes.frame("binance", SYMBOL, "1m", T, T + LAST * M)
    before = stamp("1h"), stamp("1m")
    prove(world)
    assert len(cache.frame(*asked)) == HOURS
    assert stamp("1h") != before[0]
    assert stamp("1m") == before[1], "the minutes are as they were"
    late = T + LAST * M
    seen = statements(world, lambda: minutes.frame("binance", SYMBOL, "1m", T, late))
    assert len(seen) == 1, "nothing is read again"


def test_a_series_that_lacks_nothing_is_not_asked_for_what_it_lacks(database_url: str) -> None:
    with record(database_url, local_infile=True) as engine:
        world = Rolling(engine, range(150))
        world.collect()
        market = world.market()
        asked = ("binance", SYMBOL, "1h", T, T + 3 * HOUR_MS)
        seen = statements(world, lambda: market.frame(*asked))
        assert len(market.frame(*asked)) == 2, "the third hour is not over"
        assert len(seen) == 2


def test_hours_of_the_venue_are_compared_with_those_of_the_minutes(world: Rolling) -> None:
    prove(world)
    whole = {"1h": made(world, HOUR_MS), "1d": made(world, DAY_MS)}
    world.venue.longer = whole
    world.market_clock.now = T + 2 * DAY_MS + HOUR_MS
    (day,) = verify(world)
    assert (day.derived_compared, day.derived_differed) == (25, 0)
    wrong = whole["1h"][33]
    assert wrong.open_ts == T + DAY_MS + 10 * HOUR_MS, "it lacks a minute"
    whole["1h"][33] = wrong._replace(high=wrong.high + 1)
    (day,) = verify(world)
    assert (day.derived_compared, day.derived_differed) == (25, 1)


def test_longer_bars_outlive_the_proofs_of_the_minutes(database_url: str) -> None:
    from app.repositories.partitions import KlinePartitions

    with record(database_url, local_infile=True) as engine:
        world = Rolling(engine, [n for n in range(11 * DAY) if n not in OMITTED])
        world.collect()
        prove(world)
        world.roll_up()
        before = {name: world.read(name) for name in ("1h", "2h", "4h", "1d")}
        parts = KlinePartitions(engine)
        service = RetentionService(world.units, parts, world.market_clock, world.clock, world.ids)
        service.set("*", "*", "1m", 8)
        assert service.apply().bars
        assert world.stored()[0].open_ts == T + 3 * DAY_MS
        assert {name: world.read(name) for name in before} == before


def test_a_quarter_of_a_real_market_in_which_few_trade(database_url: str, tmp_path: Path) -> None:
    """Kraken's BTC/USDC omits 72,883 minutes: 9 hours of 2,160 have all of theirs."""
    from tests.integration.market.importing import Importing

    data = shared_data()
    if data is None:
        pytest.skip("there are no real files beside the checkout")
    path = data / "klines" / "kraken_BTCUSDC-1m-2023Q1.csv"
    columns = "ts=0,open=1,high=2,low=3,close=4,volume=5"
    with record(database_url, local_infile=True) as engine:
        here = Importing(engine, tmp_path)
        here.result(
            path, "BTC/USDC", "1m", exchange="kraken",
            columns=dict(each.split("=") for each in columns.split(",")), complete=True,
        )  # fmt: skip
        rows = here.stored("BTC/USDC", exchange="kraken")
        market = Rolling(engine).market()
        hours = {row.open_ts - row.open_ts % HOUR_MS for row in rows}
        start, end = rows[0].open_ts, rows[-1].open_ts + M
        found = market.frame("kraken", "BTC/USDC", "1h", start, end)
        # The file's first and last minute may lie inside of an hour.
        whole = [ts for ts in sorted(hours) if start <= ts and ts + HOUR_MS <= end]
        assert opens(found) == whole
        assert len(whole) > 2_150
