"""Real market data through the simulator, the adapter and the collector into the record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine

from app.adapters.budget import InProcessBudget
from app.adapters.clock import SystemClock
from app.adapters.market_clock import SimulatorTime, VenueClocks
from app.core.exchanges.factory import market_adapter
from app.core.market.coverage import CoverageState, Span, gaps
from app.core.market.intervals import HOUR_MS, MINUTE_MS
from app.core.market.klines import KlineRow
from app.services.collection import CollectionService
from tests.integration.market.venue import NoBans
from tests.support.record import (
    CountingIds,
    Hints,
    ManualClock,
    record,
    shared_data,
    units_over,
)
from tests.support.simulator import SimulatorProcess

SYMBOL = "BTC/USDT"
DAY_MS = 24 * HOUR_MS


def data_file(name: str) -> Path:
    """A file of real candles; the test is skipped where the data is not."""
    folder = shared_data()
    if folder is None:
        pytest.skip("the shared market data is not beside this checkout")
    return folder / "klines" / name


def rows_of(path: Path) -> list[tuple[int, list[Decimal]]]:
    """Open time and the five numbers of each candle, as the file's shortest decimal texts."""
    frame = pd.read_feather(path)
    times = frame["date"].astype("datetime64[ms, UTC]").astype("int64").tolist()
    columns = [frame[name].tolist() for name in ("open", "high", "low", "close", "volume")]
    return [
        (opened, [Decimal(repr(value)) for value in values])
        for opened, *values in zip(times, *columns, strict=True)
    ]


class Replay:
    """A simulator that replays one file, and a collection service at it."""

    def __init__(self, engine: Engine, simulator: SimulatorProcess, interval: str) -> None:
        self.simulator = simulator
        self.interval = interval
        self.clock = ManualClock(SystemClock().now_ms())
        self.hints = Hints()
        self.units = units_over(engine, self.clock, self.hints)
        budget = InProcessBudget(self.clock, NoBans(), sleep=self._next_minute)
        market = market_adapter("binance", budget, self.clock, base_url=simulator.url)
        clocks = VenueClocks({"binance": SimulatorTime(simulator.url, self.clock)})
        self.service = CollectionService(
            self.units,
            lambda _: market,
            clocks,
            CountingIds(),
            self.clock,
            grace_ms={"binance": 0},
        )

    def _next_minute(self, seconds: float) -> None:
        self.clock.advance(max(1, round(seconds * 1000)))

    def collect(self, since_ms: int) -> str:
        """Create the plan and fill it by jobs; the plan's id."""
        plan = self.service.plans.create(
            name="replay",
            exchange="binance",
            symbols=[SYMBOL],
            intervals=[self.interval],
            since_ms=since_ms,
        )
        self.fill(plan.id)
        return plan.id

    def fill(self, plan_id: str) -> None:
        """Run the jobs of a plan to their end."""
        for job in self.service.start(plan_id):
            state = "queued"
            while state == "queued":
                state = self.service.run_job(job.id)
            assert state == "succeeded"

    def stored(self) -> list[KlineRow]:
        """Every stored bar."""
        with self.units.read() as unit:
            series = unit.klines.find_series("binance", SYMBOL, self.interval)
            assert series is not None
            return unit.klines.read_exact(series.id, 0, 2**60)

    def gaps(self, start: int, end: int) -> list[Span]:
        """What coverage says is not present."""
        with self.units.read() as unit:
            series = unit.klines.find_series("binance", SYMBOL, self.interval)
            assert series is not None
            return gaps(unit.coverage.spans(series.id), start, end)


@pytest.fixture
def replay(database_url: str) -> Iterator[Callable[..., Replay]]:
    """Makes the one replay of a test."""
    running: list[SimulatorProcess] = []
    with record(database_url, local_infile=True) as engine:

        def make(path: Path, interval: str, **options: object) -> Replay:
            simulator = SimulatorProcess(replay={SYMBOL: path}, **options)
            simulator.start()
            running.append(simulator)
            return Replay(engine, simulator, interval)

        yield make
        for simulator in running:
            simulator.stop()


def test_a_month_of_minutes_is_stored_row_by_row_as_it_is_in_the_file(
    replay: Callable[..., Replay],
) -> None:
    path = data_file("BTC_USDT-1m.feather")
    expected = rows_of(path)
    world = replay(path, "1m")
    first, last = expected[0][0], expected[-1][0]
    world.collect(first - DAY_MS)
    assert [(row.open_ts, list(row[1:6])) for row in world.stored()] == expected
    assert len(expected) == 43_199
    (before,) = world.gaps(first - DAY_MS, last + MINUTE_MS)
    assert (before.end, before.state) == (first, CoverageState.BEFORE_LISTING)


def test_seven_years_of_hours_have_28_gaps_of_128_hours(
    replay: Callable[..., Replay],
) -> None:
    path = data_file("BTC_USDT-1h-2017-2024.feather")
    expected = rows_of(path)
    world = replay(path, "1h")
    first, last = expected[0][0], expected[-1][0]
    plan_id = world.collect(first)
    assert [(row.open_ts, list(row[1:6])) for row in world.stored()] == expected
    for state, minutes in (
        (CoverageState.PENDING, 0),
        (CoverageState.PENDING, 30),
        (CoverageState.EXCHANGE_SIDE, 31),
    ):
        world.clock.advance(minutes * MINUTE_MS)
        world.fill(plan_id)
        found = world.gaps(first, last + HOUR_MS)
        hours = [(span.end - span.start) // HOUR_MS for span in found]
        assert (len(hours), sum(hours), max(hours)) == (28, 128, 33)
        assert {span.state for span in found} == {state}
    assert world.service.start(plan_id) == []


def test_following_bar_by_bar_ends_where_one_job_ends(
    replay: Callable[..., Replay],
) -> None:
    path = data_file("XRP_ETH-1m-2019.feather")
    expected = rows_of(path)
    first = expected[0][0]
    world = replay(path, "1m", start=first + 10 * MINUTE_MS)
    plan = world.service.plans.create(
        name="follow", exchange="binance", symbols=[SYMBOL], intervals=["1m"], since_ms=first
    )
    for _ in range(40):
        now = world.simulator.control.advance(by_ms=MINUTE_MS)
        world.clock.advance(1_000)  # real time goes on as well
        world.service.follow(plan.id)
        with world.units.read() as unit:
            assert unit.jobs.page(1).rows == []
        told = [(row.open_ts, list(row[1:6])) for row in world.stored()]
        assert told == [row for row in expected if row[0] + MINUTE_MS <= now]
