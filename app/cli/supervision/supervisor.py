"""Starts processes, watches them, brings back the dead and the hung, and stops them in order.

One thread does all of it: starts must come from a thread that lives on (see `RunningProcess`),
and nothing needs a lock. Probes run on threads of their own, so that one which waits holds up
no other.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from app.cli.supervision import state
from app.cli.supervision.process import Probe, ProcessSpec, RunningProcess, rotate
from app.cli.supervision.state import ProcessState

_log = structlog.get_logger(__name__)

_TICK_S: Final = 0.1
_PROBE_S: Final = 2.0
_SAVE_S: Final = 2.0
_FIRST_BACKOFF_S: Final = 0.5
# A dead process must be back within 30 s, its own start included.
_MOST_BACKOFF_S: Final = 10.0
# What has run for so long has not crashed in a loop.
_HEALTHY_S: Final = 60.0

#: Told of each change: the process, and what happened to it in a few words.
Listener = Callable[[str, str], None]


class _Asked:
    """A probe's latest answer, from a thread that asks once at a time."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._next = 0.0
        self._well_at: float | None = None
        self.complaint: str | None = None

    def ask(self, probe: Probe, now: float) -> None:
        """Ask again if it is time and the last question has been answered."""
        if now < self._next or (self._thread is not None and self._thread.is_alive()):
            return
        self._next = now + _PROBE_S
        self._thread = threading.Thread(target=self._run, args=(probe,), daemon=True)
        self._thread.start()

    @property
    def well_at(self) -> float | None:
        """When it was last found well, monotonic; None if not since the start."""
        return self._well_at

    def _run(self, probe: Probe) -> None:
        try:
            complaint = probe()
        except Exception as error:  # noqa: BLE001 - a probe that fails has found no life
            complaint = f"its probe failed: {type(error).__name__}"
        self.complaint = complaint
        if complaint is None:
            self._well_at = time.monotonic()


class Watched:
    """A spec with what runs for it."""

    def __init__(self, spec: ProcessSpec, log: Path) -> None:
        self.spec = spec
        self.log = log
        self.process: RunningProcess | None = None
        self.state = ProcessState(spec.name)
        self.started = 0.0
        self.up_since: float | None = None
        self.next_start = 0.0
        self.backoff = _FIRST_BACKOFF_S
        self.asked = _Asked()


