"""Row 41: no descriptor is left to a running installation. It sheds, lives, and comes back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.adapters.celery_queue import NoQueue
from app.cli.locking import RuntimeLock
from app.config import Settings
from app.wiring import Container
from tests.support.descriptors import no_descriptor_left
from tests.support.proxy import FaultProxy
from tests.support.simulator import ROOT, SimulatorProcess
from tests.support.waiting import until
from tests.support.world import World, assert_world


class Desk:
    """A running `tidemark up`, and a client of its API that keeps its connection."""

    def __init__(self, process: subprocess.Popen[bytes], data_dir: Path, log: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self._log = log
        self._serial = 0

    def connect(self) -> None:
        """Wait until it serves."""
        until(self._serves, 60, "the API serves")
        self.client = self.another()

    def _serves(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        try:
            return httpx.get(f"{self.url}/health", trust_env=False).status_code == 200
        except (httpx.HTTPError, KeyError):
            return False

    @property
    def url(self) -> str:
        return str(RuntimeLock(self.data_dir).facts()["api_url"])

    def another(self) -> httpx.Client:
        """A client with a connection of its own."""
        token = (self.data_dir / "api-token").read_text().strip()
        head = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=head, timeout=30, trust_env=False)

    def buy(self) -> httpx.Response:
        """An order by hand."""
        self._serial += 1
        body = {"account": "desk", "symbol": "BTC/USDT", "side": "buy", "type": "market",
                "quantity": "0.001"}  # fmt: skip
        key = {"Idempotency-Key": f"desk-{self._serial}"}
        return self.client.post("/api/v1/orders", json=body, headers=key)

    def status(self, placed: httpx.Response) -> Any:
        """Of an order that was taken."""
        return self.client.get(f"/api/v1/orders/{placed.json()['order_id']}").json()["status"]


@pytest.fixture
def venue() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(clock="running", seed=7, weight_limit=0) as process:
        yield process


@pytest.fixture
def way(venue: SimulatorProcess) -> Iterator[FaultProxy]:
    """The way to the venue."""
    with FaultProxy(int(urlsplit(venue.url).port or 0)) as proxy:
        yield proxy


@contextmanager
def running(data_dir: Path, simulator_url: str, log: Path) -> Iterator[Desk]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli.main", "up", "--port", "0"],
            cwd=data_dir.parent,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "TIDEMARK_ENVIRONMENT": "testing",
                "TIDEMARK_DATA_DIR": str(data_dir),
                "TIDEMARK_SIMULATOR_URL": simulator_url,
            },
            stdout=output,
            stderr=output,
        )
    desk = Desk(process, data_dir, log)
    try:
        desk.connect()
        yield desk
        desk.client.close()
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def desk(venue: SimulatorProcess, way: FaultProxy, tmp_path: Path) -> Iterator[Desk]:
    with running(tmp_path / "data", f"http://127.0.0.1:{way.port}", tmp_path / "up.log") as made:
        yield made


@pytest.fixture
def parts(desk: Desk, venue: SimulatorProcess) -> Iterator[Container]:
    """Our own look at its record and its venue."""
    settings = Settings(
        environment="testing", data_dir=desk.data_dir, simulator_url=venue.url, log_level="ERROR"
    )
    container = Container(settings, NoQueue())
    yield container
    container.close()


def trades(desk: Desk) -> None:
    """An order is taken and filled."""
    placed = until(
        lambda: answer if (answer := desk.buy()).status_code == 201 else None, 30, "it takes one"
    )
    assert placed is not None
    until(lambda: desk.status(placed) == "filled", 60, "the order is filled")


@pytest.mark.slow
def test_a_desk_without_descriptors_sheds_newcomers_and_trades_on_when_they_are_free(
    desk: Desk, parts: Container, venue: SimulatorProcess, way: FaultProxy
) -> None:
    parts.market_data.sync_instruments("binance")
    account = {"name": "desk", "balances": {"USDT": "100000"}}
    assert desk.client.post("/api/v1/accounts", json=account).status_code in (201, 202)
    trades(desk)

    with no_descriptor_left(desk.process.pid):
        # Whatever wants to reach the venue now needs a new connection, and gets none.
        way.cut_all()
        taken = [desk.buy() for _ in range(3)]
        assert {each.status_code for each in taken} <= {201, 503}
        with desk.another() as newcomer, pytest.raises(httpx.TransportError):
            newcomer.get("/health", timeout=2)
        assert desk.client.get("/api/v1/accounts").status_code == 200
        assert desk.process.poll() is None

    with desk.another() as newcomer:
        until(lambda: newcomer.get("/health").status_code == 200, 10, "newcomers are served")
    trades(desk)
    assert desk.process.poll() is None
    assert_world(World(parts, venue.control), expected=("account-not-comparable", "denied"))
    ends = [desk.status(each) for each in taken if each.is_success]
    assert set(ends) <= {"filled", "expired"}
