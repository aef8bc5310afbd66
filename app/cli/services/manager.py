"""The three servers of one installation, kept in ``var/services`` and running by themselves.

``env`` in that directory holds the settings that lead to them, passwords included, and is its
owner's alone. The administrators' passwords stay in each server's own directory.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.cli.services.machine import ServerError
from app.cli.services.mariadb import MariaDBServer
from app.cli.services.rabbitmq import WatchedRabbitMQServer
from app.cli.services.redis import RedisServer
from app.cli.services.server import NativeServer

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
            ServerError: one is not installed or did not start.
        """
        with self._alone():
            (self._directory / "log").mkdir(mode=0o700, exist_ok=True)
            # RabbitMQ takes ten seconds, the others one: side by side they take ten.
            with ThreadPoolExecutor(len(self._servers)) as pool:
                for started in [pool.submit(each.start) for each in self._servers.values()]:
                    started.result()
            settings = self._settings()
            self._write_env(settings)
            return settings

    def stop(self) -> None:
        """Stop what runs, in good order; the data stay."""
        with self._alone(), ThreadPoolExecutor(len(self._servers)) as pool:
            for stopped in [pool.submit(each.stop) for each in self._servers.values()]:
                stopped.result()

    def destroy(self) -> None:
        """Stop the servers and delete their data, passwords and logs for good."""
        self.stop()
        shutil.rmtree(self._directory)

    def status(self) -> list[ServiceState]:
        """How each server is now."""
        return [_state(name, server) for name, server in self._servers.items()]

    def _settings(self) -> dict[str, str]:
        known = read_env(self.env_file).get("TIDEMARK_DATABASE_URL", "")
        password = known.partition("//")[2].partition("@")[0].partition(":")[2]
        database = self.mariadb.create_application(SCHEMA, password or secrets.token_hex(16))
        return {
            "TIDEMARK_DATABASE_URL": database,
            "TIDEMARK_BROKER_URL": self.rabbitmq.app_url,
            "TIDEMARK_REDIS_URL": self.redis.url,
            "TIDEMARK_FLOWER_BROKER_URL": self.rabbitmq.flower_url,
            "TIDEMARK_FLOWER_BROKER_API": self.rabbitmq.flower_api,
        }

    def _write_env(self, settings: Mapping[str, str]) -> None:
        beside = self.env_file.with_suffix(".new")
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())
        beside.replace(self.env_file)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the directory against a second command."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._directory / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
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


def read_env(path: Path) -> dict[str, str]:
    """The settings in a services' ``env`` file; empty where there is none."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}
