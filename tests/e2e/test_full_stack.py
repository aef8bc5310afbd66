"""The full stack with separate processes: the demo's very numbers, and what it survives."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli.demo_view import backtest_figures
from app.cli.locking import RuntimeLock
from app.cli.services.manager import Services, read_env
from app.cli.services.reaper import session_members
from app.cli.supervision import state
from app.cli.supervision.table import WORKERS
from tests.e2e.test_demo import (
    EXPECTED,
    EXPECTED_EQUITY,
    TIDEMARK,
    children_of,
    environment,
)
from tests.support.servers import free_port
from tests.support.simulator import wait_until

pytestmark = [pytest.mark.broker, pytest.mark.mysql, pytest.mark.redis, pytest.mark.slow]
# Eight processes start at once, on two cores that other tests use too.
START_S = 150.0
BACK_S = 60.0


@pytest.mark.timeout(600)
def test_the_demo_gives_the_same_numbers_on_separate_processes_and_stays_up_until_ctrl_c(
    tmp_path: Path,
) -> None:
    """``make demo FULL=1``; its numbers are asked of the API that it leaves up."""
    log = tmp_path / "out.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*TIDEMARK, "demo", "--full", "--port", "0"],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "Tidemark is up" in log.read_text() or process.poll(), 580)
        assert process.poll() is None, log.read_text()[-3_000:]
        data_dir = tmp_path / "var" / "demo"
        with api_of(log.read_text(), data_dir) as api:
            assert httpx.get(api.base_url.join("orders"), trust_env=False).status_code == 401
            assert numbers_of(api) == EXPECTED
        assert EXPECTED_EQUITY in log.read_text()
        # It runs on them: every worker class has its log, and there is no SQLite file.
        logs = {each.stem for each in (data_dir / "log").iterdir()}
        assert logs >= {f"worker-{each.name}" for each in WORKERS} | {"api-1", "beat", "simulator"}
        assert not list(data_dir.glob("tidemark.db*"))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(api.base_url, trust_env=False)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert "Traceback" not in log.read_text()
    assert not children_of(process.pid), "the demo left a process behind"


def api_of(output: str, data_dir: Path) -> httpx.Client:
    """A client of the API whose URL was printed."""
    url = next(word for word in output.split() if word.startswith("http") and "/api/v1" in word)
    token = (data_dir / "api-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, headers=headers, trust_env=False)


def numbers_of(api: httpx.Client) -> dict[str, Any]:
    """The demo's numbers, as its last line has them with ``--once``."""

    def listed(path: str, **query: str) -> list[dict[str, Any]]:
        answer = api.get(path, params={"limit": 500, **query})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    (instance,) = [each for each in listed("instances") if each["kind"] == "strategy"]
    (backtest,) = listed("backtests")
    plan = listed("plans")[0]
    series = [
        api.get(
            "coverage",
            params={
                "exchange": plan["exchange"],
                "symbol": symbol,
                "interval": "1m",
                "start": plan["since"],
                "end": backtest["spec"]["end"],
            },
        ).json()
        for symbol in plan["symbols"]
    ]
    return {
        "klines": sum(each["counts"]["present"] for each in series),
        "gaps": sum(each["gaps"] for each in series),
        "backtest": backtest_figures(api.get(f"backtests/{backtest['id']}").json()["result"]),
        "signals": len(listed(f"instances/{instance['id']}/signals")),
        "orders": len(listed("orders")),
        "fills": len(listed("fills")),
    }


class Installation:
    """A supervised full stack over its own services."""

    def __init__(self, home: Path, process: subprocess.Popen[bytes], log: Path) -> None:
        self.home = home
        self.process = process
        self.log = log

    @property
    def data_dir(self) -> Path:
        """Its data directory."""
        return self.home / "var"

    def states(self) -> dict[str, dict[str, Any]]:
        """Every process by name, as the supervisor wrote it."""
        known = state.read(self.data_dir)
        if known.get("pid") != self.process.pid:
            return {}
        return {each["name"]: each for each in known["processes"]}

    def up(self, *names: str) -> bool:
        """Whether these, or all, are up; fails if the supervisor has ended."""
        assert self.process.poll() is None, self.log.read_text()[-3_000:]
        found = self.states()
        chosen = [found[name] for name in names if name in found] if names else found.values()
        return bool(found) and all(each["state"] == "up" for each in chosen)

    def restarted(self, before: dict[str, dict[str, Any]], name: str) -> Callable[[], bool]:
        """A condition: the process of this name is another one, and up."""
        return lambda: self.up(name) and self.states()[name]["pid"] != before[name]["pid"]

    def api(self, path: str, token: bool = True) -> httpx.Response:
        """GET of the API."""
        url = RuntimeLock(self.data_dir).facts()["api_url"]
        secret = (self.data_dir / "api-token").read_text().strip()
        headers = {"Authorization": f"Bearer {secret}"} if token else {}
        return httpx.get(f"{url}{path}", headers=headers, timeout=30, trust_env=False)

    def tidemark(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command beside it."""
        return subprocess.run(
            [*TIDEMARK, *arguments],
            cwd=self.home,
            env=environment(self.home),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with running services in var/services."""
    made = tmp_path_factory.mktemp("home")
    services = Services(made / "var" / "services", detached=False)
    services.start()
    yield made
    services.stop()


@contextmanager
def running(home: Path, *options: str) -> Iterator[Installation]:
    """`tidemark up --full` in a directory, killed with all it started at the end."""
    log = home / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*TIDEMARK, "up", "--full", "--port", str(free_port()), *options],
            cwd=home,
            env={**environment(home), "TIDEMARK_FLOWER_PORT": str(free_port())},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Installation(home, process, log)
    finally:
        process.kill()
        process.wait()


