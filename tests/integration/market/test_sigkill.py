"""A worker that is killed in the middle of a back-fill, and two that work on one job."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from random import SystemRandom

import pytest

from app.adapters.budget import InProcessBudget
from app.adapters.clock import SystemClock
from app.adapters.ids import Uuid7
from app.adapters.market_clock import SimulatorTime, VenueClocks
from app.core.exchanges.factory import market_adapter
from app.core.market.coverage import CoverageState
from app.core.market.intervals import MINUTE_MS
from app.services.collection import CollectionService
from tests.integration.market.venue import NoBans
from tests.support.data_world import DataWorld
from tests.support.record import ManualClock, record, units_over
from tests.support.simulator import ROOT, SimulatorProcess, wait_until

BARS = 12_000
SYMBOL = "BTC/USDT"


class World:
    """A simulator, a record, and a collection service whose clock is the test's."""

    def __init__(self, url: str, simulator: SimulatorProcess, engine: object) -> None:
        self.url, self.simulator = url, simulator
        self.clock = ManualClock(SystemClock().now_ms())
        self.units = units_over(engine, self.clock)  # type: ignore[arg-type]
        self.budget = InProcessBudget(self.clock, NoBans(), weights={"binance": 10**9})
        self.end = simulator.control.market_ms
        self.service = self.new_service()
        plan = self.service.plans.create(
            "p", "binance", [SYMBOL], ["1m"], self.end - BARS * MINUTE_MS
        )
        self.job_id = self.service.start(plan.id)[0].id
        self.data = DataWorld(self.units, simulator.control, wall_ms=self.clock.now)
        self.data.look()

    def new_service(self) -> CollectionService:
        """As another worker would make it."""
        market = market_adapter("binance", self.budget, self.clock, base_url=self.simulator.url)
        clocks = VenueClocks({"binance": SimulatorTime(self.simulator.url, self.clock)})
        ids = Uuid7(SystemClock(), SystemRandom().getrandbits)  # as workers' ids: unlike any other
        return CollectionService(
            self.units, lambda _: market, clocks, ids, self.clock, grace_ms={"binance": 0}
        )

    def pages(self) -> int:
        """Pages that the job has stored."""
        with self.units.read() as unit:
            return int(unit.jobs.get(self.job_id).progress.get("slices_done", 0))

    def check(self) -> None:
        """Every bar once, as the venue has it (D1 to D6), and none of them twice stated."""
        assert self.data.breaches() == []
        with self.units.read() as unit:
            series = unit.klines.find_series("binance", SYMBOL, "1m")
            assert series is not None
            (span,) = unit.coverage.spans(series.id)
            assert unit.klines.revisions(series.id) == []
            assert unit.klines.count(series.id, 0, 2**60) == BARS
        first = self.end - BARS * MINUTE_MS
        assert (span.start, span.end, span.state) == (first, self.end, CoverageState.PRESENT)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    with (
        SimulatorProcess(seed=7, weight_limit=0) as simulator,
        record(database_url, local_infile=True) as engine,
    ):
        yield World(database_url, simulator, engine)


def test_killed_in_the_middle_the_job_goes_on_where_it_stopped(world: World) -> None:
    world.simulator.control.add_fault(action="delay", ms=100, path="/api/v3/klines")
    arguments = [world.url, world.simulator.url, world.job_id]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.market.collect_child", *arguments], cwd=ROOT
    )
    wait_until(lambda: world.pages() >= 3, seconds=60)
    child.kill()
    child.wait()
    killed_at = world.pages()
    assert 3 <= killed_at < BARS // 1_000
    world.data.look()
    assert world.service.run_job(world.job_id) == "not_claimed"
    world.clock.advance(90_001 + SystemClock().now_ms() - world.clock.now)  # the lease runs out
    world.simulator.control.clear_faults()
    before = len(world.simulator.control.requests(path="/api/v3/klines"))
    assert world.service.run_job(world.job_id) == "succeeded"
    asked = len(world.simulator.control.requests(path="/api/v3/klines")) - before
    assert asked == BARS // 1_000 - killed_at  # nothing is asked for twice
    world.check()


def test_four_workers_get_one_job_and_one_of_them_does_it(world: World) -> None:
    states: list[str] = []

    def work() -> None:
        states.append(world.new_service().run_job(world.job_id))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "succeeded" in states
    assert set(states) <= {"succeeded", "not_claimed"}
    world.check()
    assert len(world.simulator.control.requests(path="/api/v3/klines")) >= BARS // 1_000
