"""Separate processes: the API holds the public half of the vault's key, a worker the whole."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.adapters.celery_queue import NoQueue
from app.cli.locking import RuntimeLock
from app.cli.services.manager import Services
from app.cli.supervision import state
from app.config import Settings
from app.core.errors import Unavailable
from app.wiring import Container
from tests.e2e.test_demo import TIDEMARK, environment
from tests.support.servers import free_port
from tests.support.simulator import SimulatorProcess, wait_until

pytestmark = [pytest.mark.broker, pytest.mark.mysql, pytest.mark.redis, pytest.mark.slow]
_START_S = 300.0
_ADDRESSES = ("DATABASE_URL", "BROKER_URL", "REDIS_URL")


@contextmanager
def machine(home: Path, only: str, settings: dict[str, str]) -> Iterator[Path]:
    """Some processes of the full stack in a directory of their own; that directory."""
    home.mkdir(exist_ok=True)
    log = home / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*TIDEMARK, "up", "--full", "--no-simulator", "--only", only],
            cwd=home,
            env={**environment(home), **settings, "TIDEMARK_API_PORT": str(free_port())},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def is_up() -> bool:
        assert process.poll() is None, log.read_text()[-3_000:]
        known = state.read(home / "var")
        return known.get("pid") == process.pid and all(
            each["state"] == "up" for each in known["processes"]
        )

    try:
        wait_until(is_up, _START_S)
        yield home / "var"
    finally:
        process.terminate()
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Servers and a simulated exchange that two machines share, as settings."""
    services = Services(tmp_path / "s", detached=False)
    try:
        given = services.start()
        with SimulatorProcess(seed=3, clock="running") as simulator:
            yield {
                **{f"TIDEMARK_{name}": given[f"TIDEMARK_{name}"] for name in _ADDRESSES},
                "TIDEMARK_SIMULATOR_URL": simulator.url,
            }
    finally:
        services.stop()


def post(data_dir: Path, path: str, body: dict[str, Any]) -> httpx.Response:
    """One POST to the API of a machine."""
    url = RuntimeLock(data_dir).facts()["api_url"]
    token = (data_dir / "api-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{url}/api/v1{path}", json=body, headers=headers, timeout=60)


@pytest.mark.timeout(900)
def test_an_api_that_holds_the_public_half_alone_adds_accounts_that_a_worker_opens(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    new = {"name": "first", "balances": {"USDT": "1000"}}
    with machine(tmp_path / "edge", "api", settings) as edge:
        # Neither half is here: it makes none, and says what is missing.
        refused = post(edge, "/accounts", new)
        assert refused.status_code == 503
        assert "vault.key.pub" in refused.json()["detail"]
        assert not list(edge.glob("vault.key*"))
    with machine(tmp_path / "desk", "worker:orders,beat", settings) as desk:
        shutil.copy(desk / "vault.key.pub", edge / "vault.key.pub")
        assert not (edge / "vault.key").exists()
        with machine(tmp_path / "edge", "api", settings) as edge:
            added = post(edge, "/accounts", {**new, "name": "second"})
            assert added.status_code in (201, 202), added.text
            parts = Container(
                Settings(data_dir=edge, database_url=settings["TIDEMARK_DATABASE_URL"]),
                NoQueue(),
                can_read_keys=False,
            )
            wait_until(lambda: parts.accounts.get("second").status == "active", 60)
            account = parts.accounts.get("second")
            # All that the API's machine has does not open it; the worker's key does.
            with pytest.raises(Unavailable, match="holds no key"):
                parts.vault.open(account.id, account.sealed_credentials)
            parts.close()
            assert not (edge / "vault.key").exists()
