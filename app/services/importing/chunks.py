"""The bars of a file, checked and sorted out, a chunk at a time and one chunk ahead."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from app.core.errors import InvalidInput
from app.core.market.files.checking import OUTSIDE, check_columns
from app.core.market.files.columns import CHUNK, KlineColumns
from app.core.market.files.endings import UnendedLine
from app.core.market.files.findings import longer_interval
from app.core.market.files.naming import BARS
from app.core.market.files.ordering import is_in_order, sorted_bars
from app.core.market.files.reading import goes_on, read_bars, read_last, read_times
from app.core.market.files.repeats import sorted_out, without_repeats
from app.core.market.files.tables import NoRowsError
from app.core.market.files.tape import Carried, Tape, columns_of_bars
from app.core.market.validation import BadKline
from app.services.importing.order import ImportFile, ImportOrder

R = TypeVar("R")
#: Rows of a chunk.
MOST = CHUNK
#: The reason of a bar that is stated by a line without a line end.
UNENDED: Final = "it is the last line of the file and has no line end: it may be cut"
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
        same: rows that say nothing that another one does not say; they are dropped.
        differing: how many of the bad ones contradict a good bar of their time.
        unfinished: rows of bars that have not closed yet.
        outside: rows outside the range that the order asks for.
        unended: the file's last line, which may be cut, where this is its chunk.
        ends: open times of bars of trades that were left out, as they are not whole.
        carried: at the end of a file of trades, what the next one goes on with.
        ends_tape: it is the last bar of trades that no other file goes on with.
        trades: rows of the file that are trades; ``rows`` counts the bars that they make.
    """

    rows: int
    good: KlineColumns
    bad: list[BadKline]
    same: int
    differing: int
    unfinished: int
    outside: int
    unended: UnendedLine | None = None
    ends: Sequence[int] = ()
    carried: Carried | None = None
    ends_tape: bool = False
    trades: int = 0


def checked_chunks(
    path: Path,
    file: ImportFile,
    order: ImportOrder,
    now_ms: int,
    folder: Path,
    *,
    skip: int = 0,
    carried: Carried | None = None,
    most: int | None = None,
) -> Generator[Chunk]:
    """The chunks of a file: in its order where that is one of time, else ascending.

    Rows of one time are in one chunk, so that each chunk is judged by itself.

    Args:
        now_ms: market time.
        folder: where a file lies that is sorted first.
        skip: how many chunks to leave out at the beginning.
        carried: of the file of trades before, if it is of the same series.
        most: rows of a chunk, other than ``MOST``.

    Raises:
        NoRowsError: it has none.
        InvalidInput: the file cannot be read, or most of a chunk cannot be bars.
        Unavailable: it is to be sorted, and the disk has no room.
    """
    tape = _tape(path, file, carried)
    most = most or MOST
    bars = read_bars(path, file.reading, tape, most)
    if file.reading.holds == BARS and not is_in_order(read_times(path, file.reading), most):
        bars = sorted_bars(path.name, read_times(path, file.reading), bars, folder, most=most)
    count = read = 0
    for stated in bars:
        count += 1
        of_trades = tape.taken()
        trades, read = tape.seen - read, tape.seen
        if count > skip:
            chunk = _with_trades(_checked(stated, file, order, now_ms), order, *of_trades)
            _require_bars(path.name, chunk, file)
            yield replace(chunk, trades=trades)
    last = read_last(path, file.reading)
    if last is not None and count >= skip:
        yield _unended(*last, file, order, now_ms)
    if tape.seen and count >= skip:
        chunk = _with_trades(_nothing(), order, *tape.taken())
        yield replace(chunk, carried=tape.carried(), trades=tape.seen - read)
    if last is None and not count and not tape.seen:
        raise NoRowsError(path.name)


def last_of_tape(carried: Carried, file: ImportFile, order: ImportOrder, now_ms: int) -> Chunk:
    """The bar with which a tape of trades ends, where the tape holds all of it."""
    if not carried.is_whole(file.interval):
        ended = _with_trades(_nothing(), order, 0, [carried.bar.open_ts])
    else:
        ended = _checked(columns_of_bars([carried.bar]), file, order, now_ms)
    return replace(ended, ends_tape=True)


