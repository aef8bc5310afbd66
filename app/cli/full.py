"""The full stack on one machine: separate processes over MySQL, RabbitMQ and Redis, supervised.

The supervisor holds the data directory, migrates the database, listens for the API and keeps
the processes of `supervision.table` running. With ``--only`` it keeps some of them, beside other
supervisors on other machines.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from app.cli.locking import RuntimeLock
from app.cli.record import address_of
from app.cli.services.machine import free_port
from app.cli.services.manager import ENV_FILE, read_env
from app.cli.supervision.supervisor import Listener, Signals, Supervisor
from app.cli.supervision.table import KEY_READERS, Place, selected, table
from app.config import Settings, given_names, load_settings
from app.core.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from rich.console import Console

_NEEDED: Final = {
    "database_url": "MySQL or MariaDB",
    "broker_url": "RabbitMQ",
    "redis_url": "Redis",
}
_READY_S: Final = 180.0
_POLL_S: Final = 0.1
# A Unix socket's path has 107 bytes; the longest name in the directory is below 30.
_SOCKET_PATH: Final = 75


def take_services_env(data_dir: Path) -> Path | None:
    """Let ``services/env`` speak for settings that neither environment nor ``.env`` gives.

    Returns:
        the file, where there is one.
    """
    path = data_dir.absolute() / "services" / ENV_FILE
    found = read_env(path)
    given = given_names()
    for name, value in found.items():
        if name not in given:
            os.environ[name] = value
    return path if found else None


def full_settings(**overrides: object) -> Settings:
    """The settings of a full stack.

    Raises:
        InvalidInput: one that leads to a service is missing; the sentence says what to run.
    """
    take_services_env(load_settings(**overrides).data_dir)
    settings = load_settings(**overrides)
    missing = [
        f"{what} (TIDEMARK_{name.upper()})"
        for name, what in _NEEDED.items()
        if not _is_networked(str(getattr(settings, name)))
    ]
    if missing:
        raise InvalidInput(
            f"the full stack needs {', '.join(missing)}; start private ones with `make services`, "
            "or set these to your own"
        )
    return settings


class FullRuntime:
    """The full stack's processes under supervision.

    Args:
        simulator: options of a simulated exchange of our own; None starts none.
        only: names of the processes to run; empty for all.
        listener: told of each change of a process.
        lock: of the data directory, where the caller holds it already.

    Attributes:
        container: the parts, for the one who drives the stack.
        api_url: where the API listens; empty where it is not among ``only``.
        new_token: the API token where this start has made it, else None.
    """

    title: ClassVar[str] = "full stack"

    def __init__(
        self,
        settings: Settings,
        simulator: Sequence[str] | None,
        *,
        only: Sequence[str] = (),
        listener: Listener = lambda _name, _what: None,
        lock: RuntimeLock | None = None,
    ) -> None:
        self._settings = settings
        self._lock = lock
        # With --only, what is not named is somebody else's: a simulator elsewhere is told by
        # TIDEMARK_SIMULATOR_URL, and nobody here listens for an API that runs elsewhere.
        self._simulator = simulator if not only or "simulator" in only else None
        self._serves = not only or any(name.partition(":")[0] == "api" for name in only)
        self._only = only
        self._listener = listener
        self._stack = ExitStack()
        self._ending = threading.Event()
        self._hurry: Callable[[], bool] = lambda: False
        self._error: BaseException | None = None
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

    def hurry_if(self, asked: Callable[[], bool]) -> None:
        """Kill instead of draining once ``asked`` says so while stopping."""
        self._hurry = asked

    def failure(self) -> str | None:
        """Why the runtime can no longer do its work, in one sentence; None while it can."""
        if self._thread.is_alive() or self._ending.is_set():
            return None
        return f"the supervisor has failed ({type(self._error).__name__}: {self._error})"

    def wait_until_up(self, seconds: float = _READY_S) -> None:
        """Return when every process is ready.

        Raises:
            Unavailable: some are not in time; the sentence names them with their reasons.
        """
        deadline = time.monotonic() + seconds
        while not self.supervisor.all_up():
            failed = self.failure()
            if failed is None and time.monotonic() > deadline:
                late = [each for each in self.supervisor.states if each.state != "up"]
                failed = "; ".join(f"{each.name}: {each.reason or each.state}" for each in late)
            if failed is not None:
                raise Unavailable(f"the full stack did not start: {failed}")
            time.sleep(_POLL_S)

    def _start(self, stack: ExitStack) -> None:
        from app.adapters.celery_queue import CeleryQueue, make_celery
        from app.cli.serve import require_flower_port
        from app.cli.up import ensure_token
        from app.repositories.migrating import upgrade_alone
        from app.wiring import Container
        from app.wiring.vault import open_vault

        settings = self._settings
        record = address_of(settings)
        lock = self._lock or stack.enter_context(RuntimeLock(settings.data_dir, record))
        lock.describe(record=record)
        port = free_port() if self._simulator is not None else 0
        if self._simulator is not None:
            settings = settings.model_copy(update={"simulator_url": f"http://127.0.0.1:{port}"})
        self.container = Container(
            settings, CeleryQueue(make_celery(settings.broker_url)), can_read_keys=False
        )
        stack.callback(self.container.close)
        upgrade_alone(self.container.engine)
        self.container.world.begin()
        self.container.catalogue.sync_builtins()
        self.new_token = ensure_token(self.container)
        handle = self._listen(stack) if self._serves else -1
        run_dir = stack.enter_context(_RunDir(settings.data_dir))
        place = Place(run_dir, handle, self._simulator, port)
        common = environment_of(settings)
        rows = [
            replace(each, environment={**common, **each.environment})
            for each in selected(table(settings, place), self._only)
        ]
        if any(each.name == "flower" for each in rows):
            require_flower_port(settings.flower_port)
        if {each.name for each in rows} & KEY_READERS:
            # Made before the API asks for its public half.
            open_vault(settings.vault_key_path, can_read=True)
        self.supervisor = Supervisor(rows, settings.data_dir, self._listener)
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._thread.start()
        stack.callback(self._end)
        lock.describe(
            api_url=self.api_url,
            simulator_url=settings.simulator_url,
            services_env=str(settings.data_dir / "services" / ENV_FILE),
            record=record,
        )

    def _listen(self, stack: ExitStack) -> int:
        """Listen for the API's processes, which inherit the socket; its file descriptor."""
        from app.cli.serve import listen_for_api

        listener, self.api_url = listen_for_api(self._settings)
        stack.callback(listener.close)
        return listener.fileno()

    def _supervise(self) -> None:
        """The supervisor's thread: starts and stops everything, so it outlives all of it."""
        try:
            self.supervisor.run(self._ending.is_set)
        except BaseException as error:  # noqa: BLE001 - told by failure(), to whoever waits
            self._error = error
        finally:
            self.supervisor.stop(self._hurry)

    def _end(self) -> None:
        self._ending.set()
        self._thread.join()


