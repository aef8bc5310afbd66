"""A file whose bars are in no order of time: sorted on disk, read back a chunk at a time.

The times alone (8 bytes a row) say where to cut; the bars lie in one unnamed file in between, so
that the memory is that of two chunks and of the times, and a process that is killed leaves nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from app.core.errors import InvalidInput, Unavailable
from app.core.market.files.arrays import arrow_of, numbers_of
from app.core.market.files.columns import CHUNK, KlineColumns
from app.core.market.klines import Times

if TYPE_CHECKING:
    import pyarrow as pa

_FIELDS: Final = (
    "open_ts", "open", "high", "low", "close", "volume", "quote_volume", "trade_count",
)  # fmt: skip
# Rows of one time stay together. So many chunks of one time are no bars, and would not fit.
_MOST_CHUNKS: Final = 4
#: Rows that are sorted within one slice of work: reading and writing them takes some 20 s.
MOST_ROWS: Final = 10_000_000


def is_in_order(parts: Iterable[Times], most: int = CHUNK) -> bool:
    """Whether the chunks of a file follow each other in time, up or down, and none touches another.

    Within a chunk the rows may be in any order.

    Args:
        parts: the times of the file, in its order.
        most: rows of a chunk, as ``rechunked`` makes them of the same file.
    """
    rises: bool | None = None
    before: tuple[int, int] | None = None
    for times in _even(parts, most):
        low, high = int(times.min()), int(times.max())
        if before is not None:
            goes_up = low > before[1]
            if not goes_up and high >= before[0]:
                return False
            if rises is not None and rises is not goes_up:
                return False
            rises = goes_up
        before = low, high
    return True


def sorted_bars(
    name: str,
    parts: Iterable[Times],
    bars: Iterable[KlineColumns],
    folder: Path,
    *,
    most: int = CHUNK,
) -> Iterator[KlineColumns]:
    """The bars of a file in ascending chunks; rows of one time are in one chunk, in their order.

    Args:
        name: of the file, for messages.
        parts, bars: the times of the file and its bars, each in its order; read once, in turn.
        folder: where the bars lie meanwhile: about as much as the file has.
        most: rows of a chunk, but for those of one time.

    Raises:
        InvalidInput: there are too many rows, or too many of one time.
        Unavailable: the disk has no room for them.
    """
    cuts = _cuts(name, parts, most)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            places = _written(file, bars, cuts)
            yield from _read(file, places)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unavailable(f"{name} cannot be sorted in {folder}: {reason}") from None


def _even(parts: Iterable[Times], most: int) -> Iterator[Times]:
    """The same times, ``most`` at once, the last time fewer."""
    waiting = np.empty(0, np.int64)
    for part in parts:
        waiting = np.concatenate([waiting, part])
        while len(waiting) >= most:
            yield waiting[:most]
            waiting = waiting[most:]
    if len(waiting):
        yield waiting


def _cuts(name: str, parts: Iterable[Times], most: int) -> Times:
    """The times at which a chunk begins, but the first."""
    held: list[Times] = []
    rows = 0
    for part in parts:
        rows += len(part)
        if rows > MOST_ROWS:
            raise InvalidInput(
                f"{name} has more than {MOST_ROWS:,} rows and is not in the order of its times; "
                "sort it by time, or cut it into smaller files"
            )
        held.append(part)
    times = np.sort(np.concatenate(held))
    cuts: Times = np.unique(times[most::most])
    cuts = cuts[cuts > times[0]]
    bounds = np.concatenate([[0], np.searchsorted(times, cuts), [rows]])
    sizes = np.diff(bounds)
    largest = int(np.argmax(sizes))
    if sizes[largest] > _MOST_CHUNKS * most:
        first, last = int(times[bounds[largest]]), int(times[bounds[largest + 1] - 1])
        raise InvalidInput(
            f"{name} has {int(sizes[largest])} rows between {first} and {last}, which bars cannot "
            "be; look at --columns and --time-unit"
        )
    return cuts


def _written(file: IO[bytes], bars: Iterable[KlineColumns], cuts: Times) -> list[list[int]]:
    """Write the bars; of each chunk to be, which batches of the file hold its rows."""
    from pyarrow import ipc

    places: list[list[int]] = [[] for _ in range(len(cuts) + 1)]
    count = 0
    with ipc.new_file(file, _schema()) as writer:
        for columns in bars:
            belongs = np.searchsorted(cuts, columns.open_ts, side="right")
            order = np.argsort(belongs, kind="stable")
            batch = _batch(columns).take(arrow_of(order))
            chunks, starts = np.unique(belongs[order], return_index=True)
            ends = [*starts[1:].tolist(), len(order)]
            for chunk, start, end in zip(chunks.tolist(), starts.tolist(), ends, strict=True):
                writer.write_batch(batch.slice(start, end - start))
                places[chunk].append(count)
                count += 1
    return places


def _read(file: IO[bytes], places: Sequence[Sequence[int]]) -> Iterator[KlineColumns]:
    from pyarrow import ipc

    file.seek(0)
    reader = ipc.open_file(file)
    for batches in places:
        parts = [_columns(reader.get_batch(position)) for position in batches]
        yield KlineColumns.joined(parts).ordered()


def _schema() -> pa.Schema:
    import pyarrow as pa

    whole = ("open_ts", "trade_count")
    return pa.schema([(name, pa.int64() if name in whole else pa.string()) for name in _FIELDS])


def _batch(columns: KlineColumns) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [arrow_of(columns.open_ts), *columns.arrays()]
    return pa.RecordBatch.from_arrays(arrays, schema=_schema())


def _columns(batch: pa.RecordBatch) -> KlineColumns:
    return KlineColumns(numbers_of(batch.column(0)), *batch.columns[1:])
