"""What a user is told whose record is of the other world, or whose demo runs already."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.adapters.celery_queue import NoQueue
from app.cli import demo, up
from app.cli.full import FullRuntime
from app.cli.locking import RuntimeLock
from app.config import Settings, load_settings
from app.core.errors import Conflict, InvalidInput, Unavailable, WrongWorld
from app.core.exchanges.markets.binance import BinanceSpotMarket
from app.repositories.migrating import upgrade
from app.services.worlds import RecordWorld
from app.wiring import Container
from tests.integration.cli.conftest import Outcome, Tidemark

_PATIENCE_S = 20.0


@contextmanager
def record() -> Iterator[Container]:
    """The record of the directory, whose schema is this release's."""
    container = Container(load_settings(), NoQueue())
    try:
        upgrade(container.engine)
        yield container
    finally:
        container.close()


def hold(*, simulated: bool) -> None:
    """Make the record hold something of the market of a world."""
    with record() as container:
        RecordWorld(container.units, simulated=simulated).require()
        container.units.run(lambda unit: unit.klines.series("binance", "ETH/USDT", "1m", 1))


def refused(outcome: Outcome, *parts: str) -> None:
    """Assert that a command was refused in one sentence on stderr, with exit code 2."""
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    for part in ("another directory", *parts):
        assert part in outcome.err


@pytest.fixture
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test when a simulator or a private service is started."""

    def start(*_: Any, **__: Any) -> None:
        pytest.fail("something was started")

    monkeypatch.setattr(up.SimulatorChild, "__enter__", start)
    monkeypatch.setattr("app.cli.services.manager.Services.start", start)


@pytest.mark.usefixtures("data_dir", "nothing_starts")
def test_a_record_of_the_simulated_market_is_not_started_on_the_real_exchange(
    tidemark: Tidemark,
) -> None:
    hold(simulated=True)
    said = "start with the simulator (tidemark up), name it by TIDEMARK_SIMULATOR_URL"
    refused(tidemark("up", "--no-simulator", "--port", "0"), said)
    with pytest.raises(WrongWorld):
        FullRuntime(load_settings(), None).__enter__()
    # No command asks the real exchange either while nothing runs here.
    add = ("data", "plans", "add", "main", "-s", "BTC/USDT", "-i", "1m", "--since", "2026-01-01")
    refused(tidemark(*add), said)


@pytest.mark.usefixtures("data_dir", "nothing_starts")
def test_a_record_of_the_real_market_is_not_started_on_a_simulator(tidemark: Tidemark) -> None:
    hold(simulated=False)
    refused(tidemark("up", "--port", "0"), "start with --no-simulator")
    with pytest.raises(WrongWorld):
        FullRuntime(load_settings(), []).__enter__()


@pytest.mark.usefixtures("data_dir")
def test_files_are_imported_whatever_the_record_holds(tidemark: Tidemark, tmp_path: Path) -> None:
    hold(simulated=True)
    path = tmp_path / "bars.csv"
    path.write_text("ts,open,high,low,close,volume\n1767225600000,2,3,1,2,7\n")
    done = tidemark("data", "import", str(path), "-s", "BTC/USDT", "-i", "1m", "--json")
    assert done.code == 0, done.err
    assert done.document["new"] == 1


@pytest.mark.usefixtures("data_dir")
def test_the_doctor_shows_the_world_and_decides_nothing(
    tidemark: Tidemark, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A simulator that does not answer: the doctor of a test asks no real exchange.
    monkeypatch.setenv("TIDEMARK_SIMULATOR_URL", "http://127.0.0.1:9")

    def found(component: str) -> tuple[bool, str]:
        checks = tidemark("doctor", "--json").document["checks"]
        (check,) = (each for each in checks if each["component"] == component)
        return check["ok"], check["detail"]

    assert "no market yet" in found("world")[1]
    with record() as container:
        assert "no market yet" in found("world")[1]
        assert container.world.recorded() is None
    hold(simulated=True)
    assert found("world") == (
        True,
        "the record holds the simulated market, which is the one that is configured",
    )
    monkeypatch.delenv("TIDEMARK_SIMULATOR_URL")
    is_ok, detail = found("world")
    assert not is_ok
    assert "the real one is asked for" in detail
    assert found("exchange binance") == (
        False,
        "binance was not asked, for the record holds the simulated market",
    )


@pytest.mark.usefixtures("data_dir")
def test_the_doctor_shows_a_ban_of_the_own_address_without_any_proxy(
    tidemark: Tidemark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_SIMULATOR_URL", "http://127.0.0.1:9")
    with record() as container:
        until = container.clock.now_ms() + 3_600_000
        container.budget.ban("bybit", until, "asked too often")
    checks = tidemark("doctor", "--json").document["checks"]
    (own,) = (each for each in checks if each["component"] == "address own")
    assert "bybit has banned it until 20" in own["detail"]


@pytest.mark.usefixtures("data_dir")
def test_the_doctor_does_not_make_an_unused_record_that_of_the_real_market(
    tidemark: Tidemark, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(BinanceSpotMarket, "server_time_ms", lambda self: asked.append(self) or 1)
    with record() as container:
        tidemark("doctor")
        assert asked
        assert container.world.recorded() is None


@pytest.mark.usefixtures("nothing_starts")
@pytest.mark.parametrize("options", [(), ("--full",)])
def test_a_second_demo_is_refused_at_once_and_removes_nothing(
    tidemark: Tidemark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.delenv("TIDEMARK_DATA_DIR")
    running = tmp_path / "var" / "demo"
    with RuntimeLock(running):
        (running / "tidemark.db").write_text("the record of a demo that runs")
        outcome = tidemark("demo", "--once", *options)
        refused(outcome, "another Tidemark runs in")
        assert (running / "tidemark.db").read_text() == "the record of a demo that runs"


def test_of_two_demos_that_start_at_the_same_moment_one_goes_on(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks: list[Path] = []
    go_on = threading.Event()

    def started(_stack: Any, settings: Settings, *_: Any, **__: Any) -> None:
        marks.append(settings.data_dir / "mark")
        marks[-1].touch()
        assert go_on.wait(_PATIENCE_S)
        raise Unavailable("that is enough of it")

    monkeypatch.setattr(demo, "_started", started)
    both = threading.Barrier(2)
    errors: list[Exception] = []

    def run() -> None:
        both.wait()
        try:
            demo.run_demo(once=True, data_dir=data_dir)
        except (Conflict, Unavailable) as error:
            errors.append(error)
        if len(errors) == 1:
            assert marks[0].exists()
            go_on.set()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_PATIENCE_S)
    assert [type(error) for error in errors] == [Conflict, Unavailable]
    (mark,) = marks
    assert mark.exists()


def test_a_demo_begins_with_an_empty_directory(data_dir: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    with RuntimeLock(data_dir) as lock:
        (data_dir / "segments").mkdir()
        (data_dir / "segments" / "old").touch()
        (data_dir / "tidemark.db").touch()
        (data_dir / "link").symlink_to(elsewhere)
        lock.clear_directory()
        assert [each.name for each in data_dir.iterdir()] == ["runtime.lock"]
        with pytest.raises(Conflict):
            RuntimeLock(data_dir).__enter__()
    assert (elsewhere / "kept").exists()


def test_a_directory_that_cannot_be_emptied_is_named(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with RuntimeLock(data_dir) as lock:
        (data_dir / "tidemark.db").touch()
        monkeypatch.setattr(Path, "unlink", unlink)
        with pytest.raises(InvalidInput, match="cannot be used"):
            lock.clear_directory()