@pytest.mark.timeout(600)
def test_the_dead_come_back_commands_find_it_and_ctrl_c_drains(home: Path) -> None:
    with running(home) as stack:
        wait_until(stack.up, START_S)
        before = stack.states()
        assert set(before) >= {"simulator", "beat", "api:1", "flower", "worker:backtests"}
        assert stack.api("/ready", token=False).status_code == 200
        assert stack.api("/api/v1/orders").json()["data"] == []

        # A command beside it works on its database without being told where that is.
        shown = stack.tidemark("system", "status", "--json")
        assert shown.returncode == 0, shown.stderr
        assert {each["name"] for each in json.loads(shown.stdout)["processes"]} == set(before)
        halted = stack.tidemark("risk", "halt", "a test")
        assert halted.returncode == 0, halted.stderr
        assert [each["scope"] for each in stack.api("/api/v1/risk/halts").json()["data"]] == [
            "global"
        ]
        assert stack.tidemark("risk", "resume").returncode == 0
        refuses_to_halt_another_record(stack)
        second = stack.tidemark("up", "--full")
        assert second.returncode == 2
        assert "another Tidemark runs" in second.stderr

        for name in ("worker:orders", "beat", "api:1"):
            os.kill(before[name]["pid"], signal.SIGKILL)
        for name in ("worker:orders", "beat", "api:1"):
            wait_until(stack.restarted(before, name), BACK_S)
            assert stack.states()[name]["restarts"] == 1
            assert "SIGKILL" in stack.states()[name]["reason"]
        assert stack.api("/api/v1/orders").status_code == 200
        untouched = {"worker:collection", "worker:strategies", "worker:backtests", "simulator"}
        for name in untouched:
            assert stack.states()[name]["pid"] == before[name]["pid"], name

        # One that lives and does nothing is found by its silence.
        before = stack.states()
        os.kill(before["worker:strategies"]["pid"], signal.SIGSTOP)
        wait_until(stack.restarted(before, "worker:strategies"), 2 * BACK_S)
        assert "hung" in stack.states()["worker:strategies"]["reason"]

        sessions = [each["pid"] for each in stack.states().values()]
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(120) == 0, stack.log.read_text()[-3_000:]
        ended = _order_of_ends(stack.log.read_text())
        assert ended.index("api:1") < ended.index("beat") < ended.index("worker:orders")
        assert ended.index("worker:backtests") < ended.index("simulator")
        assert [member for each in sessions for member in session_members(each)] == []


def refuses_to_halt_another_record(stack: Installation) -> None:
    """Without the file that leads to its servers a command would be on a new SQLite record."""
    path = stack.data_dir / "services" / "env"
    hidden = path.rename(path.with_name("env.hidden"))
    try:
        done = stack.tidemark("risk", "halt", "panic")
    finally:
        hidden.rename(path)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(r"uses mysql://127\.0\.0\.1:\d+/tidemark_app, and this command", done.stderr)
    assert not (stack.data_dir / "tidemark.db").exists()


def _order_of_ends(log: str) -> list[str]:
    lines = (line.split() for line in log.splitlines())
    return [words[1] for words in lines if len(words) == 3 and words[2] == "stopped"]


@pytest.mark.timeout(400)
def test_a_killed_supervisor_takes_its_processes_along_and_the_next_takes_over(
    home: Path,
) -> None:
    only = ("--only", "simulator,worker:orders,worker:backtests,beat")
    with running(home, *only) as stack:
        wait_until(stack.up, START_S)
        assert set(stack.states()) == {
            "simulator",
            "worker:orders",
            "worker:backtests",
            "beat",
        }
        sessions = [each["pid"] for each in stack.states().values()]
        stack.process.kill()
        stack.process.wait()
        wait_until(lambda: not any(session_members(each) for each in sessions), 30)
    with running(home, *only) as again:
        wait_until(again.up, START_S)


@pytest.mark.timeout(120)
def test_without_services_it_says_in_one_sentence_what_to_run(tmp_path: Path, home: Path) -> None:
    def up(**settings: str) -> str:
        done = subprocess.run(
            [*TIDEMARK, "up", "--full"],
            cwd=tmp_path,
            env={**environment(tmp_path), **settings},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode in (1, 2)
        (sentence,) = done.stderr.strip().splitlines()
        return sentence

    assert "make services" in up()
    nowhere = f"mysql+pymysql://someone:secret@127.0.0.1:{free_port()}/tidemark"
    known = read_env(home / "var" / "services" / "env")
    sentence = up(
        TIDEMARK_DATABASE_URL=nowhere,
        TIDEMARK_BROKER_URL=known["TIDEMARK_BROKER_URL"],
        TIDEMARK_REDIS_URL=known["TIDEMARK_REDIS_URL"],
    )
    assert "does not answer" in sentence
    assert "secret" not in sentence


def test_a_name_that_is_no_process_is_refused(home: Path) -> None:
    done = subprocess.run(
        [*TIDEMARK, "up", "--full", "--only", "simulator,worker:order", "--port", "0"],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2
    assert "worker:orders" in done.stderr
