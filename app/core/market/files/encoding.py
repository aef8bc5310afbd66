"""Files that are not what they are read as: what they are, and what to do about it."""

from __future__ import annotations

import lzma
import shlex
import zipfile
import zlib
from gzip import BadGzipFile
from typing import Final

from app.core.errors import InvalidInput

_REASON: Final = 160
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
# As Arrow words it.
_NOT_UTF8: Final = "invalid UTF8 data"


def require_utf8(name: str, format_: str, begin: bytes) -> None:
    """Nothing, where a text begins as UTF-8 does; a character at its end may be cut.

    Raises:
        InvalidInput: it is of another encoding, or no text.
    """
    if begin.startswith(_UTF16):
        raise InvalidInput(f"{name} is UTF-16 text; {_convert(name, 'UTF-16')}")
    if b"\0" in begin:
        raise InvalidInput(
            f"{name} is no text, and cannot be read as {format_}; say with --format what it is, "
            "or give it unpacked"
        )
    try:
        begin.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            raise InvalidInput(_other_encoding(name)) from None


def unreadable(name: str, format_: str, error: Exception) -> str:
    """Why a file cannot be read and what to do, by what its reader raised."""
    said = str(error)
    if isinstance(error, UnicodeDecodeError) or _NOT_UTF8 in said:
        return _other_encoding(name)
    if isinstance(error, zipfile.BadZipFile):
        return f"{name} is no whole zip file: it was cut or is something else; fetch it again"
    if isinstance(error, (EOFError, zlib.error, lzma.LZMAError, BadGzipFile)):
        return f"{name} cannot be unpacked: it was cut or is something else; fetch it again"
    # What Arrow says of a file is of no errno, and what the system says has one.
    if format_ in ("feather", "parquet") and getattr(error, "errno", None) is None:
        return (
            f"{name} cannot be read as {format_}: it was cut, or is of another format; fetch it "
            "again, or say its format with --format"
        )
    lines = said.splitlines()
    reason = lines[0] if lines else type(error).__name__
    reason = reason if len(reason) <= _REASON else f"{reason[: _REASON - 1]}…"
    return f"{name} cannot be read as {format_}: {reason}"


def packed_otherwise(error: Exception) -> str:
    """What is wrong with a zip that Python cannot open, and what to do."""
    said = str(error)
    how = "is encrypted" if "encrypt" in said else "is packed in a way that is not known here"
    return f"{how}; unpack it and import what is in it"


def _other_encoding(name: str) -> str:
    return f"{name} is not UTF-8 text; {_convert(name, 'LATIN1')}"


def _convert(name: str, of: str) -> str:
    target = shlex.quote(f"utf8-{name}")
    return f"convert it, as by: iconv -f {of} -t UTF-8 {shlex.quote(name)} > {target}"
