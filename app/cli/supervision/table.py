"""The table of processes of the full stack: what the supervisor runs, and compose too."""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.cli.supervision.probes import heartbeat, http_answer
from app.cli.supervision.process import ProcessSpec

if TYPE_CHECKING:
    from app.config import Settings

#: Order of stopping: no new work comes in, none falls due, what runs is finished, the rest.
PHASE_API: Final = 0
PHASE_BEAT: Final = 1
PHASE_WORKERS: Final = 2
PHASE_REST: Final = 3
#: What may follow a kill is safe, but a finished task is cheaper than one done again.
_DRAIN_S: Final = 30.0

# Quiet: a banner that finds no room on the disk would be the end of the start.
CELERY: Final = ("-m", "celery", "-q", "-A", "workers.celery_app")
_QUIET: Final = ("--without-gossip", "--without-mingle", "-E")


@dataclass(frozen=True, slots=True)
class WorkerClass:
    """One worker process per class of queues. Orders never wait behind a download.

    Attributes:
        pool: ``threads`` for what waits (venues, database), ``prefork`` for what computes.
    """

    name: str
    queues: tuple[str, ...]
    pool: str


WORKERS: Final = (
    WorkerClass("orders", ("orders", "maintenance"), "threads"),
    WorkerClass("collection", ("collection",), "threads"),
    WorkerClass("strategies", ("strategies",), "threads"),
    WorkerClass("alerts", ("alerts",), "threads"),
    WorkerClass("backtests", ("backtests",), "prefork"),
)


