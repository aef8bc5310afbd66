"""The embedded runtime: everything in one process and its children, from packages alone.

Simulator (a child process), worker threads and beat over ``memory://``, the API. Stopping goes
the other way round, so that nothing loses what it stands on.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self

import structlog

from app.cli.locking import RuntimeLock
from app.cli.record import address_of
from app.config import Settings
from app.core.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from rich.console import Console

    from app.wiring import Container

_log = structlog.get_logger(__name__)
_ROOT: Final = Path(__file__).resolve().parents[2]
_START_S: Final = 30.0
_STOP_S: Final = 10.0
# How often the runtime looks whether its children live.
_WATCH_S: Final = 1.0
# Each runs in a child process of its own; two keep both cores of a small machine busy.
_BACKTESTS: Final = 2


class SimulatorChild:
    """The simulated exchange as a child process, which ends with its parent.

    Attributes:
        url: where it listens, once entered.
    """

    def __init__(self, options: Sequence[str], log: Path) -> None:
        self._options = list(options)
        self._log_path = log
        self.url = ""

    def __enter__(self) -> Self:
        # A file, not a pipe: nobody reads it while the child runs, and a full pipe blocks.
        self._log = self._log_path.open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "simulator",
                *self._options,
                "--parent-pid",
                str(os.getpid()),
            ],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            # Ctrl-C goes to the runtime alone, which stops its children in order.
            start_new_session=True,
        )
        self.url = self._ready()["url"]
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._log.close()

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def _ready(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101
        readable, _, _ = select.select([self._process.stdout], [], [], _START_S)
        line = self._process.stdout.readline() if readable else ""
        if not line:
            self._process.kill()
            self._process.communicate()
            self._log.seek(0)
            said = self._log.read().strip().splitlines()
            self._log.close()
            raise Unavailable(
                "the simulated exchange did not start: "
                + (said[-1] if said else f"no answer within {_START_S:.0f} s")
            )
        ready: dict[str, Any] = json.loads(line)
        return ready


class EmbeddedRuntime:
    """The whole stack in one process.

    Args:
        simulator: options of the simulator child; None starts none.
        api: whether to serve the HTTP API.
        lock: of the data directory, where the caller holds it already.

    Attributes:
        container: every part, once entered.
        api_url: where the API listens; empty without one.
        new_token: the API token where this start has made it, else None.
    """

    title: ClassVar[str] = "embedded"

    def __init__(
        self,
        settings: Settings,
        simulator: Sequence[str] | None,
        *,
        api: bool = True,
        lock: RuntimeLock | None = None,
    ) -> None:
        self._settings = settings
        self._lock = lock
        self._simulator = simulator
        self._api = api
        self._stack = ExitStack()
        self._child: SimulatorChild | None = None
        self.api_url = ""
        self.new_token: str | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def failure(self) -> str | None:
        """Why the runtime can no longer do its work, in one sentence; None while it can."""
        if self._child is not None and not self._child.is_alive:
            return (
                "the simulated exchange has ended; its log is "
                f"{self._settings.data_dir / 'simulator.log'}"
            )
        return None

    def _start(self, stack: ExitStack) -> None:
        from app.adapters.celery_queue import CeleryQueue
        from app.wiring import Container
        from workers import runtime as worker_runtime
        from workers.celery_app import build_celery
        from workers.streams import StreamsThread

        settings = self._settings
        record = address_of(settings)
        lock = self._lock or stack.enter_context(RuntimeLock(settings.data_dir, record))
        lock.describe(record=record)
        _prepare_record(settings, own_simulator=self._simulator is not None)
        if self._simulator is not None:
            log = settings.data_dir / "simulator.log"
            child = self._child = stack.enter_context(SimulatorChild(self._simulator, log))
            settings = settings.model_copy(update={"simulator_url": child.url})
        celery = build_celery(settings)
        celery.set_default()
        self.container = Container(settings, CeleryQueue(celery))
        stack.callback(self.container.close)
        # The lock proves that no other runtime lives: what its predecessor held is free.
        self.container.jobs.free_leases()
        self.container.catalogue.sync_builtins()
        # Before any worker: what the last runtime has sent may have been filled meanwhile.
        self.container.gate.require_reconciliation("the runtime was started")
        self.new_token = ensure_token(self.container)
        worker_runtime.install(self.container)
        stack.callback(worker_runtime.install, None)
        self.container.start_background()
        crew: list[EmbeddedWorker | _Beat] = []
        stack.callback(_stop_together, crew)
        for queues, threads in pools(settings.worker_threads):
            crew.append(EmbeddedWorker(celery, queues, threads).start())
        # Before the workers are asked to stop: what runs in a strategy host would hold them.
        stack.callback(self.container.interrupt)
        stack.callback(StreamsThread(self.container).start().stop)
        crew.append(_Beat(celery).start())
        if self._api:
            server = _ApiServer(self.container)
            stack.callback(server.stop)
            self.api_url = server.start()
        lock.describe(api_url=self.api_url, simulator_url=settings.simulator_url, record=record)


def _prepare_record(settings: Settings, *, own_simulator: bool) -> None:
    """Bring the record to this release's schema, and see that it is of the world to be started.

    Raises:
        WrongWorld: it is of the other; nothing was started.
    """
    from app.adapters.celery_queue import NoQueue
    from app.repositories.migrating import upgrade_alone
    from app.services.worlds import RecordWorld
    from app.wiring import Container

    container = Container(settings, NoQueue())
    try:
        upgrade_alone(container.engine)
        simulated = own_simulator or bool(settings.simulator_url)
        RecordWorld(container.units, simulated=simulated).begin()
    finally:
        container.close()


def ensure_token(container: Container) -> str | None:
    """Make the API's first token and keep it in ``api-token``; None where one exists.

    Where the file holds one of another record, it holds for this one too: embedded and the full
    stack take turns in one directory, and neither may lock its user out of the other.
    """
    if container.tokens.exists():
        return None
    path = container.settings.data_dir / "api-token"
    if path.exists():
        kept = path.read_text(encoding="utf-8", errors="replace").strip()
        if container.tokens.adopt("first start", kept):
            return None
    token = container.tokens.create("first start")
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(token + "\n")
    return token


def pools(threads: int) -> list[tuple[list[str], int]]:
    """Queues that share threads. Orders never wait behind a backtest or a download."""
    return [
        (["orders", "maintenance", "alerts"], threads),
        (["collection", "strategies"], threads),
        (["backtests"], _BACKTESTS),
    ]


class EmbeddedWorker:
    """Celery's worker on a thread of ours.

    ``celery.worker.WorkController`` is the worker without the command line's signal handlers,
    which only a main thread may install.
    """

    def __init__(self, celery: Any, queues: list[str], threads: int) -> None:
        self._ready = threading.Event()
        self._controller = _controller_class()(
            app=celery,
            pool_cls="threads",
            concurrency=threads,
            queues=queues,
            hostname=f"{queues[0]}@embedded",
            ready_callback=lambda _consumer: self._ready.set(),
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        self._thread = threading.Thread(
            target=self._controller.start, name=f"worker-{queues[0]}", daemon=True
        )

    def start(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise Unavailable("the embedded worker did not start within 30 s")
        return self

    def stop(self) -> None:
        """Let running tasks end, but not for ever: rows bring back what is cut off."""
        stopper = threading.Thread(target=self._controller.stop, daemon=True)
        stopper.start()
        stopper.join(_STOP_S)
        self._thread.join(_STOP_S if not stopper.is_alive() else 0)


def _controller_class() -> Any:
    """Celery's worker that leaves the sockets of the process alone when it stops."""
    from celery.worker import WorkController

    class Controller(WorkController):
        def _shutdown(self, warm: bool = True) -> None:
            # Celery's own does this under a default timeout of 5 s for new sockets of the whole
            # process. Of workers that stop at once, one puts back what another one had set, and
            # it stays. Sockets to a broker, which it is meant for, there are none here.
            if self.blueprint is not None:
                self.blueprint.stop(self, terminate=not warm)
                self.blueprint.join()

    return Controller


