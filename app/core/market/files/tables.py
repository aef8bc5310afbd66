"""Files as batches of columns: CSV and JSON as the texts that stand there, Arrow as it is."""

from __future__ import annotations

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from app.core.errors import InvalidInput
from app.core.market.files.columns import CHUNK
from app.core.market.files.encoding import packed_otherwise, require_utf8, unreadable
from app.core.market.files.endings import Beginning, UnendedLine, unended_line
from app.core.market.files.lines import BLOCK, JsonLines, first_row, parsed

if TYPE_CHECKING:
    import pyarrow as pa

_FIRST_LINE: Final = 64 * 1024
_DELIMITERS: Final = (",", ";", "\t", "|")


class NoRowsError(InvalidInput):
    """A file that states nothing: it is empty, or has a header alone."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has no rows")


@dataclass(frozen=True, slots=True)
class Table:
    """An open file.

    Attributes:
        header: the columns' names; None where the file has none.
        width: how many columns it has.
        batches: reads the columns at the given positions, at most ``CHUNK`` rows at a time.
        rows: about how many rows it has, by its beginning and its size.
        unended: the last line, which may be cut and is not among the batches.
        last: its cells.
    """

    header: list[str] | None
    width: int
    batches: Callable[[Sequence[int]], Iterator[list[pa.Array]]]
    rows: Callable[[], int]
    unended: UnendedLine | None = None
    last: Sequence[str] = ()


@contextmanager
def open_table(path: Path, format_: str, *, is_whole: bool = False) -> Iterator[Table]:
    """The file as a table.

    Args:
        format_: ``csv``, ``json``, ``feather`` or ``parquet``.
        is_whole: the last line of a text counts, though no line end follows it.

    Raises:
        NoRowsError: it is empty.
        InvalidInput: it is not there, or is not what its format says; the latter perhaps while
            batches are read.
    """
    import pyarrow as pa

    if not path.is_file():
        raise InvalidInput(f"{path} does not exist or is no file")
    openers: dict[str, Callable[[Path, ExitStack], Table]] = {
        "csv": partial(_csv, is_whole=is_whole),
        "json": _json,
        "feather": _feather,
        "parquet": _parquet,
    }
    try:
        with ExitStack() as stack:
            yield openers[format_](path, stack)
    except (
        pa.ArrowException, OSError, EOFError, UnicodeDecodeError,
        zipfile.BadZipFile, zlib.error, lzma.LZMAError,
    ) as error:  # fmt: skip
        raise InvalidInput(unreadable(path.name, format_, error)) from None


def _csv(path: Path, stack: ExitStack, *, is_whole: bool) -> Table:
    with _opened(path) as file:
        line = file.readline(_FIRST_LINE)
    require_utf8(path.name, "csv", line)
    first = line.decode("utf-8-sig").strip("\r\n")
    if not first:
        raise NoRowsError(path.name)
    if "\r" in first:
        raise InvalidInput(
            f"the lines of {path.name} end with a carriage return alone, as on an old Macintosh; "
            f"convert it: tr '\\r' '\\n' < {path.name}"
        )
    delimiter = max(_DELIMITERS, key=first.count)
    cells = _cells(first, delimiter)
    has_header = not any(_is_number(cell) for cell in cells) and not cells[0][:1].isdigit()
    file = stack.enter_context(_opened(path))
    unended = None if is_whole else unended_line(path)
    is_row = unended is not None and not (has_header and unended.start == 0)
    if unended is not None and is_row:
        file = io.BufferedReader(Beginning(file, unended.start), BLOCK)
    table = Table(
        cells if has_header else None,
        len(cells),
        partial(parsed, path.name, file, delimiter, len(cells), has_header=has_header),
        partial(_text_rows, path, b"\n"),
    )
    if unended is None or not is_row:
        return table
    return replace(table, unended=unended, last=_cells(unended.text, delimiter))


def _json(path: Path, stack: ExitStack) -> Table:
    """Rows of freqtrade's JSON: a list of lists of numbers, without names."""
    with _opened(path) as file:
        begin = file.read(_FIRST_LINE)
    require_utf8(path.name, "json", begin)
    cells = first_row(path.name, begin)
    if cells is None:
        raise NoRowsError(path.name)
    lines = io.BufferedReader(JsonLines(stack.enter_context(_opened(path))), BLOCK)
    batches = partial(parsed, path.name, lines, ",", len(cells), unit="row")
    return Table(None, len(cells), batches, partial(_text_rows, path, b"]"))


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(delimiter)]


