"""Texts of rows as columns, parsed a block of whole lines at a time.

Arrow is given bytes that are here already, and no file of Python's: its own thread would read on
in that after an error, and a process that ends meanwhile is aborted (4 of 160).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Final

from app.core.errors import InvalidInput
from app.core.market.files.columns import CHUNK

if TYPE_CHECKING:
    import pyarrow as pa

#: Of text that is parsed at once: some 8,000 bars. Four times that cost 15 MB and won nothing.
BLOCK: Final = 1 * 1024 * 1024
_ROW: Final = re.compile(rb"\[([^\[\]]*)\]")
_BETWEEN_ROWS: Final = re.compile(rb"[\s,\[\]]*")
# What may follow the last whole row of a list that was cut: a comma, and the next row's beginning.
_CUT_ROW: Final = re.compile(rb"[\s,\[]*[-+0-9.eEnul\"\s,]*")
_END: Final = 64 * 1024
_NO_LIST: Final = "it is no list of lists"
_CUT: Final = "it ends before its list does; fetch it again"


def parsed(
    name: str,
    file: IO[bytes],
    delimiter: str,
    width: int,
    wanted: Sequence[int],
    *,
    has_header: bool = False,
    unit: str = "line",
) -> Iterator[list[pa.Array]]:
    """The columns at the wanted positions as texts, a block of lines at a time.

    Args:
        name: of the file, for messages.
        file: at its beginning.
        width: how many columns each line has.
        has_header: its first line is none of the rows.
        unit: what a line is for people.

    Raises:
        InvalidInput: a line has more columns or fewer, or is longer than a block.
    """
    import pyarrow.compute as pc

    names = [str(position) for position in range(width)]
    included = [names[position] for position in wanted]
    before = 0
    if has_header:
        file.readline()
        before = 1
    for block in _blocks(name, file, unit):
        table = _table(name, block, delimiter, names, included, unit, before)
        # Spaces beside a delimiter are none of a value; most files have not one in a block.
        is_spaced = b" " in block
        for part in table.to_batches(CHUNK):
            columns = [part.column(column) for column in included]
            yield [pc.ascii_trim_whitespace(each) for each in columns] if is_spaced else columns
        before += _count(block)


def first_row(name: str, begin: bytes) -> list[bytes] | None:
    """The cells of the first row of a list of lists; None where that has none.

    Args:
        begin: the first bytes of the file, up to 64 KiB of them.

    Raises:
        InvalidInput: it is no list of lists, or was cut.
    """
    first = _ROW.search(begin)
    if first is None:
        is_cut = len(begin) < _END and begin.strip() and _CUT_ROW.fullmatch(begin)
        raise InvalidInput(f"{name} cannot be read as json: {_CUT if is_cut else _NO_LIST}")
    return first[1].split(b",") if first[1].strip() else None


class JsonLines(io.RawIOBase):
    """A list of lists as lines of comma-separated values, a block at a time."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._text = b""
        self._lines = b""
        self._end = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with lines; 0 at the end."""
        while not self._lines:
            block = self._file.read(BLOCK)
            self._text += block
            self._end = b"".join((self._end + block[-_END:]).split())[-2:]
            self._take(is_last=not block)
            if not block:
                break
        part = self._lines[: len(buffer)]
        buffer[: len(part)] = part
        self._lines = self._lines[len(part) :]
        return len(part)

    def _take(self, *, is_last: bool) -> None:
        end = self._text.rfind(b"]") + 1
        whole, self._text = self._text[:end], self._text[end:]
        rows = _ROW.findall(whole)
        if not _BETWEEN_ROWS.fullmatch(_ROW.sub(b"", whole)):
            raise OSError(_NO_LIST)
        if is_last and not _CUT_ROW.fullmatch(self._text):
            raise OSError(_NO_LIST)
        if is_last and self._end != b"]]":
            raise OSError(_CUT)
        self._lines = b"".join(row.replace(b"null", b"").replace(b" ", b"") + b"\n" for row in rows)


def _blocks(name: str, file: IO[bytes], unit: str) -> Iterator[bytes]:
    """The file in blocks that end with a line; the last one may end without a line end."""
    rest = b""
    while block := file.read(BLOCK):
        rest += block
        end = (rest.rfind(b"\n") + 1) or (rest.rfind(b"\r") + 1)
        if end:
            yield rest[:end]
            rest = rest[end:]
        elif len(rest) > BLOCK:
            raise InvalidInput(
                f"{name} has a {unit} of more than {BLOCK:,} bytes, which is no row of numbers"
            )
    if rest:
        yield rest


def _count(block: bytes) -> int:
    return block.count(b"\n") or block.count(b"\r")


def _table(
    name: str,
    block: bytes,
    delimiter: str,
    names: list[str],
    included: list[str],
    unit: str,
    before: int,
) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    wrong: list[Any] = []

    def refuse(row: Any) -> str:
        wrong.append(row)
        return "error"

    try:
        return csv.read_csv(
            pa.BufferReader(block),
            csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
            csv.ParseOptions(delimiter=delimiter, invalid_row_handler=refuse),
            csv.ConvertOptions(
                column_types=dict.fromkeys(included, pa.string()),
                include_columns=list(dict.fromkeys(included)),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid:
        if not wrong:
            raise
    row = wrong[0]
    number = before + _line_of(block, row.number)
    raise InvalidInput(
        f"{unit} {number:,} of {name} has {row.actual_columns} columns instead of "
        f"{row.expected_columns}: the file is damaged; fetch it again"
    )


def _line_of(block: bytes, row: int) -> int:
    """Which line a row is, both from 1: Arrow counts no empty ones."""
    for number, line in enumerate(block.splitlines(), 1):
        row -= bool(line)
        if not row:
            return number
    return _count(block)
