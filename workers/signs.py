"""Signs of life: a small file that a process keeps fresh while it truly works.

Its path is ``TIDEMARK_HEARTBEAT_FILE``; without one nothing is written. The supervisor reads it,
and so does ``python -m workers.signs``, the health check of a container. Needs nothing outside
of the standard library, since that check runs every few seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Final

VARIABLE: Final = "TIDEMARK_HEARTBEAT_FILE"
#: The names of ``state``; with any other the process is alive and cannot work.
CONSUMING: Final = "consuming"
RECONNECTING: Final = "reconnecting"
STUCK: Final = "stuck"
_SILENT_S: Final = 20.0
# One block of any disk; escaped, each character of a detail takes up to twelve bytes.
_BYTES: Final = 4_096
_DETAIL: Final = 300


def touch(state: str, detail: str = "") -> None:
    """Say that this process lives; a full disk is no reason to stop working.

    It is written over what was said before, in one write of one size: a full disk has no room
    for another file, and always for these bytes.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return
    said = json.dumps({"pid": os.getpid(), "state": state, "detail": detail[:_DETAIL]})
    # An error was no word: should it last, the supervisor starts this process again.
    with contextlib.suppress(OSError):
        _write(Path(name), said)


def take_back(path: Path) -> None:
    """Unsay what an earlier process said, and keep the room for the next one.

    Raises:
        OSError: it cannot be written.
    """
    _write(path, "")


def _write(path: Path, said: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(handle, said.encode().ljust(_BYTES), 0)
    finally:
        os.close(handle)


def complaint(path: Path, limit_s: float, now: float | None = None) -> str | None:
    """What is wrong with a process by its file; None while it is well.

    Args:
        limit_s: age of the file from which on the process is silent.
        now: wall time, seconds.
    """
    try:
        age = (time.time() if now is None else now) - path.stat().st_mtime
        said = json.loads(path.read_text())
    except (OSError, ValueError):
        return "it has given no sign of life yet"
    if age > limit_s:
        return f"it has been silent for {age:.0f} s"
    # The clock was set back. One that lives gives the next sign long before anybody acts on this.
    if age < -limit_s:
        return f"its last sign of life lies {-age:.0f} s ahead of the clock"
    if said["state"] == STUCK:
        return f"it is stuck: {said['detail']}"
    return None


def main() -> int:
    """Exit code 0 while the process of TIDEMARK_HEARTBEAT_FILE is well, else 1 and why."""
    wrong = complaint(Path(os.environ[VARIABLE]), _SILENT_S)
    if wrong is not None:
        sys.stderr.write(f"{wrong}\n")
    return 0 if wrong is None else 1


if __name__ == "__main__":
    sys.exit(main())