#: The processes that may open exchange keys.
KEY_READERS: Final = frozenset({"worker:orders", "streams"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where the processes of one supervisor meet.

    Attributes:
        run_dir: heartbeat files and sockets; its path is short, as a socket's must be.
        api_fd: the API's listening socket; -1 where no API runs here.
        simulator: options of the simulated exchange; None where none is ours.
    """

    run_dir: Path
    api_fd: int
    simulator: Sequence[str] | None = None
    simulator_port: int = 0


def worker_arguments(worker: WorkerClass, settings: Settings) -> tuple[str, ...]:
    """Celery's arguments of a worker class."""
    slots = settings.backtest_processes if worker.pool == "prefork" else settings.worker_threads
    return (
        *CELERY,
        "worker",
        *("-Q", ",".join(worker.queues)),
        *("-n", f"{worker.name}@%h"),
        *("-P", worker.pool),
        *("-c", str(slots)),
        *_QUIET,
    )


def beat_arguments(settings: Settings) -> tuple[str, ...]:
    """Celery's arguments of beat."""
    return (*CELERY, "beat", "-s", str(settings.beat_file), "--pidfile=")


def flower_arguments(address: str, port: int, tasks: int = 10_000) -> tuple[str, ...]:
    """Flower, which looks and does not touch; nginx hands it out under /flower/.

    Args:
        tasks: how many of the latest it keeps. It grows by 6 kB for each, and until four times
            as many have passed: that long Celery keeps their events for sorting.
    """
    return (
        *("-m", "celery", "-A", "workers.monitor", "flower"),
        f"--address={address}",
        f"--port={port}",
        "--url_prefix=flower",
        # Refuses every operation: revoke, shutdown, pool, rate limits, and starting tasks.
        "--read_only=True",
        # Its user may not send worker commands, so it does not try.
        "--enable_events=False",
        f"--max_tasks={tasks}",
        # A worker process that was replaced is forgotten after a while.
        "--purge_offline_workers=600",
    )


def table(settings: Settings, place: Place) -> list[ProcessSpec]:
    """Every process of the full stack, in the order of their start."""
    rows = [_simulator(place)] if place.simulator is not None else []
    rows += [_worker(each, settings, place) for each in WORKERS]
    rows.append(_beat(settings, place))
    rows.append(_streams(place))
    rows += [_api(number, place) for number in range(1, settings.api_workers + 1)]
    if settings.flower_broker_url and importlib.util.find_spec("flower") is not None:
        rows.append(_flower(settings))
    return rows


def selected(rows: Sequence[ProcessSpec], only: Sequence[str]) -> list[ProcessSpec]:
    """The rows that ``--only`` names: ``worker:orders``, or ``worker`` for all of a kind.

    Raises:
        InvalidInput: a name is none of them.
    """
    from app.core.errors import InvalidInput

    if not only:
        return list(rows)
    kinds = {each.name.partition(":")[0] for each in rows} | {each.name for each in rows}
    for name in only:
        if name not in kinds:
            raise InvalidInput(
                f"{name!r} is no process of this stack; use {', '.join(sorted(kinds))}"
            )
    wanted = set(only)
    return [each for each in rows if {each.name, each.name.partition(":")[0]} & wanted]


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


def _heart(place: Place, name: str) -> tuple[Path, Mapping[str, str]]:
    path = place.run_dir / f"{name.replace(':', '-')}.beat"
    return path, {"TIDEMARK_HEARTBEAT_FILE": str(path)}


def _worker(worker: WorkerClass, settings: Settings, place: Place) -> ProcessSpec:
    name = f"worker:{worker.name}"
    path, environment = _heart(place, name)
    return ProcessSpec(
        name=name,
        command=_python(*worker_arguments(worker, settings)),
        environment=environment,
        probe=heartbeat(path),
        heartbeat=path,
        stop_phase=PHASE_WORKERS,
        # A warm shutdown: no new task, the running ones are finished.
        stop_signal=signal.SIGTERM,
        stop_s=_DRAIN_S,
    )


def _beat(settings: Settings, place: Place) -> ProcessSpec:
    path, environment = _heart(place, "beat")
    return ProcessSpec(
        name="beat",
        command=_python(*beat_arguments(settings)),
        environment=environment,
        probe=heartbeat(path),
        heartbeat=path,
        hang_s=10.0,  # with the 12 s of silence before: an alarm within 30 s
        stop_phase=PHASE_BEAT,
        alarm=True,
    )


def _streams(place: Place) -> ProcessSpec:
    path, environment = _heart(place, "streams")
    return ProcessSpec(
        name="streams",
        command=_python("-m", "workers.streams"),
        environment=environment,
        probe=heartbeat(path),
        heartbeat=path,
        stop_phase=PHASE_REST,
        stop_s=_DRAIN_S,
    )


def _api(number: int, place: Place) -> ProcessSpec:
    probe = place.run_dir / f"api-{number}.sock"
    return ProcessSpec(
        name=f"api:{number}",
        command=_python("-m", "app.cli.serve", "--fd", str(place.api_fd), "--probe", str(probe)),
        # /health takes a thread of the pool that serves requests: it proves loop and threads.
        probe=http_answer("/health", unix=probe),
        # Any answer: a full disk is mended by no new start, and reads are served on it.
        ready=http_answer("/ready", unix=probe),
        stop_phase=PHASE_API,
        pass_fds=(place.api_fd,) if place.api_fd >= 0 else (),
    )


def _simulator(place: Place) -> ProcessSpec:
    assert place.simulator is not None  # noqa: S101 - asked by the caller
    return ProcessSpec(
        name="simulator",
        command=_python(
            *("-m", "simulator", *place.simulator, "--port", str(place.simulator_port))
        ),
        probe=http_answer("/control/clock", port=place.simulator_port),
        stop_phase=PHASE_REST,
    )


def _flower(settings: Settings) -> ProcessSpec:
    queues = settings.flower_broker_api
    return ProcessSpec(
        name="flower",
        command=_python(
            *flower_arguments("127.0.0.1", settings.flower_port, settings.flower_max_tasks)
        ),
        environment={
            "TIDEMARK_BROKER_URL": settings.flower_broker_url,
            # It needs neither, so it gets neither.
            "TIDEMARK_DATABASE_URL": "",
            "TIDEMARK_REDIS_URL": "",
            # nginx asks for the password; Flower listens on loopback.
            "FLOWER_UNAUTHENTICATED_API": "true",
            # By the environment: a command line, with its password, is everyone's to read.
            **({"FLOWER_BROKER_API": queues} if queues else {}),
        },
        probe=http_answer("/flower/healthcheck", port=settings.flower_port),
        stop_phase=PHASE_REST,
    )
