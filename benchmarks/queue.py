"""How soon a task starts after its hint was published, and how many a full queue gives.

On private RabbitMQ with publisher confirms, through the publisher and the worker arguments of
the full stack, for each queue; then on the embedded queue, in memory, with its threads. The tasks
do nothing but say when they began. ``latency`` is of an idle queue, one task at a time, from the
call to ``publish`` to the task's first statement, confirm included. ``tasks_per_s`` is of a queue
that was filled before its worker started, from the first task's start to the last's.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from app.adapters.celery_queue import CeleryQueue, make_celery
from app.cli.services.rabbitmq import RabbitMQServer
from app.cli.supervision.table import WORKERS, worker_arguments
from app.cli.up import EmbeddedWorker, pools
from app.config import Settings, load_settings
from benchmarks.support import noop_worker
from benchmarks.support.stack import load_average, wait_until
from benchmarks.support.statistics import summary

QUEUES: Final = ("orders", "strategies", "collection", "maintenance", "backtests")
_FULL: Final = 1_000
_IDLE: Final = 150
_QUICK: Final = (40, 5)
_WAIT_S: Final = 120.0
# Between two idle tasks: the worker has done with the one before and waits again.
_PAUSE_S: Final = 0.02
_PUBLISHERS: Final = 8

Publish = Callable[[str, str], None]


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure and return ``{"figures": {...}, "ratios": {...}}``.

    Args:
        quick: a few tasks, to see that it works.
    """
    full, idle = _QUICK if quick else (_FULL, _IDLE)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, _Starts(Path(name)) as starts:
        figures = _embedded(starts, full, idle) | _on_rabbit(Path(name), starts, full, idle)
    figures["load_average"] = load_average()
    ratios = {}
    for queue in QUEUES:
        ratios[f"{queue}_latency_to_embedded"] = round(
            figures[f"{queue}_latency_p50_ms"] / figures[f"embedded_{queue}_latency_p50_ms"], 2
        )
        ratios[f"{queue}_tasks_per_s_to_embedded"] = round(
            figures[f"{queue}_tasks_per_s"] / figures[f"embedded_{queue}_tasks_per_s"], 2
        )
    return {"figures": figures, "ratios": ratios}


class _Starts:
    """Hears when each task began, from whatever process.

    Attributes:
        at: wall time, ns, by the task's number.
    """

    def __init__(self, directory: Path) -> None:
        self.at: dict[str, int] = {}
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = directory / "starts.sock"
        self._line.bind(str(path))
        self._line.settimeout(0.2)
        os.environ["BENCH_STARTS"] = str(path)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join(5)
        self._line.close()

    def wait_for(self, numbers: list[str]) -> None:
        """Return when all of these tasks have begun."""
        wait_until(lambda: all(each in self.at for each in numbers), _WAIT_S, "the tasks")

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                number, _, at = self._line.recv(100).decode().partition(" ")
            except TimeoutError:
                continue
            self.at.setdefault(number, int(at))


# -- the two queues ---------------------------------------------------------------------------


def _on_rabbit(directory: Path, starts: _Starts, full: int, idle: int) -> dict[str, float]:
    server = RabbitMQServer(
        directory / "rabbitmq", port=None, detached=False, log=directory / "rabbitmq.log"
    )
    server.start()
    figures: dict[str, float] = {}
    settings = load_settings(broker_url=server.app_url)
    hints = CeleryQueue(make_celery(server.app_url))
    try:
        for queue in QUEUES:
            numbers = [f"{queue}-full-{number}" for number in range(full)]
            figures[f"{queue}_published_per_s"] = _fill(_publisher(hints), queue, numbers)
            with _worker_process(queue, settings, directory):
                figures |= _measured("", _publisher(hints), queue, starts, numbers, idle)
    finally:
        hints.close()
        server.stop()
    return figures


def _embedded(starts: _Starts, full: int, idle: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    threads = load_settings().worker_threads
    for queue in QUEUES:
        celery = noop_worker.build("memory://localhost/")
        numbers = [f"embedded-{queue}-full-{number}" for number in range(full)]
        publish = _publisher(CeleryQueue(celery))
        for number in numbers:
            publish(queue, number)
        queues, slots = next(pool for pool in pools(threads) if queue in pool[0])
        worker = EmbeddedWorker(celery, queues, slots).start()
        try:
            figures |= _measured("embedded_", publish, queue, starts, numbers, idle)
        finally:
            worker.stop()
    return figures


@contextmanager
def _worker_process(queue: str, settings: Settings, directory: Path) -> Iterator[None]:
    """The worker that serves a queue in the full stack, with tasks that do nothing."""
    (worker,) = (each for each in WORKERS if queue in each.queues)
    arguments = list(worker_arguments(worker, settings))
    arguments[arguments.index("workers.celery_app")] = noop_worker.__name__
    with (directory / f"{queue}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "TIDEMARK_BROKER_URL": settings.broker_url},
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


# -- measuring --------------------------------------------------------------------------------


def _publisher(hints: CeleryQueue) -> Publish:
    def publish(queue: str, number: str) -> None:
        if not hints.publish(f"{queue}.noop", number):
            raise RuntimeError(f"the broker did not take a task for {queue}")

    return publish


def _fill(publish: Publish, queue: str, numbers: list[str]) -> float:
    """Publish from as many threads as a worker has; messages per second, confirmed."""
    began = time.perf_counter()
    with ThreadPoolExecutor(_PUBLISHERS) as pool:
        list(pool.map(lambda number: publish(queue, number), numbers))
    return round(len(numbers) / (time.perf_counter() - began))


def _measured(
    prefix: str, publish: Publish, queue: str, starts: _Starts, numbers: list[str], idle: int
) -> dict[str, float]:
    """Drain what was filled, then one task at a time."""
    starts.wait_for(numbers)
    at = sorted(starts.at[each] for each in numbers)
    latencies = []
    for count in range(idle):
        number = f"{prefix}{queue}-idle-{count}"
        published = time.time_ns()
        publish(queue, number)
        wait = time.monotonic() + _WAIT_S
        while number not in starts.at:
            if time.monotonic() > wait:
                raise TimeoutError(f"an idle worker of {queue} did not begin a task")
            time.sleep(0.001)
        latencies.append((starts.at[number] - published) / 1e6)
        time.sleep(_PAUSE_S)
    return {
        f"{prefix}{queue}_tasks_per_s": round((len(at) - 1) / ((at[-1] - at[0]) / 1e9)),
        **summary(f"{prefix}{queue}_latency", latencies),
    }
