"""Several processes share the streams, and a dead one is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from app.core.market.intervals import interval
from app.repositories.database import open_engine
from app.repositories.unit import Units
from app.services.streams.leases import LeaseLost, Leases
from tests.support.installation import EXCHANGE, MINUTE, SYMBOL, Installation, installed
from tests.support.record import ManualClock, record, units_over
from tests.support.servers import Databases
from tests.support.simulator import ROOT, SimulatorProcess, wait_until

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "DOGE/USDT", "ADA/USDT")
GROUPS = [f"stream:market:binance:{n}/4" for n in range(4)] + ["stream:user:a", "stream:user:b"]


def leases(units: Units, clock: ManualClock, owner: str) -> Leases:
    return Leases(units, clock, owner, lease_s=10.0, renew_s=3.0)


def test_two_processes_split_the_groups_evenly_and_each_group_once(database_url: str) -> None:
    clock = ManualClock()
    with record(database_url) as engine:
        units = units_over(engine, clock)
        first, second = leases(units, clock, "first"), leases(units, clock, "second")
        assert sorted(first.update(GROUPS)) == GROUPS
        second.update(GROUPS)  # joins, and finds nothing free
        kept = first.update(GROUPS)
        taken = second.update(GROUPS)
        assert sorted([*kept, *taken]) == GROUPS
        assert len([name for name in kept if "market" in name]) == 2
        assert len([name for name in kept if "user" in name]) == 1
        # Nobody wants it any more: it is given back.
        assert "stream:user:a" not in {**first.update(GROUPS[:4]), **second.update(GROUPS[:4])}
        first.release()
        assert sorted(second.update(GROUPS)) == GROUPS


def test_a_dead_process_is_replaced_when_its_leases_run_out(database_url: str) -> None:
    clock = ManualClock()
    with record(database_url) as engine:
        units = units_over(engine, clock)
        first, second = leases(units, clock, "first"), leases(units, clock, "second")
        held = first.update(GROUPS)
        clock.advance(9_000)
        assert second.update(GROUPS) == {}
        clock.advance(1_500)
        assert sorted(second.update(GROUPS)) == GROUPS
        # It was only paused, and wakes up: it may not write, and knows it at its next look.
        lease = held[GROUPS[0]]
        assert not lease.is_valid(clock.monotonic())
        with units.write() as unit, pytest.raises(LeaseLost):
            lease.fence(unit)
        first.update(GROUPS)
        assert lease.lost


def test_a_database_that_is_away_ends_the_leases_by_time(tmp_path: Path) -> None:
    clock = ManualClock()
    with record(f"sqlite:///{tmp_path / 'a.db'}") as engine:
        held = leases(units_over(engine, clock), clock, "first")
        lease = held.update(GROUPS)[GROUPS[0]]
        clock.advance(7_000)
        held.lapse()
        assert lease.is_valid(clock.monotonic())
        clock.advance(1_500)  # before the ten seconds after which another may take it
        held.lapse()
        assert lease.lost


@contextmanager
def process(here: Installation, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m workers.streams`` over the installation's settings."""
    settings = here.parts.settings
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMARK_")}
    environment = {
        **kept,
        "TIDEMARK_ENVIRONMENT": "testing",
        "TIDEMARK_LOG_LEVEL": "INFO",
        "TIDEMARK_DATA_DIR": str(settings.data_dir),
        "TIDEMARK_DATABASE_URL": settings.database_url,
        "TIDEMARK_SIMULATOR_URL": settings.simulator_url,
        "TIDEMARK_VENUE_WEIGHT": "1000000",
        "PYTHONPATH": str(ROOT),
    }
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "workers.streams"],
            env=environment,
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.kill()
        started.wait(10)


@pytest.fixture
def together(
    exchange: SimulatorProcess, tmp_path: Path, databases: Databases
) -> Iterator[Installation]:
    """An installation on MariaDB or MySQL."""
    url = databases.create_database("streams_shared")
    with installed(exchange, tmp_path, database_url=url) as installation:
        yield installation
    databases.drop_database("streams_shared")


@pytest.mark.timeout(180)
def test_two_processes_share_and_one_takes_over_after_kill_9(
    together: Installation, tmp_path: Path
) -> None:
    here = together
    here.plan(symbols=SYMBOLS)
    account = here.account()
    # Another connection: the test's own clock stands still, the processes' does not.
    look = open_engine(here.parts.settings.sqlalchemy_url)

    def owners() -> dict[str, str]:
        with look.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT name, owner FROM leases WHERE name LIKE 'stream:market:%%' "
                "OR name LIKE 'stream:user:%%'"
            ).all()
        return {str(name): str(owner) for name, owner in rows}

    def newest() -> list[int]:
        with here.parts.units.read() as unit:
            found = [unit.klines.find_series(EXCHANGE, symbol, "1m") for symbol in SYMBOLS]
            rows = [unit.klines.last(series.id, 2**62) for series in found if series is not None]
        return [row.open_ts for row in rows if row is not None]

    def next_bar_arrives() -> bool:
        opened = interval("1m").floor(here.market_ms)
        here.market(by_ms=opened + MINUTE - here.market_ms)
        with suppress(AssertionError):
            wait_until(lambda: newest() == [opened] * len(SYMBOLS), 2)
            return True
        here.parts.collection.follow_all()  # as beat does
        return False

    with (
        process(here, tmp_path / "1.log") as one,
        process(here, tmp_path / "2.log") as two,
    ):
        wait_until(lambda: len(set(owners().values())) == 2 and len(owners()) >= 4, 90)
        wait_until(next_bar_arrives, 60)
        user = owners()[f"stream:user:{account.id}"]
        victim, survivor = (one, two) if f":{one.pid}:" in user else (two, one)
        victim.send_signal(signal.SIGKILL)
        # The lease's ten seconds and a look; the bound of the promise is thirty.
        wait_until(lambda: all(f":{survivor.pid}:" in owner for owner in owners().values()), 30)
        wait_until(next_bar_arrives, 60)
        order = here.order(account, "buy", "0.01")
        here.queue.waiting.clear()
        assert here.fills(order)
        survivor.send_signal(signal.SIGTERM)
        assert survivor.wait(20) == 0
        assert owners() == {}, "a process that stops gives its leases back"
    look.dispose()
    times = []
    with here.parts.units.read() as unit:
        series = unit.klines.find_series(EXCHANGE, SYMBOL, "1m")
        assert series is not None
        times = [row.open_ts for row in unit.klines.read_exact(series.id, 0, 2**62)]
        assert unit.klines.revisions(series.id) == []
    assert times == list(range(times[0], times[-1] + 1, MINUTE))
    here.check(account)