class Supervisor:
    """Keeps a table of processes running.

    Args:
        data_dir: where ``processes.json`` and the logs (``log/``) go.
        listener: told of each change.
    """

    def __init__(self, specs: Sequence[ProcessSpec], data_dir: Path, listener: Listener) -> None:
        self._data_dir = data_dir
        self._logs = data_dir / "log"
        self._listener = listener
        self._watched = [
            Watched(spec, self._logs / f"{spec.name.replace(':', '-')}.log") for spec in specs
        ]
        self._saved = 0.0
        self._changed = True
        self._could_save = True

    @property
    def states(self) -> list[ProcessState]:
        """Every process as it is now."""
        return [each.state for each in self._watched]

    # -- Life ----------------------------------------------------------------------------------

    def tick(self) -> None:
        """Look once at every process and do what is due."""
        for each in self._watched:
            self._look(each)
        self._save()

    def all_up(self) -> bool:
        """Whether every process has been found ready."""
        return all(each.state.state == "up" for each in self._watched)

    def run(self, ended: Callable[[], bool]) -> None:
        """Watch until ``ended`` says so."""
        while not ended():
            self.tick()
            time.sleep(_TICK_S)

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop all in their order; what does not end in its time is killed.

        Args:
            hurry: asked throughout; once it says so, everything is killed at once.
        """
        for phase in sorted({each.spec.stop_phase for each in self._watched}):
            together = [each for each in self._watched if each.spec.stop_phase == phase]
            self._stop(together, hurry)
        self._changed = True
        self._save()

    # -- One process ---------------------------------------------------------------------------

    def _look(self, each: Watched) -> None:
        now = time.monotonic()
        if each.process is None:
            if now >= each.next_start:
                self._start(each, now)
            return
        ended = each.process.ended()
        if ended is not None:
            self._lost(each, ended)
            return
        self._check(each, now)

    def _start(self, each: Watched, now: float) -> None:
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            each.process = RunningProcess(each.spec, each.log)
        except OSError as error:
            each.process = None
            self._lost(each, f"it could not be started ({error.strerror})")
            return
        each.started = now
        each.up_since = None
        each.asked = _Asked()
        self._set(each, "starting", pid=each.process.pid)

    def _check(self, each: Watched, now: float) -> None:
        rotate(each.log)
        spec = each.spec
        starting = each.state.state == "starting"
        probe = (spec.ready or spec.probe) if starting else spec.probe
        if probe is None:
            if starting:
                self._up(each, now)
            self._calm(each, now)
            return
        each.asked.ask(probe, now)
        well_at = each.asked.well_at
        if starting:
            if well_at is not None:
                each.asked = _Asked()
                self._up(each, now)
            elif now - each.started > spec.ready_s:
                self._hung(each, f"not ready after {spec.ready_s:.0f} s: {each.asked.complaint}")
            return
        self._judge(each, now, well_at or each.up_since or each.started)

    def _judge(self, each: Watched, now: float, well_at: float) -> None:
        """What the silence of a process that was up means."""
        if now - well_at > each.spec.hang_s:
            why = each.asked.complaint or "its probe does not return"
            self._hung(each, f"hung for {each.spec.hang_s:.0f} s: {why}")
        elif each.asked.complaint is not None:
            if each.state.state != "unwell":
                self._set(each, "unwell", reason=each.asked.complaint)
        else:
            if each.state.state == "unwell":
                self._set(each, "up")
            self._calm(each, now)

    def _up(self, each: Watched, now: float) -> None:
        each.up_since = now
        each.state.alarm = False
        self._set(each, "up")

    def _calm(self, each: Watched, now: float) -> None:
        if each.up_since is not None and now - each.up_since > _HEALTHY_S:
            each.backoff = _FIRST_BACKOFF_S

    def _hung(self, each: Watched, why: str) -> None:
        assert each.process is not None  # noqa: S101 - it was looked at
        each.process.kill()
        self._lost(each, why)

    def _lost(self, each: Watched, why: str) -> None:
        if each.process is not None:
            each.process.bury()
        each.process = None
        delay = each.backoff
        each.backoff = min(2 * each.backoff, _MOST_BACKOFF_S)
        each.next_start = time.monotonic() + delay
        each.state.restarts += 1
        if each.spec.alarm:
            each.state.alarm = True
            _log.error("process_silent", process=each.spec.name, reason=why)
        self._set(
            each, "waiting", reason=why, next_start=time.time_ns() // 1_000_000 + int(delay * 1000)
        )

    def _set(
        self,
        each: Watched,
        name: str,
        *,
        pid: int | None = None,
        reason: str | None = None,
        next_start: int | None = None,
    ) -> None:
        known = each.state
        known.state, known.since = name, time.time_ns() // 1_000_000
        if pid is not None or name in ("waiting", "stopped"):
            known.pid = pid
        if reason is not None and name != "unwell":
            known.reason = reason  # of its last restart; a passing complaint is told and no more
        known.next_start = next_start
        self._changed = True
        said = f"{name}: {reason}" if reason else name
        if next_start is not None:
            said += f"; again in {max(0.0, each.next_start - time.monotonic()):.1f} s"
        self._listener(each.spec.name, said)

    # -- Stopping ------------------------------------------------------------------------------

    def _stop(self, together: Sequence[Watched], hurry: Callable[[], bool]) -> None:
        began = time.monotonic()
        for each in together:
            if each.process is not None:
                self._set(each, "stopping")
                each.process.signal(each.spec.stop_signal)
        waiting = [each for each in together if each.process is not None]
        while waiting:
            for each in list(waiting):
                if self._has_stopped(each, time.monotonic() - began, hurry()):
                    waiting.remove(each)
            time.sleep(_TICK_S / 5)

    def _has_stopped(self, each: Watched, waited: float, hurry: bool) -> bool:
        process = each.process
        assert process is not None  # noqa: S101 - it is being waited for
        if process.ended() is None:
            if not hurry and waited < each.spec.stop_s:
                return False
            process.kill()
            each.state.reason = "killed" if hurry else f"did not end in {each.spec.stop_s:.0f} s"
        process.bury()
        each.process = None
        self._set(each, "stopped")
        return True

    # -- What others see -----------------------------------------------------------------------

    def _save(self) -> None:
        now = time.monotonic()
        if not self._changed and now - self._saved < _SAVE_S:
            return
        self._saved, self._changed = now, False
        try:
            state.write(self._data_dir, time.time_ns() // 1_000_000, self.states)
        except OSError as error:
            if self._could_save:
                _log.warning("state_not_written", error=error.strerror)
            self._could_save = False
            return
        self._could_save = True


class Signals:
    """Counts Ctrl-C and SIGTERM: the first asks for the end, the second for haste."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: dict[int, object] = {}

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._kept[number] = signal.getsignal(number)
            signal.signal(number, self._take)
        return self

    def __exit__(self, *_exc: object) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _take(self, _number: int, _frame: object) -> None:
        self.count += 1
        if self.count > 2:
            os.write(2, b"tidemark: stopping; the processes are being killed\n")

    def ended(self) -> bool:
        """Whether the end was asked for."""
        return self.count > 0

    def hurry(self) -> bool:
        """Whether it was asked for twice."""
        return self.count > 1
