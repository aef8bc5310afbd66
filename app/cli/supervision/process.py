"""One supervised process: what it is, and the one that runs for it now."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.cli.services.reaper import kill_session, session_members
from workers.signs import take_back

_LAUNCHER: Final = "app.cli.supervision.launcher"
#: A log is cut at this size, and one older piece of it is kept.
LOG_BYTES: Final = 16 * 1024 * 1024
_LAST_LINE_BYTES: Final = 8_192

#: Looks at a process: None while it is well, else what is wrong in one sentence.
Probe = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One row of the table of processes.

    Attributes:
        name: as in ``worker:orders``; unique.
        command: program and arguments; the program by its full path.
        environment: added to the supervisor's own.
        probe: asked every few seconds; None asks whether the process lives and no more.
        ready: asked until it is well, once per start; None takes ``probe``.
        ready_s: how long a start may take.
        hang_s: for how long the probe may find it unwell before it is killed.
        stop_phase: those of a lower phase are stopped first, the same phase together.
        stop_signal: asks it to finish what it does and end.
        stop_s: how long that may take; then it is killed.
        alarm: whether its silence is an alarm of its own, as with beat.
        pass_fds: open files that it inherits.
        heartbeat: the file of its signs of life; what an earlier process said is taken back.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    probe: Probe | None = None
    ready: Probe | None = None
    ready_s: float = 60.0
    hang_s: float = 20.0
    stop_phase: int = 3
    stop_signal: signal.Signals = signal.SIGTERM
    stop_s: float = 10.0
    alarm: bool = False
    pass_fds: Sequence[int] = ()
    heartbeat: Path | None = None


class RunningProcess:
    """A process that was started for a spec. It leads a session, so all it starts is known.

    Must be made on a thread that lives as long as the supervisor: the kernel ties the child to
    the thread that started it.
    """

    def __init__(self, spec: ProcessSpec, log: Path) -> None:
        self._log = log
        rotate(log)
        if spec.heartbeat is not None:
            with contextlib.suppress(OSError):  # a full disk, and then nothing was said on it
                take_back(spec.heartbeat)
        with log.open("ab") as output:
            self._printed = output.tell()
            # A file and not a pipe: a supervisor that is stopped or slow must not block the
            # order path by way of its log.
            self._process = subprocess.Popen(
                [sys.executable, "-m", _LAUNCHER, str(os.getpid()), *spec.command],
                # Unbuffered: its last words are to be the last line.
                env={**os.environ, "PYTHONUNBUFFERED": "1", **spec.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to the supervisor alone, which stops its children in order.
                start_new_session=True,
                pass_fds=tuple(spec.pass_fds),
            )

    @property
    def pid(self) -> int:
        """Its process id, which is its session's too."""
        return self._process.pid

    def ended(self) -> str | None:
        """How it ended, with its last words; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        last = self.last_line()
        return f"exit code {code}: {last}" if last else f"exit code {code}"

    def last_line(self) -> str:
        """The last line that it printed, without secrets."""
        from app.logs import redacted

        try:
            with self._log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                # A log that was cut meanwhile is shorter than it was at the start.
                begin = self._printed if size >= self._printed else 0
                log.seek(max(begin, size - _LAST_LINE_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        said = [line.strip() for line in lines if line.strip()]
        return redacted(said[-1])[:300] if said else ""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself; one that has ended gets none."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it and all that it started, and wait some seconds for its end.

        What waits for a disk ends after that, and does nothing more before it ends.
        """
        if self.pid not in kill_session(self.pid):
            self._process.wait()

    def bury(self) -> None:
        """End what it has left behind: children of a process that was killed."""
        if session_members(self.pid):
            kill_session(self.pid)


def rotate(log: Path, limit: int = LOG_BYTES) -> None:
    """Cut a log that has grown too long; one older piece of it is kept as ``.1``.

    Its writer appends, so it goes on at the new end. Lines written within the cut are lost.
    """
    try:
        if log.stat().st_size < limit:
            return
        shutil.copyfile(log, log.with_suffix(log.suffix + ".1"))
    except FileNotFoundError:
        return
    except OSError:
        pass  # no room for the older piece: then it goes, the bound holds
    os.truncate(log, 0)
