"""A full stack in a temporary directory: private services, supervised processes, simulator."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.cli.full import FullRuntime
from app.cli.services.manager import Services
from app.config import Settings, load_settings
from app.logs import configure_logs
from app.wiring import Container
from benchmarks.support.statistics import cpu_seconds

_SERVICES: Final = ("TIDEMARK_DATABASE_URL", "TIDEMARK_BROKER_URL", "TIDEMARK_REDIS_URL")
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack.

    Attributes:
        directory: everything that it keeps, with the processes' logs in ``var/log``.
    """

    directory: Path
    services: Services
    runtime: FullRuntime

    @property
    def parts(self) -> Container:
        """The parts, for the one who drives it."""
        return self.runtime.container

    @property
    def settings(self) -> Settings:
        """Settings of every process."""
        return self.parts.settings

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time so far, by process; strategy hosts count with their worker."""
        roots = {each.name: each.pid for each in self.runtime.supervisor.states if each.pid}
        for each in self.services.status():
            if each.pid:
                roots[each.name] = each.pid
        return cpu_seconds(roots)

    def statements(self) -> dict[str, int]:
        """The database's own counters of statements so far, by kind, commits among them."""
        with self.parts.engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Com_select', "
                "'Com_insert', 'Com_update', 'Com_commit', 'Com_rollback', 'Com_admin_commands')"
            ).all()
        return {str(name).lower(): int(value) for name, value in rows}


@contextmanager
def services_in(directory: Path) -> Iterator[tuple[Services, dict[str, str]]]:
    """Private MariaDB, RabbitMQ and Redis, and the settings that lead to them."""
    services = Services(directory / "services", detached=False)
    try:
        given = services.start()
        yield services, {name.removeprefix("TIDEMARK_").lower(): given[name] for name in _SERVICES}
    finally:
        services.stop()


@contextmanager
def running_stack(
    simulator: Callable[[Path], Sequence[str]], only: Sequence[str] = (), **overrides: object
) -> Iterator[Stack]:
    """A full stack, every process up.

    Args:
        simulator: options of the simulated exchange, whose files may lie in the directory.
        only: the processes to run; empty for all.
        overrides: settings.
    """
    with (
        tempfile.TemporaryDirectory(prefix="tidemark-bench-", ignore_cleanup_errors=True) as name,
        _home_in(name) as directory,
    ):
        options = simulator(directory)
        with services_in(directory) as (services, urls):
            settings = load_settings(
                **{
                    "data_dir": directory / "var",
                    "api_port": 0,
                    "log_level": "WARNING",
                    # Beside the budget of a real venue, the market moves 60 times as fast.
                    "venue_weight": 1_000_000,
                    **urls,
                    **overrides,
                }
            )
            configure_logs(settings.log_level, settings.log_format)
            with FullRuntime(settings, options, only=only) as runtime:
                runtime.wait_until_up()
                yield Stack(directory, services, runtime)


@contextmanager
def _home_in(name: str) -> Iterator[Path]:
    """No ``.env`` of the checkout speaks for what is measured."""
    before = os.environ.get("TIDEMARK_HOME")
    os.environ["TIDEMARK_HOME"] = name
    try:
        yield Path(name)
    finally:
        if before is None:
            del os.environ["TIDEMARK_HOME"]
        else:
            os.environ["TIDEMARK_HOME"] = before


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return when the condition holds.

    Raises:
        TimeoutError: it did not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(_POLL_S)


def load_average() -> float:
    """The machine's load over the last minute."""
    return round(os.getloadavg()[0], 2)
