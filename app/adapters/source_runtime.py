"""Runs data sources in child processes, so that none of them can harm the platform.

Each run has a process of its own, which ends with it. Whatever a source does, the caller gets
the rows it gave before, and an end or a typed error that names the source:

==================================== ======================================================
it raises, or calls ``sys.exit``     SourceFailed with the line
it gives no end to it                asked for no more when its time is over, or killed
it does not answer in time           SourceTimedOut; the process is killed
it uses too much CPU or memory       SourceCrashed, or SourceFailed with MemoryError
it ends its process, or its answers  SourceCrashed
are no answers
==================================== ======================================================
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.adapters.strategy_child import Child, HostLimits
from app.core.errors import Unavailable
from app.core.sources.errors import SourceCrashed, SourceTimedOut
from app.core.sources.loader import SourceInfo, SourceRef
from app.core.sources.runtime import RunEnd, SourceRun, Take
from app.core.sources.serving import MOST_ROWS, rebuild_error
from app.core.strategies.wire import Message

_MODULE: Final = "app.source_host"
#: A row has at most 1 KB; the description of a source's parameters may be longer.
_MOST_BYTES: Final = 1024 * 1024
# Rows that are stored together, and how long they wait for more.
_TOGETHER: Final = 500
_SILENCE_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """What a run may use.

    Attributes:
        memory_mb: address space, MB.
        files: open files.
        start_seconds: wall-clock until a new process has read its request.
        run_seconds: wall-clock after which a source is asked for no more.
        grace_seconds: wall-clock after that, in which it must have answered.
        inspect_seconds: wall-clock in which a file must have been loaded.
    """

    memory_mb: int = 1024
    files: int = 64
    start_seconds: float = 10.0
    run_seconds: float = 30.0
    grace_seconds: float = 10.0
    inspect_seconds: float = 10.0


class HostedSources:
    """A ``SourceRuntime``.

    Args:
        private: files and directories of the installation that no source may touch.
        loopback_only: let sources reach this machine alone, as where a simulated exchange is in
            use.
    """

    def __init__(
        self, limits: SourceLimits, private: Sequence[Path], *, loopback_only: bool
    ) -> None:
        self._limits = limits
        self._private = [str(path.resolve()) for path in private]
        self._loopback_only = loopback_only
        self._lock = threading.Lock()
        self._running: set[Child] = set()
        self._interrupted = False

    @property
    def longest_ms(self) -> int:
        """No run takes longer, ms."""
        limits = self._limits
        return int(1_000 * (limits.start_seconds + limits.run_seconds + limits.grace_seconds))

    def inspect(self, ref: SourceRef, params: Mapping[str, Any]) -> SourceInfo:
        """What a source is; see ``SourceRuntime``."""
        asked = {"op": "inspect", "params": dict(params)}
        answer = self._ask(ref, ref.name, asked, self._limits.inspect_seconds, _nothing)
        try:
            return SourceInfo(**answer["info"])
        except (KeyError, TypeError):
            raise _broken(ref.name) from None

    def observe(self, ref: SourceRef, run: SourceRun, take: Take) -> RunEnd:
        """Run a source once; see ``SourceRuntime``."""
        asked = {
            "op": "run",
            "label": run.label,
            "params": dict(run.params),
            "symbols": list(run.symbols),
            "since": run.since,
            "now_ms": run.now_ms,
            "seconds": self._limits.run_seconds,
        }
        seconds = self._limits.run_seconds + self._limits.grace_seconds
        answer = self._ask(ref, run.label, asked, seconds, take)
        try:
            return RunEnd(answer["end"])
        except (KeyError, ValueError):
            raise _broken(run.label) from None

    def interrupt(self) -> None:
        """End every run, and start no other; its caller gets ``interrupted``."""
        with self._lock:
            self._interrupted = True
            for child in self._running:
                child.strike()

    def _ask(
        self, ref: SourceRef, label: str, asked: dict[str, Any], seconds: float, take: Take
    ) -> dict[str, Any]:
        limits = self._limits
        header = {
            **asked,
            "name": ref.name,
            "text": ref.text,
            "cpu_seconds": int(seconds) + 1,
            "private": self._private,
            "loopback_only": self._loopback_only,
        }
        child = self._started()
        try:
            # Its first word is that it has begun: from then on its own time counts.
            child.hear(child.tell(Message(header), limits.start_seconds), _MOST_BYTES)
            return _last_answer(child, time.monotonic() + seconds, take, label)
        except TimeoutError:
            raise SourceTimedOut(
                label, f"did not come to an end within {seconds:g} s and was stopped"
            ) from None
        except EOFError:
            if self._interrupted:
                raise _interruption() from None
            raise SourceCrashed(label, child.epitaph()) from None
        finally:
            with self._lock:
                self._running.discard(child)
            child.kill()

    def _started(self) -> Child:
        limits = HostLimits(memory_mb=self._limits.memory_mb, files=self._limits.files)
        with self._lock:
            if self._interrupted:
                raise _interruption()
            child = Child(limits, _MODULE)
            self._running.add(child)
        return child


def _last_answer(child: Child, deadline: float, take: Take, label: str) -> dict[str, Any]:
    """Hand on all rows; the message after them.

    Raises:
        TimeoutError, EOFError: there was none; the rows before were taken.
        TidemarkError: it is an error, with its own type.
    """
    pending: list[Any] = []
    count = 0
    try:
        while True:
            if pending and (len(pending) >= _TOGETHER or not child.speaks(_SILENCE_S, deadline)):
                _hand_on(pending, take)
            header = child.hear(deadline, _MOST_BYTES).header
            if "row" not in header:
                return _checked(header, label)
            count += 1
            if count > MOST_ROWS:
                raise EOFError
            pending.append(header["row"])
    finally:
        # Also where the source has died: what it gave stays.
        _hand_on(pending, take)


def _hand_on(pending: list[Any], take: Callable[[Sequence[Any]], None]) -> None:
    if pending:
        rows = list(pending)
        pending.clear()
        take(rows)


def _checked(header: dict[str, Any], label: str) -> dict[str, Any]:
    error = header.get("error")
    if error is not None:
        raise rebuild_error(error if isinstance(error, dict) else {}, label)
    return header


def _interruption() -> Unavailable:
    return Unavailable("the process is stopping; the source is run again", code="interrupted")


def _broken(label: str) -> SourceCrashed:
    return SourceCrashed(label, "broke the protocol with its host")


def _nothing(_: Sequence[Any]) -> None:
    """Rows of an inspection, of which there are none."""
