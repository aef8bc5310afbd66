"""The stack that is soaked: private servers and a supervised `tidemark up --full`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from app.adapters.celery_queue import NoQueue
from app.cli.locking import RuntimeLock
from app.cli.services.manager import Services
from app.cli.supervision import state
from app.config import Settings
from app.wiring import Container
from tests.support.servers import free_port
from tests.support.simulator import ROOT
from tests.support.waiting import until

# On a machine that others use too; the supervisor starts late ones again and again meanwhile.
_START_S: Final = 900.0
_STOP_S: Final = 120.0
# See the warm-up of Flower in `judging`.
_FLOWER_TASKS: Final = 1_000


class Stack:
    """A running stack.

    Attributes:
        services: its servers.
        parts: a look at its record; it sends nothing.
    """

    def __init__(
        self, home: Path, services: Services, process: subprocess.Popen[bytes], port: int
    ) -> None:
        self._home = home
        self.services = services
        self._process = process
        self._url = f"http://127.0.0.1:{port}/api/v1"
        until(self.is_up, _START_S, f"the stack is up; see {home}/up.log")
        facts = RuntimeLock(self.data_dir).facts()
        self.simulator_url = str(facts["simulator_url"])
        given = services.start()  # they run: this is where they listen
        self.parts = Container(
            Settings(
                data_dir=self.data_dir,
                database_url=given["TIDEMARK_DATABASE_URL"],
                broker_url=given["TIDEMARK_BROKER_URL"],
                simulator_url=self.simulator_url,
                log_level="ERROR",
            ),
            NoQueue(),
            can_read_keys=False,
        )
        token = (self.data_dir / "api-token").read_text().strip()
        self._headers = {"Authorization": f"Bearer {token}"}

    @property
    def data_dir(self) -> Path:
        """Its data directory."""
        return self._home / "var"

    @property
    def supervisor_pid(self) -> int:
        """The process of `tidemark up --full`."""
        return self._process.pid

    def processes(self) -> dict[str, dict[str, Any]]:
        """Every supervised process by name; empty while the file is not this stack's."""
        known = state.read(self.data_dir)
        if known.get("pid") != self._process.pid:
            return {}
        return {each["name"]: each for each in known["processes"]}

    def is_up(self) -> bool:
        """Whether every process is up.

        Raises:
            AssertionError: the supervisor has ended.
        """
        assert self._process.poll() is None, "the supervisor has ended; see up.log"
        found = self.processes()
        return bool(found) and all(each["state"] == "up" for each in found.values())

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request to the API.

        Raises:
            httpx.HTTPError: the API does not answer; it may have been killed.
        """
        headers = {**self._headers, **options.pop("headers", {})}
        return httpx.request(
            method, self._url + path, headers=headers, timeout=30, trust_env=False, **options
        )

    def tidemark(self, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """A command beside it."""
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            cwd=self._home,
            env=_environment(self._home),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


@contextmanager
def running(home: Path) -> Iterator[Stack]:
    """Servers and stack in a directory; all of it has ended afterwards."""
    home.mkdir(parents=True)
    services = Services(home / "var" / "services", detached=False)
    port = free_port()
    try:
        services.start()
        with (home / "up.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "up", "--full", "--port", str(port)],
                cwd=home,
                env={
                    **_environment(home),
                    "TIDEMARK_FLOWER_PORT": str(free_port()),
                    "TIDEMARK_FLOWER_MAX_TASKS": str(_FLOWER_TASKS),
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            stack = Stack(home, services, process, port)
            try:
                yield stack
            finally:
                stack.parts.close()
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        services.stop()


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMARK_")}
    own = {"TIDEMARK_HOME": str(home), "TIDEMARK_LOG_LEVEL": "WARNING"}
    return {**kept, "PYTHONPATH": str(ROOT), **own}
