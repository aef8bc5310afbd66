"""What the supervisor knows of its processes, as a file that other commands read."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = "processes.json"


@dataclass(slots=True)
class ProcessState:
    """One process as the supervisor sees it.

    Attributes:
        state: ``starting``, ``up``, ``unwell``, ``waiting`` (for its next start), ``stopping``
            or ``stopped``.
        since: wall time since which it is so, ms.
        restarts: starts after the first.
        reason: why it was last restarted; empty while it was not.
        next_start: wall time of the next start while ``waiting``, ms.
    """

    name: str
    state: str = "stopped"
    pid: int | None = None
    since: int = 0
    restarts: int = 0
    reason: str = ""
    next_start: int | None = None
    alarm: bool = False


def write(data_dir: Path, at_ms: int, states: list[ProcessState]) -> None:
    """Replace the file whole.

    Raises:
        OSError: the disk is full or the directory is gone.
    """
    document = {"at": at_ms, "pid": os.getpid(), "processes": [asdict(each) for each in states]}
    path = data_dir / FILE
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(document), encoding="utf-8")
    beside.replace(path)


def read(data_dir: Path) -> dict[str, Any]:
    """The file's content; empty where there is none."""
    try:
        found: dict[str, Any] = json.loads((data_dir / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found
