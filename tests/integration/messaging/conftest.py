"""A broker as an installation has it: users of least rights, and no guest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.cli.services import machine
from app.cli.services.machine import LOOPBACK
from deploy.rabbitmq import render
from tests.support.servers import RabbitMQServer

ROOT = Path(__file__).resolve().parents[3]


class ProvisionedRabbitMQ(RabbitMQServer):
    """A private broker, as the application's user sees it."""

    @property
    def url(self) -> str:
        """The application's user in its virtual host."""
        return self.app_url

    def url_of(self, user: str, vhost: str = render.VHOST, password: str | None = None) -> str:
        """URL of a user and a virtual host."""
        known = {render.APP_USER: "app", render.FLOWER_USER: "flower"}
        secret = self._passwords[known.get(user, "admin")] if password is None else password
        return f"amqp://{user}:{secret}@{LOOPBACK}:{self.port}/{vhost}"

    def control(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` answers."""
        done = subprocess.run(
            [
                machine.find_program(self.title, "rabbitmqctl"),
                "-q",
                "-n",
                "tidemark@localhost",
                *arguments,
            ],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.directory),
                "LANG": "C.UTF-8",
                **self._environment(),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def broker() -> Iterator[ProvisionedRabbitMQ]:
    """A broker that stays up."""
    with ProvisionedRabbitMQ() as server:
        yield server


@pytest.fixture
def runs(tmp_path: Path) -> Callable[[], list[str]]:
    """What the worker's tasks noted so far."""
    path = tmp_path / "runs"
    path.touch()
    return lambda: path.read_text().splitlines()


@contextmanager
def worker(
    url: str, runs: Path, queues: str, pool: str = "threads", name: str = "w"
) -> Iterator[subprocess.Popen[bytes]]:
    """Celery's worker as an installation starts it."""
    log = runs.with_name(f"worker-{name}.log")
    with log.open("ab") as out:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "tests.integration.messaging.worker_app",
                "worker",
                "-Q",
                queues,
                "--pool",
                pool,
                "-c",
                "2",
                "-n",
                f"{name}@%h",
                "-l",
                "INFO",
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "TIDEMARK_TEST_BROKER": url,
                "TIDEMARK_TEST_RUNS": str(runs),
            },
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
