"""A disk that a rehearsal may fill: a file system of its own in memory, and what it left whole."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine

from app.models import Base
from tests.support.waiting import until

_PAGE: Final = 4_096


class Disk:
    """A mounted file system whose size the test changes.

    Attributes:
        path: where it is mounted.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._size = size

    def fill(self, leave: int = 0) -> None:
        """Leave so many bytes and no more."""

        def filled() -> bool:
            # Whoever writes meanwhile makes the wanted size too small, and it is refused.
            return self._resize(self.used + leave) and self.free <= leave + _PAGE

        until(filled, 10, f"{self.path} is full")

    def clear(self) -> None:
        """Make room again."""
        assert self._resize(self._size)

    @property
    def used(self) -> int:
        """Bytes in use."""
        return shutil.disk_usage(self.path).used

    @property
    def free(self) -> int:
        """Bytes left."""
        return shutil.disk_usage(self.path).free

    def _resize(self, size: int) -> bool:
        return _mount("-o", f"remount,size={size}", os.fspath(self.path)).returncode == 0


@contextmanager
def small_disk(path: Path, size: int = 4 * 1024**3) -> Iterator[Disk]:
    """A disk of its own at a path; memory is used for what is written and no more.

    Skips the test where this process may not mount.
    """
    path.mkdir(parents=True, exist_ok=True)
    made = _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", os.fspath(path))
    if made.returncode != 0:
        pytest.skip(f"this process may not mount a disk of its own: {made.stderr.strip()}")
    try:
        yield Disk(path, size)
    finally:
        # Lazily: a process that is being ended may hold a file for a moment longer.
        subprocess.run(["umount", "--lazy", os.fspath(path)], check=True)


def damaged(engine: Engine) -> list[str]:
    """What a database's own check of every page finds."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            said = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
            return [each for each in said if each != "ok"]
        names = ", ".join(Base.metadata.tables)
        rows = connection.exec_driver_sql(f"CHECK TABLE {names} EXTENDED").all()
        assert len(rows) == len(Base.metadata.tables)
        return [str(row) for row in rows if row[3] != "OK"]


def _mount(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
