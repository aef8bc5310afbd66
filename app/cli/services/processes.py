"""The processes of one server: started, found again, ended, with all that they started."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.cli.services import machine
from app.cli.services.files import write_whole
from app.cli.services.machine import ServerError
from app.cli.services.reaper import (
    PROC,
    Reaper,
    kill_session,
    living,
    session_members,
    signal_session,
)

_POLL_S: Final = 0.02

reaper = Reaper()


class Processes:
    """The processes of a server by their role; each leads a session of its own.

    Detached ones are named in ``process.json`` of the directory, with the time of their start.
    One whose leader is gone, or that the file does not name, is found by where it works: no
    second server must start over the data of a first.
    """

    def __init__(self, title: str, *, detached: bool) -> None:
        self._title = title
        self._detached = detached
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._directory: Path | None = None
        self._log: Path | None = None

    def place(self, directory: Path, log: Path) -> None:
        """They work in this directory and print to this log."""
        self._directory, self._log = directory, log

    def spawn(self, role: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Start the process of a role, as the leader of a session."""
        assert self._directory is not None  # noqa: S101 - placed before the first start
        assert self._log is not None  # noqa: S101
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env={
                    "PATH": machine.PROGRAM_PATH,
                    "HOME": str(self._directory),
                    "TMPDIR": str(self._directory),
                    "LANG": "C.UTF-8",
                    **environment,
                },
                start_new_session=True,
            )
        self._children[role] = process
        if self._detached:
            self._remember(role, process.pid)
        else:
            reaper.watch(process.pid)

    def pid(self, role: str) -> int | None:
        """The living process of a role, ours or one that an earlier owner left running."""
        process = self._children.get(role)
        if process is not None:
            return process.pid if process.poll() is None else None
        if not self._detached:
            return None
        pid, started = self._remembered().get(role, (0, 0))
        return pid if pid and _started_at(pid) == started else None

    def orphans(self) -> list[int]:
        """Sessions at work here that no living process of a known role has started.

        A session that another one here has started is no orphan: it goes with that, and RabbitMQ
        fails where its own is ended before it.
        """
        known = {
            *(process.pid for process in self._children.values()),
            *(pid for pid, _started in self._remembered().values()),
        }
        led = {self.pid(role) for role in self._roles()} - {None}
        at_work = self._at_work(known)
        started = {
            session for session, starters in at_work.items() if starters & (led | set(at_work))
        }
        return sorted(set(at_work) - started - led)

    def stop(self, role: str, seconds: float) -> None:
        """Ask the process of a role, and what is orphaned, to end in good order, and wait."""
        leader = self.pid(role)
        sessions = [*([] if leader is None else [leader]), *self.orphans()]
        for session in sessions:
            signal_session(session, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while any(map(session_members, sessions)) and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def kill(self, role: str) -> None:
        """Kill the process of a role with all that it started.

        Raises:
            ServerError: some of it does not end.
        """
        pid = self.pid(role)
        process = self._children.get(role)
        session = process.pid if process is not None else pid
        if session is None:
            return
        self._kill_session(session)
        self._children.pop(role, None)
        if process is not None:
            process.wait()
        if self._detached:
            self._remember(role, None)
        else:
            reaper.forget(session)

    def end(self) -> None:
        """Leave nothing of the server running, whoever started it.

        Raises:
            ServerError: some of it does not end.
        """
        self._kill_orphans()  # while the record still names the sessions of dead leaders
        for role in self._roles():
            self.kill(role)
        self._kill_orphans()
        for role in self._remembered():
            self._remember(role, None)  # its number may become a stranger's

    def _kill_orphans(self) -> None:
        # What a killed one had started is an orphan then.
        while orphans := self.orphans():
            for session in orphans:
                self._kill_session(session)

    def _roles(self) -> list[str]:
        return sorted({*self._children, *self._remembered()})

    def _kill_session(self, session: int) -> None:
        left = kill_session(session)
        if left:
            raise ServerError(
                f"{self._title}'s process {', '.join(map(str, left))} was killed and does not "
                "end, as one that waits for a disk; no other is started beside it, so try again "
                "when it has gone"
            )

    def _at_work(self, known: set[int]) -> dict[int, set[int]]:
        """Sessions with a process in the directory, and the sessions that started each.

        Of sessions that are not known only those that print to the log: the number of one that
        has ended may be a stranger's by now, who works elsewhere, and a person who looks around
        in the directory does not print to the log.
        """
        if self._directory is None or self._log is None or not self._directory.is_dir():
            return {}
        here = self._directory.resolve()
        processes = {pid: (parent, session) for pid, parent, session in living()}
        found: dict[int, set[int]] = {}
        for pid, (_parent, session) in processes.items():
            try:
                if not (PROC / str(pid) / "cwd").readlink().is_relative_to(here):
                    continue
                if session in known or (PROC / str(pid) / "fd" / "1").samefile(self._log):
                    found.setdefault(session, set()).update(_starters(pid, processes))
            except OSError:  # it has just ended, is another user's, or there is no log
                continue
        return found

    def _remembered(self) -> dict[str, Any]:
        if self._directory is None:
            return {}
        try:
            found: dict[str, Any] = json.loads((self._directory / "process.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def _remember(self, role: str, pid: int | None) -> None:
        assert self._directory is not None  # noqa: S101 - a role is known of a place alone
        known = self._remembered()
        known.pop(role, None)
        if pid is not None:
            known[role] = (pid, _started_at(pid))
        write_whole(self._directory / "process.json", json.dumps(known))


def _starters(pid: int, processes: Mapping[int, tuple[int, int]]) -> set[int]:
    """The other sessions among the ancestors of a process."""
    own = processes[pid][1]
    found = set()
    while pid in processes:
        pid, session = processes[pid]
        found.add(session)
    return found - {own}


def _started_at(pid: int) -> int | None:
    """When a process started, in ticks since the boot: a process id alone may be another's."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