def ends_before(path: Path, file: ImportFile, carried: Carried) -> bool:
    """Whether the tape so far ends before a file of trades; a few of its trades are read.

    Raises:
        InvalidInput: they cannot be read.
    """
    return not goes_on(path, file.reading, _tape(path, file, carried))


def require_beginning(path: Path, file: ImportFile, order: ImportOrder, now_ms: int) -> None:
    """Nothing, where the first rows of a file can be read as its bars.

    Raises:
        NoRowsError: it has none.
        InvalidInput: they cannot.
    """
    tape = _tape(path, file, None)
    stated = next(read_bars(path, file.reading, tape, MOST), None)
    if stated is not None:
        _require_bars(path.name, _checked(stated, file, order, now_ms), file)
    elif read_last(path, file.reading) is None and not tape.seen:
        raise NoRowsError(path.name)


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


def _tape(path: Path, file: ImportFile, carried: Carried | None) -> Tape:
    return Tape(file.interval, path.name, file.period, file.reading.layout, carried)


def _nothing() -> Chunk:
    """A chunk of no rows."""
    return Chunk(0, KlineColumns.joined([]), [], 0, 0, 0, 0)


def _with_trades(chunk: Chunk, order: ImportOrder, seen: int, ends: Sequence[int]) -> Chunk:
    """A chunk with what was found of its trades.

    Args:
        seen: trades that were left out, as they came before.
        ends: bars that are not whole.
    """
    first, stop = _range(order)
    asked = [opened for opened in ends if first <= opened < stop]
    return replace(chunk, same=chunk.same + seen, ends=asked)


def _range(order: ImportOrder) -> tuple[int, int]:
    """[start, end) of the open times that are asked for."""
    return (
        0 if order.start is None else order.start,
        _LATEST if order.end is None else order.end,
    )


def _checked(stated: KlineColumns, file: ImportFile, order: ImportOrder, now_ms: int) -> Chunk:
    first, stop = _range(order)
    different, repeats = without_repeats(stated.ordered())
    wanted = different.kept((different.open_ts >= first) & (different.open_ts < stop))
    present = file.interval.next(file.interval.floor(now_ms))
    found = check_columns(wanted, file.interval, start=0, end=present, closed_by=now_ms - _GRACE_MS)
    bad, same, differing = sorted_out(found.good, [_told(entry) for entry in found.bad])
    return Chunk(
        len(stated),
        found.good,
        bad,
        repeats + same,
        differing,
        found.unfinished,
        len(different) - len(wanted),
    )


def _unended(
    line: UnendedLine,
    bar: KlineColumns | None,
    file: ImportFile,
    order: ImportOrder,
    now_ms: int,
) -> Chunk:
    """The last line, which may be cut: what would be stored of it is for quarantine."""
    if bar is None:
        return replace(_nothing(), rows=1, unended=line)
    alone = _checked(bar, file, order, now_ms)
    bad = list(alone.bad)
    if len(alone.good):
        bad.append(BadKline(int(alone.good.open_ts[0]), alone.good.texts(0), UNENDED))
    none = KlineColumns.joined([])
    return replace(alone, good=none, bad=bad, unended=line if bad else None)


def _told(entry: BadKline) -> BadKline:
    """A bar with the reason as it is of a file."""
    if entry.reason != OUTSIDE:
        return entry
    reason = "it opens before 1970" if entry.open_ts < 0 else "it opens in the future"
    return replace(entry, reason=reason)


def _require_bars(name: str, chunk: Chunk, file: ImportFile) -> None:
    if len(chunk.bad) >= _BAD_ENOUGH and len(chunk.bad) * 2 > chunk.rows:
        first = chunk.bad[0]
        raise InvalidInput(
            f"{len(chunk.bad)} of {chunk.rows} rows of {name} cannot be bars of this interval, the "
            f"first because {first.reason}; look at --interval, --columns and --utc-offset"
        )
    longer = longer_interval(chunk.good.open_ts, file.interval)
    if longer is not None and file.reading.holds == BARS:
        raise InvalidInput(
            f"{name} holds bars of {longer}, not of {file.interval}: nearly all of them open one "
            f"{longer} apart; say --interval {longer}"
        )
