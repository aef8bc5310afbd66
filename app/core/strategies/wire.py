"""Messages between the platform and a strategy's process: a JSON header and binary columns.

On the pipe: ``>II`` header length and number of blobs, ``>Q`` for the length of each blob,
the header, the blobs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from app.core.errors import InvalidInput

_PREFIX: Final = struct.Struct(">II")
_SIZE: Final = struct.Struct(">Q")
MAX_HEADER: Final = 256 * 1024 * 1024
MAX_BLOBS: Final = 10_000
MAX_BLOB: Final = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        header: plain JSON; ``op`` names a request's operation.
        blobs: columns that the header refers to by number.
    """

    header: dict[str, Any]
    blobs: list[bytes] = field(default_factory=list)

    def encode(self) -> bytes:
        """The message as it goes over the pipe."""
        text = json.dumps(self.header, separators=(",", ":")).encode()
        sizes = b"".join(_SIZE.pack(len(blob)) for blob in self.blobs)
        return b"".join([_PREFIX.pack(len(text), len(self.blobs)), sizes, text, *self.blobs])


def read_message(
    read: Callable[[int], bytes], most_header: int = MAX_HEADER, most_blobs: int = MAX_BLOBS
) -> Message | None:
    """The next message.

    Args:
        read: returns exactly as many bytes as it is asked for, or fewer at the end of the
            stream.
        most_header, most_blobs: bytes of the header and number of blobs that are taken.

    Returns:
        The message, or None at the end of the stream.

    Raises:
        InvalidInput: what came is not a message.
    """
    prefix = read(_PREFIX.size)
    if len(prefix) < _PREFIX.size:
        return None
    header_size, count = _PREFIX.unpack(prefix)
    if header_size > most_header or count > most_blobs:
        raise InvalidInput("the stream holds something else than messages")
    sizes = [_SIZE.unpack(read(_SIZE.size))[0] for _ in range(count)]
    if any(size > MAX_BLOB for size in sizes):
        raise InvalidInput("a message announced an absurd size")
    text = read(header_size)
    blobs = [read(size) for size in sizes]
    if len(text) < header_size or any(
        len(blob) < size for blob, size in zip(blobs, sizes, strict=True)
    ):
        return None
    return Message(json.loads(text), blobs)
