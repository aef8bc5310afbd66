"""The bars of a file, checked and sorted out, a chunk at a time and one chunk ahead."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from app.core.errors import InvalidInput
from app.core.market.files.checking import OUTSIDE, check_columns
from app.core.market.files.columns import KlineColumns
from app.core.market.files.reading import read_bars
from app.core.market.validation import NOT_ABOVE, BadKline
from app.services.importing.order import ImportFile, ImportOrder

R = TypeVar("R")
# Of a chunk: where most bars are bad, it is the reading that is wrong and not the bars.
_BAD_ENOUGH: Final = 20
_LATEST: Final = 1 << 62
# After its close a bar is final this much later, as where it is asked for.
_GRACE_MS: Final = 3_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bars of a file.

    Attributes:
        rows: how many rows of the file it comes from.
        good: bars to store, as ``check_columns`` lets them pass.
        bad: bars for quarantine.
        same, differing: how many of the bad ones repeat a good bar, equally or otherwise.
        unfinished: rows of bars that have not closed yet.
        outside: rows outside the range that the order asks for.
    """

    rows: int
    good: KlineColumns
    bad: list[BadKline]
    same: int
    differing: int
    unfinished: int
    outside: int


def checked_chunks(
    path: Path, file: ImportFile, order: ImportOrder, now_ms: int
) -> Generator[Chunk]:
    """The chunks of a file, in its order; a file may descend by time as well.

    Args:
        now_ms: market time.

    Raises:
        InvalidInput: the file cannot be read, or most of a chunk cannot be bars.
    """
    after, before = -1, _LATEST
    descends: bool | None = None
    for stated in read_bars(path, file.reading, file.interval):
        if descends is None and len(stated) > 1:
            descends = bool(stated.open_ts[0] > stated.open_ts[-1])
        chunk, last = _checked(stated.ordered(), file, order, now_ms, after, before)
        _require_bars(path.name, chunk)
        if descends and len(chunk.good):
            before = int(chunk.good.open_ts[0])
        elif not descends:
            after = last
        yield chunk


def ahead(chunks: Iterator[R]) -> Iterator[R]:
    """The same, with the next one made on another thread while this one is worked on.

    What makes a chunk (decompressing, parsing, checking) lets go of Python's lock, and so does
    the wait for the database: together they take as long as the longer one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="import") as pool:
        nothing = object()
        coming = pool.submit(next, chunks, nothing)
        while (chunk := coming.result()) is not nothing:
            coming = pool.submit(next, chunks, nothing)
            yield chunk  # type: ignore[misc]


def _checked(
    stated: KlineColumns,
    file: ImportFile,
    order: ImportOrder,
    now_ms: int,
    after: int,
    before: int,
) -> tuple[Chunk, int]:
    first = 0 if order.start is None else order.start
    stop = _LATEST if order.end is None else order.end
    wanted = stated.kept((stated.open_ts >= first) & (stated.open_ts < stop))
    present = file.interval.next(file.interval.floor(now_ms))
    end = min(present, before)
    found = check_columns(
        wanted, file.interval, start=0, end=end, closed_by=now_ms - _GRACE_MS, after=after
    )
    bad = [_told(entry, present) for entry in found.bad]
    same, differing = _repeated(found.good, bad)
    chunk = Chunk(
        len(stated),
        found.good,
        bad,
        same,
        differing,
        found.unfinished,
        len(stated) - len(wanted),
    )
    return chunk, found.last


def _told(entry: BadKline, present: int) -> BadKline:
    """A bar with the reason as it is of a file."""
    if entry.reason != OUTSIDE:
        return entry
    if entry.open_ts < 0:
        return replace(entry, reason="it opens before 1970")
    reason = "it opens in the future" if entry.open_ts >= present else NOT_ABOVE
    return replace(entry, reason=reason)


def _repeated(good: KlineColumns, bad: Iterable[BadKline]) -> tuple[int, int]:
    """How many bad bars repeat a good one of this chunk: equally, and otherwise."""
    import numpy as np
    import pyarrow as pa

    from app.core.market.files.exact import exact

    again = [entry for entry in bad if entry.reason == NOT_ABOVE]
    same = 0
    for entry in again:
        position = int(np.searchsorted(good.open_ts, entry.open_ts))
        if position < len(good) and good.open_ts[position] == entry.open_ts:
            stated = pa.array(entry.row[1:7], pa.string())
            texts = exact(stated, may_be_null=True).texts.to_pylist()
            same += good.texts(position)[1:] == [*texts, entry.row[7]]
    return same, len(again) - same


def _require_bars(name: str, chunk: Chunk) -> None:
    if len(chunk.bad) >= _BAD_ENOUGH and len(chunk.bad) * 2 > chunk.rows:
        first = chunk.bad[0]
        raise InvalidInput(
            f"{len(chunk.bad)} of {chunk.rows} rows of {name} cannot be bars of this interval, the "
            f"first because {first.reason}; look at --interval, --columns and --utc-offset"
        )
