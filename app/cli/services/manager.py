"""The three servers of one installation, kept in ``var/services`` and running by themselves.

``env`` in that directory holds the settings that lead to them, passwords included, and is its
owner's alone. The administrators' passwords stay in each server's own directory.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.cli.services.files import usable, write_whole
from app.cli.services.machine import ServerError
from app.cli.services.mariadb import MariaDBServer
from app.cli.services.rabbitmq import WatchedRabbitMQServer
from app.cli.services.redis import RedisServer
from app.cli.services.server import NativeServer
from app.core.errors import InvalidInput

ENV_FILE: Final = "env"
#: Schema and database user of the application.
SCHEMA: Final = "tidemark_app"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How one server is.

    Attributes:
        state: ``running``, ``silent`` (it lives and does not answer), ``orphaned`` (the process
            that led it was killed and what that had started lives on, so that the next start or
            stop ends it) or ``stopped``.
        ports: every port it listens on while it runs, by what it is for.
    """

    name: str
    state: str
    pid: int | None
    ports: Mapping[str, int]


class Services:
    """MariaDB, RabbitMQ and Redis in one directory.

    Args:
        ports: wanted client ports by server (``mysql``, ``rabbitmq``, ``redis``).
        detached: they outlive this process; otherwise they end with it.
    """

    def __init__(
        self,
        directory: Path,
        ports: Mapping[str, int] | None = None,
        *,
        detached: bool = True,
    ) -> None:
        self._directory = directory.absolute()
        wanted = ports or {}
        logs = self._directory / "log"
        self.mariadb = MariaDBServer(
            self._directory / "mysql",
            port=wanted.get("mysql"),
            detached=detached,
            log=logs / "mysql.log",
        )
        self.rabbitmq = WatchedRabbitMQServer(
            self._directory / "rabbitmq",
            port=wanted.get("rabbitmq"),
            detached=detached,
            log=logs / "rabbitmq.log",
        )
        self.redis = RedisServer(
            self._directory / "redis",
            port=wanted.get("redis"),
            detached=detached,
            log=logs / "redis.log",
        )
        self._servers: dict[str, NativeServer] = {
            "mysql": self.mariadb,
            "rabbitmq": self.rabbitmq,
            "redis": self.redis,
        }

    @property
    def env_file(self) -> Path:
        """Settings that lead to the servers."""
        return self._directory / ENV_FILE

    def start(self) -> dict[str, str]:
        """Start what does not run, and return the settings when all of it serves.

        Raises:
            ServerError: one is not installed or did not start; then those that were stopped
                before are stopped again.
            InvalidInput: the directory cannot be used, or what it says of a server is damaged.
        """
        with self._alone():
            (self._directory / "log").mkdir(mode=0o700, exist_ok=True)
            stopped = [each for each in self._servers.values() if not each.running]
            try:
                # RabbitMQ takes ten seconds, the others one: side by side they take ten.
                _side_by_side([each.start for each in self._servers.values()])
                settings = self._settings()
                self._write_env(settings)
            except BaseException:
                # Some without the others serve nobody, and nobody would know of them.
                _side_by_side([each.stop for each in stopped])
                raise
            return settings

    def stop(self) -> None:
        """Stop what runs, in good order; the data stay.

        Raises:
            ServerError: one does not end.
            InvalidInput: the directory cannot be used.
        """
        if not self._exists():
            return
        with self._alone():
            _side_by_side([each.stop for each in self._servers.values()])

    def destroy(self) -> None:
        """Stop the servers and delete their data, passwords and logs for good.

        Raises:
            ServerError: one does not end; then all data stay.
            InvalidInput: the directory cannot be used.
        """
        self.stop()
        with usable(self._directory):
            shutil.rmtree(self._directory)

    def status(self) -> list[ServiceState]:
        """How each server is now.

        Raises:
            InvalidInput: the directory cannot be read, or what it says of a server is damaged.
        """
        if not self._exists():
            return [ServiceState(name, "stopped", None, {}) for name in self._servers]
        with usable(self._directory):
            return [_state(name, server) for name, server in self._servers.items()]

    def _exists(self) -> bool:
        """Whether the services have a directory; whatever else is in its place is told."""
        with usable(self._directory):
            try:
                next(self._directory.iterdir(), None)
            except FileNotFoundError:
                return False
        return True

    def _settings(self) -> dict[str, str]:
        known = read_env(self.env_file).get("TIDEMARK_DATABASE_URL", "")
        password = known.partition("//")[2].partition("@")[0].partition(":")[2]
        # What a running stack has been told comes first.
        database = self.mariadb.create_application(
            SCHEMA, password or self.mariadb.application_password
        )
        return {
            "TIDEMARK_DATABASE_URL": database,
            "TIDEMARK_BROKER_URL": self.rabbitmq.app_url,
            "TIDEMARK_REDIS_URL": self.redis.url,
            "TIDEMARK_FLOWER_BROKER_URL": self.rabbitmq.flower_url,
            "TIDEMARK_FLOWER_BROKER_API": self.rabbitmq.flower_api,
        }

    def _write_env(self, settings: Mapping[str, str]) -> None:
        lines = (f"{name}={value}\n" for name, value in settings.items())
        write_whole(self.env_file, "".join(lines))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the directory against a second command."""
        with usable(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (self._directory / "lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise ServerError(
                        f"another command works on the services in {self._directory}; wait for it"
                    ) from None
                yield


def _state(name: str, server: NativeServer) -> ServiceState:
    if server.running:
        state = "running" if server.serves() else "silent"
        return ServiceState(name, state, server.pid, server.ports)
    orphans = server.orphans
    if orphans:
        return ServiceState(name, "orphaned", orphans[0], {})
    return ServiceState(name, "stopped", None, {})


def _side_by_side(work: Sequence[Callable[[], None]]) -> None:
    """Do all of it at once; the first failure is raised when all of it has ended."""
    with ThreadPoolExecutor(max(1, len(work))) as pool:
        done = [pool.submit(each) for each in work]
    for each in done:
        each.result()


def read_env(path: Path) -> dict[str, str]:
    """The settings in a services' ``env`` file; empty where there is none.

    Raises:
        InvalidInput: it cannot be read.
    """
    with usable(path):
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except UnicodeDecodeError:
            raise InvalidInput(
                f"{path} is damaged; delete it and run `tidemark services start`, which writes it "
                "anew"
            ) from None
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}