class _Beat:
    """Celery's beat on a thread; with ``-B`` it would be a process of its own, and mute."""

    def __init__(self, celery: Any) -> None:
        from celery.beat import EmbeddedService

        self._service: Any = EmbeddedService(celery, thread=True)

    def start(self) -> Self:
        self._service.start()
        return self

    def stop(self) -> None:
        self._service.stop()


def _stop_together(crew: Sequence[EmbeddedWorker | _Beat]) -> None:
    """Stop all at once: a worker looks up every two seconds, and beat every second."""
    stoppers = [threading.Thread(target=each.stop, name="stopper") for each in crew]
    for each in stoppers:
        each.start()
    for each in stoppers:
        each.join()


class _ApiServer:
    """uvicorn on a thread, one process: queue and bus live here too."""

    def __init__(self, container: Any) -> None:
        import uvicorn

        from app.main import create_app

        self._settings = container.settings
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(container),
                log_config=None,
                access_log=False,
                lifespan="off",
                limit_concurrency=2_000,
                timeout_graceful_shutdown=5,
            )
        )
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Serve; returns the URL.

        Raises:
            Unavailable: the address cannot be listened on, or the server did not start.
        """
        from app.cli.serve import listen_for_api

        listener, url = listen_for_api(self._settings)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="api", daemon=True
        )
        self._thread.start()
        pause = threading.Event()
        for _ in range(int(_START_S * 100)):
            if self._server.started or not self._thread.is_alive():
                break
            pause.wait(0.01)
        if not self._server.started:
            raise Unavailable("the API did not start; the log above says why")
        return url

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_S)


def run_up(*, port: int | None, simulator: bool, full: bool, only: Sequence[str] = ()) -> int:
    """Start the embedded runtime, or the full stack, and stay until Ctrl-C or SIGTERM.

    Returns:
        the exit code.

    Raises:
        InvalidInput: the settings do not fit.
        Conflict: another runtime holds the data directory.
        WrongWorld: the record holds the market of the other world.
    """
    from rich.console import Console

    from app.config import load_settings
    from app.logs import configure_logs

    if full:
        from app.cli.full import UpOptions, run_full

        return run_full(UpOptions(port, simulator, only), _market_options)
    if only:
        raise InvalidInput("--only chooses among the processes of --full")
    settings = load_settings(**({} if port is None else {"api_port": port}))
    if not settings.is_embedded:
        raise InvalidInput(
            "TIDEMARK_BROKER_URL names a broker, which embedded does not use; add --full, or "
            "unset it"
        )
    configure_logs(settings.log_level, settings.log_format)
    console = Console(stderr=True, highlight=False)
    own = simulator and not settings.simulator_url
    with EmbeddedRuntime(settings, _market_options(settings) if own else None) as runtime:
        _announce(console, runtime)
        failure = wait_for_end(runtime)
        console.print("Stopping")
    if failure is not None:
        raise Unavailable(failure)
    return 0


class Runtime(Protocol):
    """A running stack, embedded or full."""

    title: ClassVar[str]
    container: Container
    api_url: str

    def failure(self) -> str | None:
        """Why it can no longer do its work, in one sentence; None while it can."""
        ...


def wait_for_end(runtime: Runtime) -> str | None:
    """Return at Ctrl-C or SIGTERM, or with the reason why the runtime cannot go on."""
    end = threading.Event()
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in kept:
        signal.signal(number, lambda _number, _frame: end.set())
    try:
        while not end.wait(_WATCH_S):
            failure = runtime.failure()
            if failure is not None:
                return failure
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    return None


def _market_options(settings: Settings) -> list[str]:
    """A market that runs with the wall clock and goes on where it was."""
    return ["--clock", "running", "--state", str(settings.simulator_journal)]


def _announce(console: Console, runtime: EmbeddedRuntime) -> None:
    settings = runtime.container.settings
    venue = settings.simulator_url or "the real one"
    console.print(f"API          {runtime.api_url}/api/v1")
    if settings.api_docs:
        console.print(f"Docs         {runtime.api_url}/docs")
    console.print(f"Exchange     {venue}")
    console.print(f"Data         {settings.data_dir}")
    console.print(f"Token        in {settings.data_dir / 'api-token'}")
    if runtime.new_token is not None:
        console.print(f"New token    {runtime.new_token}  (shown once)")
    console.print("Stop         Ctrl-C")
