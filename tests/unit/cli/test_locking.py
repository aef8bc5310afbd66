"""One runtime per data directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.locking import RuntimeLock
from app.core.errors import Conflict

_HOLD = """
import sys
from pathlib import Path
from app.cli.locking import RuntimeLock
with RuntimeLock(Path(sys.argv[1])) as lock:
    lock.describe(simulator_url="http://127.0.0.1:1")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_nobody_holds_a_directory_that_was_never_used(tmp_path: Path) -> None:
    lock = RuntimeLock(tmp_path / "none")
    assert not lock.held_by_other()
    assert lock.facts() == {}
    assert not (tmp_path / "none").exists()


def test_a_second_runtime_is_refused_and_a_command_sees_the_first(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        lock = RuntimeLock(tmp_path)
        assert lock.held_by_other()
        assert lock.facts() == {"pid": holder.pid, "simulator_url": "http://127.0.0.1:1"}
        with pytest.raises(Conflict) as caught, lock:
            pass
        assert caught.value.error_code == "already-running"
        holder.communicate("")
    assert not lock.held_by_other()
    assert lock.facts() == {}
    with lock:
        # Its holder is no other.
        assert not lock.held_by_other()
        assert RuntimeLock(tmp_path).held_by_other()


def test_facts_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    with RuntimeLock(tmp_path):
        (tmp_path / "runtime.lock").write_text("not json")
        assert RuntimeLock(tmp_path).facts() == {}
