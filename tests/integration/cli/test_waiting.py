"""Beside a runtime a command waits for the job's row to end, and gives it up on Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.adapters.celery_queue import NoQueue
from app.cli import driving
from app.cli.locking import RuntimeLock
from app.cli.probes import everything
from app.models import JobRow
from app.repositories.unit import Unit
from app.services.doctor import examine
from app.wiring import Container
from tests.integration.cli.conftest import Tidemark
from tests.support.api import TradingDay, container_in, settings_for

BACKTEST = (
    *("backtest", "run", "moving_average_cross", "-s", "BTC/USDT", "-i", "1h"),
    *("--start", "2026-02-01", "--end", "2026-02-02"),
)


@pytest.fixture
def runtime(data_dir: Path) -> Iterator[Container]:
    """The parts of a runtime that holds the directory and takes no job by itself."""
    with container_in(data_dir) as container, RuntimeLock(data_dir):
        TradingDay(container)
        yield container


def test_a_command_waits_for_what_the_runtime_makes_of_its_job(
    tidemark: Tidemark, runtime: Container
) -> None:
    stop = threading.Event()

    def take_the_first() -> None:
        while not stop.wait(0.02):
            for job in runtime.jobs.page(1, None).rows:
                if job.state == "queued":
                    runtime.backtests.run(job.id)

    worker = threading.Thread(target=take_the_first)
    worker.start()
    try:
        outcome = tidemark(*BACKTEST)
    finally:
        stop.set()
        worker.join()
    assert outcome.code == 1
    assert "the backtest job failed: no klines of BTC/USDT" in outcome.err
    (job,) = runtime.jobs.page(5, None).rows
    assert (job.state, job.attempt) == ("failed", 1)


def test_ctrl_c_asks_for_the_job_to_be_cancelled(
    tidemark: Tidemark, runtime: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(driving, "_show", interrupted)
    outcome = tidemark(*BACKTEST)
    assert (outcome.code, outcome.err) == (130, "tidemark: interrupted\n")
    (job,) = runtime.jobs.page(5, None).rows
    assert job.state == "cancelled"


@pytest.mark.parametrize(
    ("files", "whole"), [(1, ""), (3, " (1 of 3 files whole)")], ids=["a file", "a folder"]
)
def test_ctrl_c_during_an_import_says_what_is_kept_and_how_to_go_on(
    tidemark: Tidemark,
    runtime: Container,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: int,
    whole: str,
) -> None:
    for number in range(files):
        (tmp_path / f"A{number}_B-1m.csv").write_text("1767225600000,1,1,1,1,1\n")

    def interrupted(_progress: Any, _bars: Any, row: JobRow) -> None:
        def work(unit: Unit) -> None:
            done = {"slices_done": 1, "slices_total": files, "rows": 1_234}
            unit.jobs.lock(row.id).progress = done

        runtime.units.run(work)
        raise KeyboardInterrupt

    monkeypatch.setattr(driving, "_show", interrupted)
    outcome = tidemark("data", "import", str(tmp_path))
    assert (outcome.code, outcome.err) == (
        130,
        f"tidemark: 1,234 rows{whole} are kept; to go on, give the same command again: what is "
        "stored already stays as it is\ntidemark: interrupted\n",
    )


def test_ctrl_c_says_so_where_the_job_had_ended_by_then(
    tidemark: Tidemark, runtime: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "A_B-1m.csv").write_text("1767225600000,1,1,1,1,1\n")

    def interrupted(_progress: Any, _bars: Any, row: JobRow) -> None:
        assert runtime.importing.run(row.id) == "succeeded"
        raise KeyboardInterrupt

    monkeypatch.setattr(driving, "_show", interrupted)
    outcome = tidemark("data", "import", str(tmp_path))
    (job,) = runtime.jobs.page(5, None).rows
    assert (outcome.code, outcome.err) == (
        130,
        "tidemark: the import job had succeeded by then: what it did is kept; see: tidemark job "
        f"show {job.id}\ntidemark: interrupted\n",
    )


def test_ctrl_c_takes_no_further_slice_of_a_job_that_is_worked_on_here(
    tidemark: Tidemark, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the row cannot be had for the cancel before the slice is over."""
    (tmp_path / "A_B-1m.csv").write_text("1767225600000,1,1,1,1,1\n")
    began, over = threading.Event(), threading.Event()
    slices: list[str] = []

    def work(_jobs: Any, job_id: str) -> str:
        slices.append(job_id)
        began.set()
        over.wait(10)
        return "queued"

    def cancel_late(_session: Any, _job_id: str) -> None:
        over.set()

    def interrupted(*_: Any) -> None:
        if began.is_set():
            raise KeyboardInterrupt

    monkeypatch.setattr("app.services.importing.ImportJobs.run", work)
    monkeypatch.setattr(driving, "_cancel", cancel_late)
    monkeypatch.setattr(driving, "_show", interrupted)
    outcome = tidemark("data", "import", str(tmp_path))
    assert (outcome.code, len(slices)) == (130, 1)
    assert "ends with its present slice" in outcome.err


