"""One runtime per data directory: an advisory lock that ends with its process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from app.core.errors import Conflict


class RuntimeLock:
    """The lock of a data directory.

    Raises (on entry):
        Conflict: another process holds it.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "runtime.lock"
        self._handle: int | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise Conflict(
                f"another Tidemark runs in {self._path.parent}; stop it, or set "
                "TIDEMARK_DATA_DIR to another directory",
                code="already-running",
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._handle = handle
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def held_by_other(self) -> bool:
        """Whether another process holds the lock now."""
        if not self._path.exists():
            return False
        try:
            with self:
                return False
        except Conflict:
            return True
