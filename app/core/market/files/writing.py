"""Bars into files: Parquet, CSV, and feather as freqtrade reads it."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.core.errors import InvalidInput
from app.core.market.files.arrays import arrow_of
from app.core.market.files.columns import AMOUNTS, KlineColumns
from app.core.market.files.exact import decimals
from app.core.market.klines import KlineRow

if TYPE_CHECKING:
    import pyarrow as pa

#: What can be written, with what it keeps of the amounts.
FORMATS: Final = {
    "csv": "exact: the canonical text",
    "parquet": "exact: decimal128(36,18)",
    "feather": "float64, as freqtrade keeps them",
}
_ENDINGS: Final = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet", ".feather": "feather"}
# freqtrade writes its feather files so.
_COMPRESSION: Final = "lz4"


def format_of(path: Path, given: str = "") -> str:
    """The format of a file to write, by its name unless it is given.

    Raises:
        InvalidInput: there is no such format, or neither says one.
    """
    if given and given not in FORMATS:
        raise InvalidInput(f"--format was {given[:40]!r}; use one of {', '.join(FORMATS)}")
    name = path.name.lower()
    found = given or next((kind for end, kind in _ENDINGS.items() if name.endswith(end)), "")
    if found not in FORMATS:
        raise InvalidInput(
            f"{path.name[:60]} has a name that does not say its format; say it with --format, one "
            f"of {', '.join(FORMATS)}"
        )
    return found


def write_bars(path: Path, format_: str, chunks: Iterable[KlineColumns]) -> int:
    """Write checked bars, ascending; how many there were. The file is whole when this returns.

    A format that keeps float64 gives each amount as the float64 nearest to it.
    """
    writers = {"csv": _csv, "parquet": _parquet, "feather": _feather}
    with ExitStack() as stack:
        write = writers[format_](path, stack)
        bars = 0
        for chunk in chunks:
            write(chunk)
            bars += len(chunk)
    return bars


def _csv(path: Path, stack: ExitStack) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    is_packed = path.name.lower().endswith(".gz")
    opened = gzip.open if is_packed else Path.open
    file = stack.enter_context(opened(path, "wb"))
    file.write((",".join(KlineRow._fields) + "\n").encode())
    how = csv.WriteOptions(include_header=False, quoting_style="none")

    def write(chunk: KlineColumns) -> None:
        columns = [arrow_of(chunk.open_ts), *chunk.arrays()]
        csv.write_csv(pa.table(columns, names=KlineRow._fields), file, how)

    return write


def _parquet(path: Path, stack: ExitStack) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    amount = pa.decimal128(36, 18)
    types = [pa.timestamp("ms", "UTC"), *[amount] * 6, pa.int64()]
    schema = pa.schema(list(zip(KlineRow._fields, types, strict=True)))
    writer = stack.enter_context(parquet.ParquetWriter(path, schema, compression="zstd"))

    def write(chunk: KlineColumns) -> None:
        *amounts, count = chunk.arrays()
        columns = [_moments(chunk), *map(decimals, amounts), count]
        writer.write_table(pa.table(columns, schema=schema))

    return write


def _feather(path: Path, stack: ExitStack) -> Any:
    import pyarrow as pa
    from pyarrow import ipc

    types = [pa.timestamp("ms", "UTC"), *[pa.float64()] * len(AMOUNTS)]
    schema = pa.schema(list(zip(("date", *AMOUNTS), types, strict=True)))
    options = ipc.IpcWriteOptions(compression=_COMPRESSION)
    writer = stack.enter_context(ipc.new_file(str(path), schema, options=options))

    def write(chunk: KlineColumns) -> None:
        columns = [_moments(chunk), *(_floats(each) for each in chunk.arrays()[: len(AMOUNTS)])]
        writer.write_table(pa.table(columns, schema=schema))

    return write


def _moments(chunk: KlineColumns) -> pa.Array:
    import pyarrow as pa

    return arrow_of(chunk.open_ts).cast(pa.timestamp("ms", "UTC"))


def _floats(texts: pa.Array) -> pa.Array:
    """The nearest float64 of each text, as Python's ``float`` rounds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.cast(texts, pa.float64())
