"""The end of a text file: whether its last line is whole.

A file that was cut on its way (a full disk, a broken download) ends anywhere, also within a number:
12345.6 of 12345.67 is a price like any other. Only a line end says that a line is whole.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

_BLOCK: Final = 1 << 20
# No row of numbers is that long.
_LONGEST: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class UnendedLine:
    """A file's last line that no line end follows.

    Attributes:
        number: of the line, from 1.
        text: the line.
        start: its first byte's position in the file.
    """

    number: int
    text: str
    start: int


def unended_line(path: Path) -> UnendedLine | None:
    """The last line of a text file, where no line end follows it; None where one does.

    Of a compressed file nothing is told: its own checksum says that it is whole.

    Raises:
        OSError: the file cannot be read.
    """
    if path.name.lower().endswith((".gz", ".zip")):
        return None
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _LONGEST))
        end = file.read()
        if not end or end[-1:] in b"\r\n":
            return None
        line = end[max(end.rfind(b"\n"), end.rfind(b"\r")) + 1 :]
        start = size - len(line)
        return UnendedLine(_lines(file, start) + 1, line.decode("utf-8", "replace"), start)


class Beginning(io.RawIOBase):
    """The first bytes of a file.

    Args:
        file: open, at its first byte.
        size: how many bytes.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; 0 at the end."""
        part = self._file.read(min(len(buffer), self._left))
        buffer[: len(part)] = part
        self._left -= len(part)
        return len(part)


def _lines(file: IO[bytes], end: int) -> int:
    """How many line ends the first ``end`` bytes hold."""
    file.seek(0)
    count = 0
    while end > 0 and (block := file.read(min(_BLOCK, end))):
        count += block.count(b"\n") or block.count(b"\r")
        end -= len(block)
    return count
