"""One runtime per data directory: an advisory lock that ends with its process.

The lock's file says how to reach the runtime: its process, its API, its simulated exchange, and
which record it uses.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from app.core.errors import Conflict, InvalidInput

# A command that only looks holds the lock for microseconds; a runtime that starts waits for it.
_PATIENCE_S: Final = 0.3
_PAUSE_S: Final = 0.01
_FACTS_LIMIT: Final = 16_384


class RuntimeLock:
    """The lock of a data directory.

    Args:
        record: address of the record that its holder works on, see ``app.cli.record``; said from
            the first moment on, since a command that finds none said has nothing to compare.

    Raises (on entry):
        Conflict: another process holds it.
        InvalidInput: the directory cannot be made or written.
    """

    def __init__(self, data_dir: Path, record: str = "") -> None:
        self._path = data_dir / "runtime.lock"
        self._record = record
        self._handle: int | None = None

    def __enter__(self) -> Self:
        handle = self._made()
        deadline = time.monotonic() + _PATIENCE_S
        while not _locked(handle, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(handle)
                raise Conflict(
                    f"another Tidemark runs in {self._path.parent}; stop it, or set "
                    "TIDEMARK_DATA_DIR to another directory",
                    code="already-running",
                )
            time.sleep(_PAUSE_S)
        self._handle = handle
        self.describe(**({"record": self._record} if self._record else {}))
        return self

    def _made(self) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> InvalidInput:
        return InvalidInput(
            f"TIDEMARK_DATA_DIR {self._path.parent} cannot be used ({error.strerror}); "
            "choose another directory"
        )

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            # The next holder has a moment before it speaks, in which this would be taken for its.
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None

    def describe(self, **facts: str) -> None:
        """Say how to reach this runtime, such as ``simulator_url``; commands beside it read it."""
        assert self._handle is not None  # noqa: S101 - only its holder describes it
        text = (json.dumps({"pid": os.getpid(), **facts}) + "\n").encode()
        # In this order a reader finds the line whole, with the end of an older one behind it.
        os.pwrite(self._handle, text, 0)
        os.ftruncate(self._handle, len(text))

    def clear_directory(self) -> None:
        """Remove everything in the data directory but the lock itself, which its holder keeps.

        Raises:
            InvalidInput: something in it cannot be removed.
        """
        assert self._handle is not None  # noqa: S101 - only its holder may
        try:
            for entry in self._path.parent.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                elif entry != self._path:
                    entry.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from None

    def held_by_other(self) -> bool:
        """Whether another process holds the lock now."""
        if self._handle is not None:
            return False
        try:
            handle = os.open(self._path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._unusable(error) from None
        try:
            # Shared: two commands that look at once do not take each other for a runtime.
            return not _locked(handle, fcntl.LOCK_SH)
        finally:
            os.close(handle)

    def facts(self) -> dict[str, Any]:
        """What the runtime that holds the lock says of itself; empty where none runs.

        One that has just taken the lock is given the time to speak.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while self.held_by_other():
            said = self._said()
            if said or time.monotonic() > deadline:
                return said
            time.sleep(_PAUSE_S)
        return {}

    def _said(self) -> dict[str, Any]:
        try:
            said = json.loads(self._path.read_bytes()[:_FACTS_LIMIT].partition(b"\n")[0])
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}


def _locked(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