def test_a_job_that_nobody_takes_is_mentioned_and_one_cancelled_is_a_failure(
    tidemark: Tidemark, runtime: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driving, "_UNTAKEN_S", 0.0)
    show = driving._show

    def cancel_when_shown(*arguments: Any) -> None:
        show(*arguments)
        row = arguments[2]
        if row.state == "queued" and seen:
            runtime.jobs.cancel(row.id)
        seen.append(row.state)

    seen: list[str] = []
    monkeypatch.setattr(driving, "_show", cancel_when_shown)
    outcome = tidemark(*BACKTEST)
    assert outcome.code == 1
    assert "no worker has taken the job yet" in outcome.err
    assert "the backtest job was cancelled" in outcome.err


def test_a_job_of_a_runtime_that_has_gone_with_its_exchange_stays_queued(
    tidemark: Tidemark, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with container_in(data_dir) as container:
        TradingDay(container)
        lock = RuntimeLock(data_dir)
        with lock:
            lock.describe(simulator_url="http://127.0.0.1:9")
            show = driving._show

            def die_when_shown(*arguments: Any) -> None:
                show(*arguments)
                lock.__exit__(None, None, None)

            monkeypatch.setattr(driving, "_show", die_when_shown)
            monkeypatch.setattr(driving, "_LOOK_S", 0.0)
            outcome = tidemark(*BACKTEST)
        (job,) = container.jobs.page(5, None).rows
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    # Queued or running as it was left: the sentence is right of both.
    assert "the job stays in the record and goes on with the next `tidemark up`" in outcome.err
    assert (job.state, job.attempt) == ("queued", 0)


def test_a_command_takes_no_slice_once_a_runtime_holds_the_directory(
    tidemark: Tidemark, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    work = driving._Worker._work

    def start_a_runtime_first(worker: driving._Worker, job_id: str) -> None:
        with RuntimeLock(data_dir):
            stop = threading.Timer(0.3, worker.stop)
            stop.start()
            work(worker, job_id)
        container.jobs.cancel(job_id)

    with container_in(data_dir) as container:
        TradingDay(container)
        monkeypatch.setattr(driving, "_LOOK_S", 0.05)
        monkeypatch.setattr(driving._Worker, "_work", start_a_runtime_first)
        monkeypatch.setattr("app.services.backtests.BacktestService.run", taken.append)
        outcome = tidemark(*BACKTEST)
    assert (outcome.code, taken) == (1, [])
    assert "was cancelled" in outcome.err


def test_the_doctor_of_a_full_installation_asks_broker_and_cache(tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path,
        broker_url="amqp://tidemark:s3cret@127.0.0.1:9//",
        redis_url="redis://:s3cret@127.0.0.1:9/0",
        simulator_url="http://127.0.0.1:9",
    )
    with container_in(tmp_path) as container:
        container.settings = settings
        found = {each.component: each for each in examine(everything(container))}
    wrong = sorted(name for name, each in found.items() if not each.ok)
    assert wrong == ["broker", "cache", "exchange", "schedule"]
    assert "TIDEMARK_BROKER_URL" in found["broker"].detail
    assert "TIDEMARK_REDIS_URL" in found["cache"].detail
    assert not any("s3cret" in each.detail for each in found.values())


def test_without_a_database_the_doctor_names_it_once_and_asks_the_exchange_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Market:
        def server_time_ms(self) -> int:
            asked.append("binance")
            return 0

    monkeypatch.setattr("app.core.exchanges.factory.market_adapter", lambda *_, **__: Market())
    settings = settings_for(tmp_path, database_url="mysql+pymysql://u:s3cret@127.0.0.1:9/x")
    container = Container(settings.model_copy(update={"simulator_url": ""}), NoQueue())
    _ = container.vault  # its key is there
    found = {each.component: each for each in examine(everything(container))}
    container.close()
    assert "TIDEMARK_DATABASE_URL" in found["database"].detail
    assert found["migrations"].detail == "not checked: the database does not answer"
    assert found["vault"].detail == "not checked: the database does not answer"
    assert not any("could not be checked" in each.detail for each in found.values())
    assert asked == ["binance"]
