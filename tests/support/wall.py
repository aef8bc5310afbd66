"""A wall clock that the processes of a rehearsal share, and that can be set."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Final

from tests.support.moved_clock.sitecustomize import FILE

_FOLDER: Final = Path(__file__).with_name("moved_clock")


class WallClock:
    """The wall clock of processes that start with its ``environment``; ours stays right.

    Args:
        file: where it is kept; made.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), 8)

    def environment(self, path: str) -> dict[str, str]:
        """What processes start with.

        Args:
            path: where they find their modules.
        """
        return {FILE: str(self._file), "PYTHONPATH": f"{_FOLDER}{os.pathsep}{path}"}

    def set(self, wrong_ms: int) -> None:
        """Let it be ahead of the true time, or behind; 0 sets it right."""
        struct.pack_into("q", self._shared, 0, wrong_ms * 1_000_000)
