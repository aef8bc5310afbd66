"""The full stack on a machine that runs out of disk or of descriptors, or whose broker loses all.

Rows 12, 40 and 41, with the servers, the processes, their logs, heartbeats and state on disks of
their own. Every rehearsal ends with the whole world checked.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.services.schedule import PULSE
from tests.faults.full_stack import MARKS, WHOLE_S, Said, collecting
from tests.support.descriptors import no_descriptor_left
from tests.support.disk import Disk, small_disk
from tests.support.faults import Stack, standing
from tests.support.trader import BACK_S
from tests.support.waiting import until

pytestmark = MARKS
# A process that gives no sign of life is killed after 12 s of silence and 20 s more.
PATIENCE_S = 40.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machine")


@pytest.fixture(scope="module")
def own_disk(place: Path) -> Iterator[Disk]:
    """Logs, heartbeats, beat's file, what `up` prints."""
    with small_disk(place / "home") as made:
        yield made


@pytest.fixture(scope="module")
def server_disk(own_disk: Disk) -> Iterator[Disk]:
    """MariaDB's, RabbitMQ's and Redis' data and logs."""
    with small_disk(own_disk.path / "var" / "services") as made:
        yield made


@pytest.fixture(scope="module")
def stack(place: Path, own_disk: Disk, server_disk: Disk) -> Iterator[Stack]:
    with standing(own_disk.path, journal=place / "venue.jsonl") as made:
        yield made
        # Its disks go with it, and whoever looks for a failure wants these.
        shutil.copytree(made.data_dir / "log", place / "log")
        shutil.copytree(server_disk.path / "log", place / "log" / "servers")
        shutil.copy(made.log, place / "log")


def pids(stack: Stack) -> dict[str, int]:
    return {name: int(each["pid"]) for name, each in stack.states().items()}


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def pass_by(seconds: float) -> None:
    """Wait for longer than somebody's patience; nothing else tells that it is over."""
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun > seconds, seconds + 10)


def last_run(stack: Stack) -> int:
    with stack.parts.units.read() as unit:
        return unit.system.last_run(PULSE) or 0


@contextmanager
def full(*disks: Disk) -> Iterator[None]:
    for disk in disks:
        disk.fill()
    try:
        yield
    finally:
        for disk in disks:
            disk.clear()


def test_full_logs_heartbeats_and_state_stop_nothing(
    stack: Stack, own_disk: Disk, said: Said
) -> None:
    since = stack.last_alarm()
    with stack.trading() as trader:
        running = pids(stack)
        with full(own_disk):
            confirmed = len(trader.confirmed())
            pass_by(PATIENCE_S)
            dead = [name for name, pid in running.items() if not lives(pid)]
            assert not dead, "killed for want of a heartbeat"
            assert len(trader.confirmed()) > confirmed + 10
            # What dies meanwhile comes back, though it can print and say nothing.
            for name in ("api:1", "worker:orders", "beat", "streams"):
                os.kill(running[name], signal.SIGKILL)
            moment, slot = time.monotonic(), last_run(stack)
            back = stack.acknowledged_after(trader, moment)
            until(lambda: last_run(stack) > slot, BACK_S, "periodic work goes on")
        until(lambda: all(map(lives, pids(stack).values())), BACK_S, "the state is written again")
    stack.check(trader, since=since)
    said(f"four processes killed on a full disk: trading again after {back:.1f} s")


def post_order(stack: Stack) -> httpx.Response:
    body = {"account": "rehearsal", "symbol": "BTC/USDT", "side": "buy", "type": "market",
            "quantity": "0.001"}  # fmt: skip
    key = {"Authorization": f"Bearer {stack.token}", "Idempotency-Key": f"full-{time.time_ns()}"}
    return httpx.post(
        f"{stack.url}/api/v1/orders", json=body, headers=key, timeout=60, trust_env=False
    )


def test_a_machine_whose_only_disk_is_full(
    stack: Stack, own_disk: Disk, server_disk: Disk, said: Said
) -> None:
    """Record, broker, logs and state at once: orders are refused, reads served, nothing lost."""
    since = stack.last_alarm()
    with stack.trading() as trader:
        jobs = stack.collect()
        with full(own_disk, server_disk):
            until(lambda: post_order(stack).status_code == 503, BACK_S, "an order is refused")
            assert post_order(stack).json()["code"] == "disk-full"
            pass_by(PATIENCE_S)
            for path in ("orders", "accounts", "plans", "instances"):
                answer = stack.api("GET", f"/api/v1/{path}")
                # Where the server itself has given up, its log says why.
                assert answer.status_code == 200, _end_of(stack.services.mariadb.log)
            ready = stack.api("GET", "/ready")
            assert ready.status_code == 503
            assert "disk" in ready.json()["detail"]
        # RabbitMQ's log of quorum queues breaks for good on a full disk, and whatever is
        # published is refused from then on: a person starts it again (docs/operations.md).
        stack.services.rabbitmq.kill9()
        stack.services.rabbitmq.start()
        back = stack.acknowledged_after(trader, time.monotonic())
        until(lambda: stack.states_of(jobs) == {"succeeded"}, WHOLE_S, "the back-fill is whole")
    stack.check(trader, since=since, expected=("account-not-comparable",))
    said(f"trading {back:.1f} s after there was room again")


def test_a_broker_whose_data_are_deleted(stack: Stack, said: Said) -> None:
    """Row 12: every queue, message and exchange is gone under the workers that use them."""
    since = stack.last_alarm()
    broker = stack.services.rabbitmq
    with stack.trading() as trader:
        jobs = collecting(stack)
        broker.kill9()
        shutil.rmtree(broker.directory / "mnesia")
        moment = time.monotonic()
        broker.start()
        back = stack.acknowledged_after(trader, moment)
        until(lambda: stack.states_of(jobs) == {"succeeded"}, WHOLE_S, "the back-fill is whole")
    stack.check(trader, since=since)
    said(f"broker emptied: first new order acknowledged after {back:.1f} s")


@pytest.mark.parametrize("victim", ["api:1", "worker:orders", "streams", "beat"])
def test_no_descriptor_is_left(stack: Stack, victim: str, said: Said) -> None:
    """Row 41: every line of everybody's is cut, and one process may open no other."""
    since = stack.last_alarm()
    with stack.trading() as trader:
        pid = pids(stack)[victim]
        with no_descriptor_left(pid):
            for proxy in stack.proxies.values():
                proxy.cut_all()
            # Longer than a process may be silent, so that the supervisor has its say as well.
            pass_by(PATIENCE_S)
            lived = lives(pid)
        back = stack.acknowledged_after(trader, time.monotonic())
    stack.check(trader, since=since, expected=("account-not-comparable",))
    fate = "lived" if lived else "was started again"
    said(f"{victim} {fate}: trading {back:.1f} s after descriptors were free")


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-4_000:]
