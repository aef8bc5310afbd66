"""One native server: set up in its directory, started, asked, stopped, killed.

Attached, it ends with the process that started it, even if that is killed (see `reaper`).
Detached, it stays when its starter leaves, and any later process finds it by ``process.json``.
It runs as root as well as an ordinary user.
"""

from __future__ import annotations

import abc
import contextlib
import json
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Self

from app.cli.services import machine
from app.cli.services.files import write_whole
from app.cli.services.machine import PortTakenError, ServerError
from app.cli.services.processes import Processes, reaper
from app.cli.services.reaper import session_members
from app.core.errors import InvalidInput

USER: Final = "tidemark"
_ENDPOINT: Final = "endpoint.json"
_POLL_S: Final = 0.02
# A chosen port may be taken before the server has it; three in a row are not bad luck.
_PORT_ATTEMPTS: Final = 3
_PORT_TAKEN: Final = re.compile(r"address already in use|eaddrinuse", re.IGNORECASE)
# Words of the lines that tell why; after them a program may have much to say of where to ask.
_TELLING: Final = re.compile(r"\b(error|fatal|cannot|can't|denied|no space)\b", re.IGNORECASE)
_TOLD_LINES: Final = 6
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


class NativeServer(abc.ABC):
    """One server process of our own; subclasses say how it is set up, started and asked."""

    title: ClassVar[str]
    program: ClassVar[str]
    ports_needed: ClassVar[Sequence[str]] = ("port",)
    passwords_needed: ClassVar[Sequence[str]] = ("admin",)
    start_seconds: ClassVar[float] = 60.0
    stop_seconds: ClassVar[float] = 30.0

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int | None = None,
        detached: bool = False,
        log: Path | None = None,
    ) -> None:
        """Without a directory the server lives in a temporary one, removed by `close`.

        With one, data, passwords and, while they are free, ports last from run to run.

        Args:
            port: where clients shall find it; a free one where None.
            detached: it outlives this process, and is found again by its directory.
            log: where its output goes; ``server.log`` in its directory where None.
        """
        self._keep = directory is not None
        self._directory = directory.absolute() if directory is not None else None
        self._wanted_port = port
        self._log = log
        self._processes = Processes(self.title, detached=detached)
        if self._directory is not None:
            self._processes.place(self._directory, self.log)
        self._ports: dict[str, int] = {}
        self._passwords: dict[str, str] = {}
        self._served = False

    # -- What a server is ----------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Where its administrator finds it, password included."""

    @abc.abstractmethod
    def _configure(self) -> None:
        """Write what it needs before each start; initialise its data before the first."""

    @abc.abstractmethod
    def _command(self) -> list[str]:
        """The command line, without secrets: those are everyone's to read."""

    @abc.abstractmethod
    def _answers(self) -> bool:
        """Whether a client would be served now."""

    def _environment(self) -> Mapping[str, str]:
        return {}

    # -- Where it is ---------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """Data, configuration and log of this server."""
        if self._directory is None:
            raise ServerError(f"{self.title} has not been started.")
        return self._directory

    @property
    def port(self) -> int:
        """The port clients connect to; the same over every restart."""
        return self._ports["port"]

    @property
    def ports(self) -> Mapping[str, int]:
        """Every port it listens on, by what it is for."""
        return dict(self._ports)

    @property
    def password(self) -> str:
        """The administrator's."""
        return self._passwords["admin"]

    @property
    def pid(self) -> int:
        """The process that `kill9` kills, which leads its own session."""
        found = self._processes.pid("server")
        if found is None:
            raise ServerError(f"{self.title} is not running.")
        return found

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._processes.pid("server") is not None

    @property
    def orphans(self) -> list[int]:
        """Processes at work in its directory although the one that led them is gone."""
        return [pid for each in self._processes.orphans() for pid in session_members(each)]

    @property
    def log(self) -> Path:
        """All that the server has printed."""
        return self._log or self.directory / "server.log"

    # -- Life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, the first time or again, and return when it serves clients."""
        self._prepare()
        if self.running:
            self._wait(self._answers, 0)
            return
        self._end()
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._launch()
            except PortTakenError:
                self._end()
                # Clients know the port of a server that has served before.
                if attempt == _PORT_ATTEMPTS or self._served or self._wanted_port is not None:
                    raise
                self._choose_ports()
            except BaseException:
                self._end()
                raise
            else:
                self._served = True
                return

    def serves(self) -> bool:
        """Whether it runs and answers now."""
        return self.running and self._load() and self._answers()

    def stop(self) -> None:
        """End it in good order; its data stay for the next `start`."""
        self._processes.stop("server", self.stop_seconds)
        self._end()

    def kill9(self) -> None:
        """Kill it and all its children, as a power cut would."""
        self._processes.kill("server")

    def close(self) -> None:
        """Stop it, and remove its directory if that was a temporary one."""
        self.stop()
        if self._directory is not None and not self._keep:
            shutil.rmtree(self._directory, ignore_errors=True)
            reaper.forget_directory(self._directory)
            self._directory = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # -- Its directory -------------------------------------------------------------------------

    def _prepare(self) -> None:
        machine.find_program(self.title, self.program)
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix=f"tidemark-{self.program}-"))
            reaper.watch_directory(self._directory)
            self._processes.place(self._directory, self.log)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._ports:
            return
        known = self._load()
        if known and self.running:
            self._make_passwords()
            return
        # What a killed server left, such as RabbitMQ's port mapper, holds its ports; and one
        # whose endpoint is lost takes neither a new port nor a new password while it runs.
        self._end()
        if known and self._ports_fit():
            self._make_passwords()
            return
        self._choose_ports()

    def _ports_fit(self) -> bool:
        if set(self._ports) != set(self.ports_needed):
            return False
        wanted = self._wanted_port in (None, self._ports.get("port"))
        return wanted and all(machine.port_is_free(port) for port in self._ports.values())

    def _load(self) -> bool:
        """Read ports and passwords of an earlier run; whether there was one.

        Raises:
            InvalidInput: the file is damaged.
        """
        if self._ports:
            return True
        if self._directory is None:
            return False
        path = self._directory / _ENDPOINT
        try:
            endpoint = json.loads(path.read_text())
            ports, passwords = dict(endpoint["ports"]), dict(endpoint["passwords"])
        except FileNotFoundError:
            return False
        except (ValueError, KeyError, TypeError):
            raise InvalidInput(
                f"{path} is damaged; delete it and run `tidemark services start`, which keeps the "
                "data and makes new passwords"
            ) from None
        self._ports, self._passwords = ports, passwords
        return True

    def _make_passwords(self) -> None:
        """Those that an earlier release did not need."""
        if set(self.passwords_needed) - set(self._passwords):
            self._write_endpoint()

    def _choose_ports(self) -> None:
        self._ports = {name: machine.free_port() for name in self.ports_needed}
        if self._wanted_port is not None:
            self._ports["port"] = self._wanted_port
        self._write_endpoint()

    def _write_endpoint(self) -> None:
        for name in self.passwords_needed:
            self._passwords.setdefault(name, secrets.token_hex(16))
        endpoint = {"ports": self._ports, "passwords": self._passwords}
        self._write(_ENDPOINT, json.dumps(endpoint))

    def _write(self, name: str, text: str, mode: int = 0o600) -> Path:
        return write_whole(self.directory / name, text, mode)

    # -- Its processes -------------------------------------------------------------------------

    def _end(self) -> None:
        """Leave nothing of it running."""
        self._processes.end()

    def _launch(self) -> None:
        self._configure()
        printed = self.log.stat().st_size if self.log.exists() else 0
        self._processes.spawn("server", self._command(), self._environment())
        self._wait(self._answers, printed)

    def _wait(self, ready: Callable[[], bool], printed: int) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not ready():
            ended = not self.running
            if ended or time.monotonic() > deadline:
                why = "ended" if ended else f"did not answer for {self.start_seconds:.0f} s"
                raise self._failure(f"{self.title} {why} at its start", printed)
            time.sleep(_POLL_S)

    def _failure(self, what: str, printed: int) -> ServerError:
        """The error, with what was logged from the first reason on: a temporary log is soon gone.

        Where no line sounds like one, the last ones.
        """
        text = ""
        with contextlib.suppress(FileNotFoundError):
            text = self.log.read_bytes()[printed:].decode(errors="replace")
        lines = [line.strip() for line in _COLOURS.sub("", text).splitlines() if line.strip()]
        error = PortTakenError if _PORT_TAKEN.search(text) else ServerError
        reasons = (number for number, line in enumerate(lines) if _TELLING.search(line))
        first = next(reasons, max(0, len(lines) - _TOLD_LINES))
        return error(f"{what}; its log says: {' | '.join(lines[first : first + _TOLD_LINES])}")
