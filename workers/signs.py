"""Signs of life: a small file that a process keeps fresh while it truly works.

Its path is ``TIDEMARK_HEARTBEAT_FILE``; without one nothing is written. The supervisor reads it,
and so does ``python -m workers.signs``, the health check of a container. Needs nothing outside
of the standard library, since that check runs every few seconds.
"""

from __future__ import annotations

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


def touch(state: str, detail: str = "") -> None:
    """Say that this process lives; a full disk is no reason to stop working."""
    name = os.environ.get(VARIABLE)
    if not name:
        return
    path = Path(name)
    beside = path.with_suffix(f".{os.getpid()}")
    try:
        beside.write_text(json.dumps({"pid": os.getpid(), "state": state, "detail": detail}))
        beside.replace(path)
    except OSError:
        # Nothing was said: should it last, the supervisor starts this process again.
        beside.unlink(missing_ok=True)


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
