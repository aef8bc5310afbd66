"""Files of the services: whole or as they were before, and their owner's alone."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.core.errors import InvalidInput

# A write that finds no room names no file.
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def write_whole(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file that nobody else may read, whatever the umask is.

    A kill or a power cut leaves what was there before or all of the new text, never a part.
    """
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return path


@contextmanager
def usable(directory: Path) -> Iterator[None]:
    """Say in one sentence which file or directory cannot be used.

    Raises:
        InvalidInput: the operating system refuses one.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno not in _NO_ROOM:
            raise
        raise InvalidInput(
            f"{error.filename or directory} cannot be used ({error.strerror}); see to it, or set "
            "TIDEMARK_DATA_DIR to another directory"
        ) from None
