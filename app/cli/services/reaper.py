"""Ends what a dead process left behind.

A private server runs in a session of its own, so that a signal to its owner does not take it
along by chance; but then nothing takes it along when its owner is killed. So the owner keeps a
reaper, a small child that reads from a pipe what there is to clean up, and does it when the pipe
ends, for whatever reason it ends. This file needs nothing outside of the standard library.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
#: A killed process ends within milliseconds, or else after a wait that nothing can end.
KILL_S = 10.0
#: Between two looks at who is left.
PAUSE_S = 0.005


def living() -> Iterator[tuple[int, int, int]]:
    """Every living process with its parent and its session, zombies aside."""
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:  # it has just ended
            continue
        # The command, in parentheses, may itself hold spaces and parentheses.
        state, parent, _group, session, *_rest = stat.rpartition(")")[2].split()
        if state not in "ZX":
            yield int(entry.name), int(parent), int(session)


def session_members(session: int) -> list[int]:
    """The living processes of a session."""
    return [pid for pid, _parent, member_of in living() if member_of == session]


def signal_session(session: int, number: signal.Signals) -> None:
    """Send a signal to every process of a session, in whatever process group it is."""
    for pid in session_members(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_session(session: int, seconds: float = KILL_S) -> list[int]:
    """Kill a session until none is left: a member may fork while the list is read.

    Returns:
        the members that have not ended in this time: what waits for a disk ends after that.
    """
    deadline = time.monotonic() + seconds
    while left := session_members(session):
        if time.monotonic() > deadline:
            return left
        signal_session(session, signal.SIGKILL)
        time.sleep(PAUSE_S)
    return []


class Reaper:
    """The owner's end: says what is to be cleaned up should the owner die."""

    def __init__(self) -> None:
        self._owner: int | None = None
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def watch(self, session: int) -> None:
        """Kill this session when the owner dies."""
        self._tell(f"watch {session}")

    def forget(self, session: int) -> None:
        """The session has ended."""
        self._tell(f"forget {session}")

    def watch_directory(self, directory: Path) -> None:
        """Remove this directory when the owner dies."""
        self._tell(f"directory {directory}")

    def forget_directory(self, directory: Path) -> None:
        """The directory has been removed."""
        self._tell(f"removed {directory}")

    def _tell(self, line: str) -> None:
        with self._lock:
            # A forked child of the owner has no claim on the owner's reaper.
            if self._process is None or self._owner != os.getpid():
                self._owner = os.getpid()
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__],
                    stdin=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
                atexit.register(self._finish)
            assert self._process.stdin is not None  # noqa: S101 - opened with a pipe
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _finish(self) -> None:
        """Let it clean up now, at the ordinary end of its owner, and wait for that."""
        if self._process is not None and self._owner == os.getpid():
            self._process.communicate()


def main() -> None:
    """The child's end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sessions: set[int] = set()
    directories: set[str] = set()
    for line in sys.stdin:
        verb, _, what = line.rstrip("\n").partition(" ")
        if verb == "watch":
            sessions.add(int(what))
        elif verb == "forget":
            sessions.discard(int(what))
        elif verb == "directory":
            directories.add(what)
        elif verb == "removed":
            directories.discard(what)
    for session in sessions:
        kill_session(session)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