def _feather(path: Path, stack: ExitStack) -> Table:
    from pyarrow import ipc

    reader = stack.enter_context(ipc.open_file(str(path)))

    def batches(wanted: Sequence[int]) -> Iterator[list[pa.Array]]:
        _require_plain(path.name, reader.schema, wanted)
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            yield from _sliced([batch.column(position) for position in wanted])

    def rows() -> int:
        # All batches but the last one have as many.
        count = reader.num_record_batches
        return count * reader.get_batch(0).num_rows if count else 0

    return Table(list(reader.schema.names), len(reader.schema.names), batches, rows)


def _parquet(path: Path, stack: ExitStack) -> Table:
    from pyarrow import parquet

    file = stack.enter_context(parquet.ParquetFile(path))
    names = list(file.schema_arrow.names)

    def batches(wanted: Sequence[int]) -> Iterator[list[pa.Array]]:
        _require_plain(path.name, file.schema_arrow, wanted)
        included = [names[position] for position in wanted]
        unique = list(dict.fromkeys(included))
        for batch in file.iter_batches(CHUNK, columns=unique, use_threads=False):
            yield [batch.column(name) for name in included]

    return Table(names, len(names), batches, lambda: int(file.metadata.num_rows))


def _require_plain(name: str, schema: pa.Schema, wanted: Sequence[int]) -> None:
    """Nothing, where each cell of the columns is one value, of a moment or an amount.

    Raises:
        InvalidInput: it is several, or a length of time.
    """
    import pyarrow as pa

    for position in wanted:
        type_ = schema.types[position]
        if pa.types.is_nested(type_) or pa.types.is_duration(type_) or pa.types.is_interval(type_):
            raise InvalidInput(
                f"the column {schema.names[position][:40]!r} of {name} is of the type "
                f"{str(type_)[:60]}, which is neither a time nor a number; say with --columns "
                "which column it is"
            )


def _sliced(columns: list[pa.Array]) -> Iterator[list[pa.Array]]:
    for start in range(0, len(columns[0]), CHUNK):
        yield [column.slice(start, CHUNK) for column in columns]


def _opened(path: Path) -> Any:
    """The file's bytes, decompressed by its name's ending."""
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rb")
    if path.name.lower().endswith(".zip"):
        return _member(path)
    return path.open("rb")


@contextmanager
def _member(path: Path) -> Iterator[IO[bytes]]:
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
            members = [each for each in archive.infolist() if not each.is_dir()]
            if len(members) != 1:
                raise InvalidInput(f"{path.name} holds {len(members)} files; one is expected")
            file = stack.enter_context(archive.open(members[0]))
        except (RuntimeError, NotImplementedError) as error:
            raise InvalidInput(f"{path.name} {packed_otherwise(error)}") from None
        yield file


def _text_rows(path: Path, end: bytes) -> int:
    """About how many rows a text has, each of which ends with some bytes."""
    with _opened(path) as file:
        begin = file.read(_FIRST_LINE)
    return round(begin.count(end) * _text_size(path) / len(begin)) if begin else 0


def _text_size(path: Path) -> int:
    """Bytes of a text, unpacked, as its file says; of a gzip above 4 GiB too few."""
    name = path.name.lower()
    if name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            return sum(each.file_size for each in archive.infolist())
    if name.endswith(".gz"):
        with path.open("rb") as file:
            file.seek(-4, io.SEEK_END)
            return int.from_bytes(file.read(4), "little")
    return path.stat().st_size


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