class _RunDir:
    """A directory for heartbeats and sockets, whose path is short enough for a socket's."""

    def __init__(self, data_dir: Path) -> None:
        self._wanted = data_dir.absolute() / "run"

    def __enter__(self) -> Path:
        if len(os.fsencode(self._wanted)) > _SOCKET_PATH:
            self._path = Path(tempfile.mkdtemp(prefix="tidemark-run-"))
        else:
            self._path = self._wanted
            shutil.rmtree(self._path, ignore_errors=True)
            self._path.mkdir(mode=0o700)
        return self._path

    def __exit__(self, *_exc: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


def environment_of(settings: Settings) -> dict[str, str]:
    """Settings as the environment of a child process, wherever that is started."""
    return {f"TIDEMARK_{name.upper()}": _text(value) for name, value in settings}


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What ``tidemark up --full`` was asked for."""

    port: int | None
    simulator: bool
    only: Sequence[str]


def run_full(options: UpOptions, simulator_options: Callable[[Settings], list[str]]) -> int:
    """Run the full stack until Ctrl-C or SIGTERM; the exit code.

    Raises:
        InvalidInput: the settings do not fit.
        Conflict: another runtime holds the data directory.
        Unavailable: a service does not answer, or the supervisor failed.
        WrongWorld: the record holds the market of the other world.
    """
    from rich.console import Console

    from app.logs import configure_logs

    given: dict[str, object] = {} if options.port is None else {"api_port": options.port}
    settings = full_settings(**given)
    configure_logs(settings.log_level, settings.log_format)
    console = Console(stderr=True, highlight=False)
    _require_services(settings)
    own = options.simulator and not settings.simulator_url
    runtime = FullRuntime(
        settings,
        simulator_options(settings) if own else None,
        only=options.only,
        listener=_Lines(console),
    )
    with Signals() as signals:
        runtime.hurry_if(signals.hurry)
        with runtime:
            _announce(console, runtime)
            failure = None
            while not signals.ended() and failure is None:
                time.sleep(_POLL_S)
                failure = runtime.failure()
            console.print("Stopping: the running tasks are finished; Ctrl-C again kills")
    if failure is not None:
        raise Unavailable(failure)
    return 0


def _require_services(settings: Settings) -> None:
    """Nothing, where database, broker and cache answer.

    Raises:
        Unavailable: with one sentence for each that does not.
    """
    from app.adapters.celery_queue import NoQueue
    from app.cli.probes import services
    from app.services.doctor import examine
    from app.wiring import Container

    container = Container(settings, NoQueue())
    try:
        wrong = [each.detail for each in examine(services(container)) if not each.ok]
    finally:
        container.close()
    if wrong:
        raise Unavailable("; ".join(wrong) + "; private services are started by `make services`")


class _Lines:
    """One line on the terminal per event."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, name: str, what: str) -> None:
        at = time.strftime("%H:%M:%S")
        # A terminal that is gone or a file on a full disk must not end the supervisor.
        with contextlib.suppress(OSError):
            self._console.print(f"{at}  {name:<18} {what}", highlight=False, markup=False)


def _announce(console: Console, runtime: FullRuntime) -> None:
    settings = runtime.container.settings
    if runtime.api_url:
        console.print(f"API          {runtime.api_url}/api/v1")
    console.print(f"Exchange     {settings.simulator_url or 'the real one'}")
    console.print(f"Data, logs   {settings.data_dir}, log/ in it")
    console.print("State        tidemark system status")
    console.print(f"Token        in {settings.data_dir / 'api-token'}")
    if runtime.new_token is not None:
        console.print(f"New token    {runtime.new_token}  (shown once)")
    console.print("Stop         Ctrl-C")


def _is_networked(url: str) -> bool:
    return url.partition("://")[0] not in ("", "memory", "sqlite") and "://" in url


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.value if isinstance(value, Enum) else value)
