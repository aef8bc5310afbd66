"""The full stack on a machine that runs out of disk or of descriptors, or whose broker loses all.

Rows 12, 40 and 41, with the servers, the processes, their logs, heartbeats and state on disks of
their own. Every rehearsal ends with the whole world checked.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.services.schedule import PULSE
from tests.support.disk import Disk, small_disk
from tests.support.faults import BACK_S, Stack, standing
from tests.support.waiting import until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.broker,
    pytest.mark.mysql,
    pytest.mark.redis,
    pytest.mark.xdist_group("full-stack"),
    pytest.mark.timeout(600),
]
# A process that gives no sign of life is killed after 12 s of silence and 20 s more.
PATIENCE_S = 40.0
WHOLE_S = 240.0
Said = Callable[[str], None]


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
            moment = time.monotonic()
            back = stack.acknowledged_after(trader, moment)
            slot = last_run(stack)
            until(lambda: last_run(stack) > slot, BACK_S, "periodic work goes on")
            pass_by(PATIENCE_S)
            assert stack.acknowledged_after(trader, time.monotonic()) < BACK_S
    stack.check(trader, since=since)
    said(f"four processes killed on a full disk: trading again after {back:.1f} s")
