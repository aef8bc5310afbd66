"""Samples of every process each 10 s: memory, descriptors, threads; and of queues and backlog."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any, Final

import amqp
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.rabbit_topology import DEAD, QUEUES
from app.cli.services.reaper import session_members
from tests.soak.stack import Stack

EVERY_S: Final = 10.0
_WINDOW_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment; memory in MiB. The children's are in ``tree_mb``."""

    second: float
    name: str
    pid: int
    rss_mb: float
    tree_mb: float
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits at one moment; -1 where it could not be asked."""

    second: float
    outbox: int
    unsettled: int
    queued: int
    dead: int


class Sampler:
    """Takes samples until it is stopped, and keeps them as CSV too.

    Attributes:
        failure: what ended it early; None while nothing has.
    """

    def __init__(self, stack: Stack, directory: Path) -> None:
        self._stack = stack
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="samples", daemon=True)
        self._began = time.monotonic()
        self.samples: list[Sample] = []
        self.backlogs: list[Backlog] = []
        self.failure: BaseException | None = None
        self._directory = directory

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(60)

    def second(self) -> float:
        """Seconds since the beginning."""
        return round(time.monotonic() - self._began, 1)

    def _run(self) -> None:
        with (
            (self._directory / "processes.csv").open("w", newline="") as processes,
            (self._directory / "backlog.csv").open("w", newline="") as backlog,
        ):
            of_processes, of_backlog = csv.writer(processes), csv.writer(backlog)
            of_processes.writerow([each.name for each in fields(Sample)])
            of_backlog.writerow([each.name for each in fields(Backlog)])
            try:
                while not self._stop.wait(EVERY_S):
                    now = list(self._look())
                    self.samples += now
                    of_processes.writerows(astuple(each) for each in now)
                    self.backlogs.append(self._backlog())
                    of_backlog.writerow(astuple(self.backlogs[-1]))
                    processes.flush()
                    backlog.flush()
            except BaseException as error:  # noqa: BLE001 - told by the one who waits
                self.failure = error

    def _look(self) -> Iterator[Sample]:
        pids = {name: each["pid"] for name, each in self._stack.processes().items()}
        for name, pid in {**pids, "supervisor": self._stack.supervisor_pid}.items():
            # It may end at any moment: that is what this is for.
            with suppress(OSError, KeyError):
                if pid:
                    yield self._sample(name, pid)

    def _sample(self, name: str, pid: int) -> Sample:
        own = _status(pid)
        tree = 0.0
        for member in session_members(pid):
            with suppress(OSError, KeyError):
                tree += _status(member)["VmRSS"] / 1024
        return Sample(
            self.second(),
            name,
            pid,
            round(own["VmRSS"] / 1024, 2),
            round(tree, 2),
            len(list(Path(f"/proc/{pid}/fd").iterdir())),
            own["Threads"],
        )

    def _backlog(self) -> Backlog:
        outbox = unsettled = -1
        with suppress(SQLAlchemyError), self._stack.parts.units.read() as unit:
            outbox = unit.outbox.backlog()
            unsettled = len(unit.orders.unsettled(unit.now_ms, limit=10_000))
        queued = dead = -1
        with suppress(OSError, amqp.AMQPError):
            queued, dead = self._queued()
        return Backlog(self.second(), outbox, unsettled, queued, dead)

    def _queued(self) -> tuple[int, int]:
        """Messages that wait in all queues, and dead letters."""
        from kombu import Connection

        url = self._stack.parts.settings.broker_url
        with Connection(url, connect_timeout=2) as connection:
            channel: Any = connection.channel()
            counts = [channel.queue_declare(name, passive=True)[1] for name in QUEUES]
            (dead,) = [channel.queue_declare(DEAD, passive=True)[1]]
        return sum(counts), dead


def slope_per_hour(points: list[tuple[float, float]]) -> float:
    """The median of the slopes over each minute: a step once in a while does not count."""
    slopes = []
    start = points[0]
    for point in points[1:]:
        if point[0] - start[0] >= _WINDOW_S:
            slopes.append((point[1] - start[1]) / (point[0] - start[0]) * 3_600)
            start = point
    return median(slopes) if slopes else 0.0


def _status(pid: int) -> dict[str, int]:
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "Threads"):
            found[name] = int(rest.split()[0])
    return found
