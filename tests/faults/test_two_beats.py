"""Row 43: beat runs twice, as two processes of two hosts do, and each slot is worked on once.

No worker takes orders here, so that the hints which a slot gives stay in their queue and can be
counted: one for the account in each slot of ``maintenance.sync_accounts``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import kombu
import pytest
from sqlalchemy import select

from app.adapters.celery_queue import CeleryQueue, make_celery
from app.cli.services.manager import Services
from app.config import Settings
from app.models import AccountRow, ScheduleRunRow
from app.repositories.migrating import upgrade
from app.services.schedule import PERIODS
from app.wiring import Container
from tests.support.simulator import ROOT
from tests.support.waiting import until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.broker,
    pytest.mark.mysql,
    pytest.mark.redis,
    pytest.mark.timeout(300),
]
SWEEP, SYNC = "maintenance.sweep", "maintenance.sync_accounts"
START_S = 90.0


@dataclass
class Hosts:
    """A record and a broker, and the processes that share them."""

    home: Path
    settings: dict[str, str]
    parts: Container

    @contextmanager
    def process(self, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """One process of Celery, in a directory of its own."""
        place = self.home / name
        place.mkdir()
        kept = {key: each for key, each in os.environ.items() if not key.startswith("TIDEMARK_")}
        given = {**kept, **self.settings, "PYTHONPATH": str(ROOT), "TIDEMARK_DATA_DIR": str(place)}
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "workers.celery_app", *arguments],
                cwd=place,
                env=given,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def beat(self, name: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Beat, which keeps its own state and knows nothing of any other."""
        return self.process(name, "beat", "-s", "schedule", "--pidfile=")

    def log(self, name: str) -> str:
        return (self.home / name / "log").read_text()

    def slots(self, task: str) -> list[int]:
        """Slots of a task that were worked on, ascending."""
        row = ScheduleRunRow
        with self.parts.units.read() as unit:
            found = unit.session.scalars(select(row.due_slot).where(row.task == task))
            return sorted(found)

    def hints(self) -> int:
        """Hints that wait for a worker of orders."""
        with kombu.Connection(self.settings["TIDEMARK_BROKER_URL"]) as connection:
            declared = connection.default_channel.queue_declare("orders", passive=True)
            return int(declared.message_count)

    def add_account(self) -> None:
        """An account that is compared in each slot, and otherwise left alone."""
        row = AccountRow(
            id=self.parts.ids.new(),
            name="compared",
            kind="simulated",
            exchange="binance",
            account_type="spot",
            status="active",
            sealed_credentials="",
            trade_cursor={},
            synced_ts=0,
            created_at=self.parts.clock.now_ms(),
        )
        self.parts.units.run(lambda unit: unit.accounts.add(row))


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    services = Services(tmp_path / "services", detached=False)
    try:
        settings = {
            **services.start(),
            "TIDEMARK_ENVIRONMENT": "testing",
            # Beat says what it sends.
            "TIDEMARK_LOG_LEVEL": "DEBUG",
        }
        names = ("DATABASE_URL", "BROKER_URL", "REDIS_URL")
        known = Settings(
            environment="testing",
            data_dir=tmp_path / "own",
            **{name.lower(): settings[f"TIDEMARK_{name}"] for name in names},
        )
        parts = Container(known, CeleryQueue(make_celery(known.broker_url)))
        upgrade(parts.engine)
        made = Hosts(tmp_path, settings, parts)
        made.add_account()
        yield made
        parts.close()
    finally:
        services.stop()


def test_two_beats_work_on_each_slot_once_and_one_alone_goes_on(
    hosts: Hosts, said: Callable[[str], None]
) -> None:
    worker = ("worker", "-Q", "maintenance", "-P", "threads", "-c", "4")
    with hosts.process("worker", *worker):
        with hosts.beat("one") as first, hosts.beat("two"):
            sent = f"Sending due task {SYNC}"
            until(
                lambda: all(hosts.log(each).count(sent) >= 3 for each in ("one", "two")),
                START_S,
                "both of them have asked for three slots",
            )
            until(lambda: len(hosts.slots(SYNC)) >= 4, START_S, "four slots")
            first.send_signal(signal.SIGKILL)
            alone = len(hosts.slots(SYNC))
            until(lambda: len(hosts.slots(SYNC)) >= alone + 3, START_S, "one alone goes on")
        # Each slot has given one hint, though it was asked for twice.
        until(lambda: hosts.hints() == len(hosts.slots(SYNC)), 15, "one hint for each slot")

    slots, sweeps = hosts.slots(SYNC), hosts.slots(SWEEP)
    assert all(slot % PERIODS[SYNC] == 0 for slot in slots)
    pauses = [after - before for before, after in pairwise(sweeps)]
    assert min(pauses) == PERIODS[SWEEP]
    assert max(pauses) <= 15_000, "no silence, not even when one died"
    asked = sum(hosts.log(each).count(f"Sending due task {SWEEP}") for each in ("one", "two"))
    assert asked > len(sweeps)
    said(f"two beats: {asked} sweeps asked for, {len(sweeps)} slots, one run each")
