"""Whose market a record holds: written once, by whoever comes first, and kept against the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from app.core.errors import WrongWorld
from app.repositories.database import open_engine
from app.repositories.unit import Units
from app.services.worlds import REAL, SIMULATED, RecordWorld
from tests.support.record import ManualClock, units_over
from tests.support.schema import make_tables

_PROCESSES = 8


@pytest.fixture
def units(database_url: str) -> Iterator[Units]:
    engine = open_engine(database_url)
    make_tables(engine)
    yield units_over(engine, ManualClock())
    engine.dispose()


def test_the_first_use_decides_and_the_other_world_is_refused_in_one_sentence(
    units: Units,
) -> None:
    simulated, real = RecordWorld(units, simulated=True), RecordWorld(units, simulated=False)
    assert (simulated.own, real.own) == (SIMULATED, REAL)
    assert simulated.recorded() is None
    simulated.require()
    assert real.recorded() == SIMULATED
    for _ in range(2):
        with pytest.raises(WrongWorld) as refused:
            real.require()
    said = refused.value.message
    assert refused.value.error_code == "wrong-world"
    for part in ("holds the market of the simulated", "real one is asked for", "TIDEMARK_HOME"):
        assert part in said
    assert "tidemark up" in said
    simulated.require()
    RecordWorld(units, simulated=True).require()


def test_a_record_of_the_real_market_refuses_a_simulator(units: Units) -> None:
    RecordWorld(units, simulated=False).require()
    with pytest.raises(WrongWorld, match="--no-simulator and without TIDEMARK_SIMULATOR_URL"):
        RecordWorld(units, simulated=True).require()


def test_a_world_that_was_asked_for_in_vain_does_not_bind_what_is_started(units: Units) -> None:
    RecordWorld(units, simulated=False).require()
    RecordWorld(units, simulated=True).begin()
    assert RecordWorld(units, simulated=True).recorded() == SIMULATED
    units.run(lambda unit: unit.klines.series("binance", "BTC/USDT", "1m", unit.now_ms))
    with pytest.raises(WrongWorld):
        RecordWorld(units, simulated=False).begin()


def test_to_look_decides_nothing(units: Units) -> None:
    assert RecordWorld(units, simulated=False).recorded() is None
    RecordWorld(units, simulated=True).require()


def test_the_record_is_read_once(units: Units, monkeypatch: pytest.MonkeyPatch) -> None:
    world = RecordWorld(units, simulated=True)
    world.require()
    monkeypatch.setattr(units, "read", lambda: pytest.fail("it was read again"))
    world.require()


def test_of_many_that_start_at_once_one_decides(units: Units) -> None:
    start = Barrier(_PROCESSES)

    def first_use(number: int) -> str:
        world = RecordWorld(units, simulated=number % 2 == 0)
        start.wait()
        try:
            world.require()
        except WrongWorld:
            return REAL if world.own == SIMULATED else SIMULATED
        return world.own

    with ThreadPoolExecutor(_PROCESSES) as pool:
        held = set(pool.map(first_use, range(_PROCESSES)))
    assert held == {RecordWorld(units, simulated=True).recorded()}
