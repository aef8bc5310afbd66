"""The supervisor: the dead and the hung come back, crash loops back off, it ends in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.cli.services.reaper import session_members
from app.cli.supervision import state
from app.cli.supervision.process import LOG_BYTES, ProcessSpec, rotate
from app.cli.supervision.state import ProcessState
from app.cli.supervision.supervisor import Supervisor
from tests.support.record import ROOT
from tests.support.simulator import wait_until

SLEEPER = "import time; time.sleep(600)"


def spec(name: str, program: str, **options: object) -> ProcessSpec:
    """A process that runs a Python program."""
    return ProcessSpec(name, (sys.executable, "-c", program), **options)  # type: ignore[arg-type]


class Stack:
    """A supervisor on a thread, as the full stack runs it."""

    def __init__(self, data_dir: Path, *specs: ProcessSpec) -> None:
        self.events: list[tuple[str, str]] = []
        self.supervisor = Supervisor(
            specs, data_dir, lambda name, what: self.events.append((name, what))
        )
        self.hurry = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.supervisor.run(self._ending.is_set)
        self.supervisor.stop(self.hurry.is_set)

    def of(self, name: str) -> ProcessState:
        """What is known of a process."""
        return next(each for each in self.supervisor.states if each.name == name)

    def ask_to_end(self) -> None:
        """As Ctrl-C does."""
        self._ending.set()

    def end(self) -> None:
        """Stop, and wait for it."""
        self.ask_to_end()
        self._thread.join(60)
        assert not self._thread.is_alive()


@contextmanager
def stack(data_dir: Path, *specs: ProcessSpec) -> Iterator[Stack]:
    """A running supervisor."""
    made = Stack(data_dir, *specs)
    try:
        yield made
    finally:
        made.hurry.set()
        made.end()


def pid_of(made: Stack, name: str, other_than: int | None = None) -> int:
    """The process of a name once it is up, and not the one we knew."""
    wait_until(
        lambda: made.of(name).state == "up" and made.of(name).pid not in (None, other_than), 30
    )
    pid = made.of(name).pid
    assert pid is not None
    return pid


def test_a_killed_process_is_back_and_its_neighbour_never_noticed(tmp_path: Path) -> None:
    with stack(tmp_path, spec("one", SLEEPER), spec("two", SLEEPER)) as made:
        first, neighbour = pid_of(made, "one"), pid_of(made, "two")
        os.kill(first, signal.SIGKILL)
        assert pid_of(made, "one", other_than=first) != first
        assert made.of("one").restarts == 1
        assert "SIGKILL" in made.of("one").reason
        assert made.of("two").pid == neighbour
        assert made.of("two").restarts == 0


def test_a_crash_loop_backs_off_and_says_why(tmp_path: Path) -> None:
    broken = "import sys; print('starting'); sys.exit('no such table: orders')"
    with stack(tmp_path, spec("bad", broken), spec("good", SLEEPER)) as made:
        good = pid_of(made, "good")
        wait_until(lambda: made.of("bad").restarts >= 4, 30)
        said = [what for name, what in made.events if name == "bad" and "again in" in what]
        assert all("exit code 1: no such table: orders" in each for each in said)
        pauses = [float(each.rpartition("again in ")[2].split()[0]) for each in said[:4]]
        assert pauses == pytest.approx([0.5, 1.0, 2.0, 4.0], abs=0.2)
        assert made.of("good").pid == good


def test_a_process_that_lives_and_does_nothing_is_found_and_replaced(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    # Well for its first moments, then silent: as a worker whose loop has stopped.
    program = f"import pathlib, time; pathlib.Path({str(beat)!r}).touch(); time.sleep(600)"
    began = {"at": 0.0}

    def probe() -> str | None:
        if not beat.exists():
            return "no sign of life"
        began["at"] = began["at"] or time.monotonic()
        return None if time.monotonic() - began["at"] < 1 else "silent"

    with stack(tmp_path, spec("worker", program, probe=probe, hang_s=6.0)) as made:
        first = pid_of(made, "worker")
        wait_until(lambda: made.of("worker").restarts == 1, 30)
        assert "hung" in made.of("worker").reason
        assert "silent" in made.of("worker").reason
        assert session_members(first) == []


def test_a_stopped_process_does_not_answer_and_is_replaced(tmp_path: Path) -> None:
    """SIGSTOP: it lives, holds its socket, and answers nobody."""
    from app.cli.supervision.probes import http_answer

    path = tmp_path / "s"
    program = (
        "import http.server, socketserver\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def address_string(self): return ''\n"
        "    def log_message(self, *a): pass\n"
        "    def do_GET(self): self.send_response(503); self.end_headers()\n"
        "import os, pathlib\n"
        f"pathlib.Path({str(path)!r}).unlink(missing_ok=True)\n"
        f"socketserver.UnixStreamServer({str(path)!r}, H).serve_forever()\n"
    )
    answered = spec("api", program, probe=http_answer("/health", unix=path), hang_s=10.0)
    with stack(tmp_path, answered) as made:
        first = pid_of(made, "api")  # 503 is an answer: it lives
        os.kill(first, signal.SIGSTOP)
        assert pid_of(made, "api", other_than=first) != first
        assert "no answer to GET /health" in made.of("api").reason


def test_silence_of_beat_is_an_alarm_until_it_is_back(tmp_path: Path) -> None:
    with stack(tmp_path, spec("beat", SLEEPER, alarm=True)) as made:
        first = pid_of(made, "beat")
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: made.of("beat").alarm, 30)
        pid_of(made, "beat", other_than=first)
        assert not made.of("beat").alarm


def test_it_stops_in_its_order_and_lets_what_runs_finish(tmp_path: Path) -> None:
    done = tmp_path / "done"
    worker = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(1)\n"
        f"    pathlib.Path({str(done)!r}).touch()\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(600)\n"
    )
    with stack(
        tmp_path,
        spec("rest", SLEEPER, stop_phase=3),
        spec("worker", worker, stop_phase=2),
        spec("api", SLEEPER, stop_phase=0),
    ) as made:
        wait_until(lambda: (tmp_path / "ready").exists() and made.supervisor.all_up(), 30)
        made.end()
        assert done.exists(), "the worker was cut off"
        ended = [name for name, what in made.events if what == "stopped"]
        assert ended == ["api", "worker", "rest"]


def test_what_does_not_end_is_killed_and_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    stubborn = (
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(600)\n"
    )
    with stack(tmp_path, spec("stubborn", stubborn, stop_s=300.0)) as made:
        pid = pid_of(made, "stubborn")
        wait_until((tmp_path / "ready").exists, 30)
        made.ask_to_end()
        wait_until(lambda: made.of("stubborn").state == "stopping", 30)
        assert session_members(pid)
        made.hurry.set()
        made.end()
        assert session_members(pid) == []
        assert made.of("stubborn").reason == "killed"


def test_children_of_a_killed_process_go_with_it(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "time.sleep(600)\n"
    )
    with stack(tmp_path, spec("parent", program)) as made:
        pid = pid_of(made, "parent")
        wait_until(lambda: len(session_members(pid)) == 2, 30)
        os.kill(pid, signal.SIGKILL)
        pid_of(made, "parent", other_than=pid)
        wait_until(lambda: session_members(pid) == [], 30)


def test_a_killed_supervisor_leaves_no_orphan(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from app.cli.supervision.process import ProcessSpec\n"
        "from app.cli.supervision.supervisor import Supervisor\n"
        f"child = ProcessSpec('child', (sys.executable, '-c', {SLEEPER!r}))\n"
        f"Supervisor([child], Path({str(tmp_path)!r}), print).run(lambda: False)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        wait_until(lambda: _state_of(tmp_path, "child") == "up", 30)
        (child,) = state.read(tmp_path)["processes"]
        assert session_members(child["pid"])
    finally:
        owner.kill()
        owner.wait()
    wait_until(lambda: session_members(child["pid"]) == [], 10)


def _state_of(data_dir: Path, name: str) -> str:
    known = state.read(data_dir).get("processes", [])
    return next((each["state"] for each in known if each["name"] == name), "")


def test_a_log_is_cut_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 2_000)
        rotate(log, limit=1_000)
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "api.log.1").stat().st_size == 2_000
    assert LOG_BYTES * 2 < 64 * 1024 * 1024


def test_a_secret_in_the_last_line_is_not_repeated(tmp_path: Path) -> None:
    program = "import sys; sys.exit('cannot reach amqp://tidemark:hunter2@127.0.0.1:5672/')"
    with stack(tmp_path, spec("worker", program)) as made:
        wait_until(lambda: made.of("worker").restarts > 0, 30)
        assert "cannot reach amqp://" in made.of("worker").reason
        assert "hunter2" not in made.of("worker").reason
