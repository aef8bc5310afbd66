"""Bars of one series and period as columns in a file that is mapped, not read.

A driver gives some 100,000 rows/s, a mapped file gives millions. The database stays the record:
a file says which version of its period it holds, and the store asks the database for the version
before it uses one. Files are written beside their place and renamed, so a reader sees a whole
one or none; one that lies after all (its length or its checksum) is as good as none.
"""

from __future__ import annotations

import json
import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import structlog

from app.core.market.intervals import DAY_MS, HOUR_MS, Interval
from app.core.market.klines import Floats, KlineFrame, Times

_log = structlog.get_logger(__name__)
_MAGIC: Final = b"TDMSEG1\n"
# Columns begin at a page, so that each is aligned however long the header is.
_HEADER: Final = 4_096
_VALUE: Final = 8
_COLUMNS: Final = 6
# A mapped file costs an entry of the kernel's map table, of which a process has 65,530.
_MAPPED: Final = 2_048


def period_of(interval: Interval, ts: int) -> int:
    """Open time of the period that holds ``ts``: a month of bars below an hour, else a year.

    A month of minutes is 2 MB, and so is what one late bar costs to write anew. Years keep the
    number of files small where a month has few bars.
    """
    moment = datetime.fromtimestamp(ts // 1000, UTC)
    month = moment.month if interval.length_ms < HOUR_MS else 1
    return int(datetime(moment.year, month, 1, tzinfo=UTC).timestamp()) * 1000


def period_after(interval: Interval, period: int) -> int:
    """Open time of the next period."""
    length = 31 if interval.length_ms < HOUR_MS else 366
    return period_of(interval, period + length * DAY_MS)


@dataclass(frozen=True, slots=True)
class SegmentKey:
    """Which bars a file holds.

    Attributes:
        series: names the series among those of every database that kept files here.
        period: open time of its period, ms.
        version: of the period's past, as the database had it when the bars were read.
        last_ts: open time of its last bar; -1 where it has none.
        is_whole: whether no bar can be added behind the last one under this version.
    """

    series: str
    period: int
    version: int
    last_ts: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of bars, mapped into memory."""

    key: SegmentKey
    open_ts: Times
    columns: tuple[Floats, Floats, Floats, Floats, Floats]


class SegmentFiles:
    """The files of one database. Safe for threads and for other processes at the same files.

    Args:
        root: directory of its own.
        most_bytes: what the files may take; the least recently used ones go first.
    """

    def __init__(self, root: Path, most_bytes: int) -> None:
        self._root = root
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._mapped: OrderedDict[tuple[str, int], Segment] = OrderedDict()

    def find(self, series: str, period: int, version: int) -> Segment | None:
        """The segment of that version with the most bars, or None."""
        with self._lock:
            known = self._mapped.get((series, period))
            if known is not None and known.key.version == version:
                self._mapped.move_to_end((series, period))
                return known
        for path in sorted((self._root / series).glob(f"{period}-{version}-*"), reverse=True):
            segment = _opened(path)
            if segment is not None:
                os.utime(path)  # it was used: see `_prune`
                return self._keep(segment)
        return None

    def write(self, key: SegmentKey, frame: KlineFrame) -> Segment:
        """Keep bars as a file, replacing every other of the period.

        A disk that is full costs the file and not the answer.
        """
        segment = Segment(key, frame.open_ts, frame.columns())
        folder = self._root / key.series
        path = folder / f"{key.period}-{key.version}-{key.last_ts:015d}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _written(path, segment)
            for other in folder.glob(f"{key.period}-*"):
                if other != path:
                    other.unlink(missing_ok=True)
            self._prune()
        except OSError as error:
            _log.warning("segment_not_written", path=str(path), error=str(error))
            return segment
        return self._keep(_opened(path) or segment)

    def _keep(self, segment: Segment) -> Segment:
        with self._lock:
            self._mapped[segment.key.series, segment.key.period] = segment
            while len(self._mapped) > _MAPPED:
                self._mapped.popitem(last=False)
        return segment

    def _prune(self) -> None:
        """Remove the least recently used files beyond what they may take."""
        found = []
        for path in self._root.glob("*/*"):
            try:
                stat = path.stat()
            except FileNotFoundError:  # another process was faster
                continue
            found.append((stat.st_mtime_ns, stat.st_size, path))
        size = sum(each[1] for each in found)
        for _, bytes_, path in sorted(found):
            if size <= self._most_bytes:
                return
            path.unlink(missing_ok=True)
            size -= bytes_


def joined(series: tuple[str, str, str], parts: Sequence[KlineFrame]) -> KlineFrame:
    """One frame of parts that follow each other; a single part is not copied."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        empty = np.empty(0)
        return KlineFrame(*series, np.empty(0, np.int64), empty, empty, empty, empty, empty)
    return KlineFrame(
        *series,
        np.concatenate([part.open_ts for part in parts]),
        *(np.concatenate(each) for each in zip(*(part.columns() for part in parts), strict=True)),
    )


def _written(path: Path, segment: Segment) -> None:
    data = [np.ascontiguousarray(segment.open_ts), *map(np.ascontiguousarray, segment.columns)]
    checksum = 0
    for column in data:
        checksum = zlib.crc32(column.data, checksum)
    head = json.dumps({**asdict(segment.key), "rows": len(data[0]), "crc32": checksum}).encode()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with temporary.open("wb") as file:
            file.write((_MAGIC + head).ljust(_HEADER))
            for column in data:
                file.write(column.data)
            file.flush()
            # Before the rename: a power cut must not leave a name without its bytes.
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _opened(path: Path) -> Segment | None:
    """The file, mapped; None where it is gone or not what it says."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
        said: dict[str, Any] = json.loads(head[len(_MAGIC) :])
        rows = int(said.pop("rows"))
        checksum = int(said.pop("crc32"))
        key = SegmentKey(**said)
        if not head.startswith(_MAGIC) or path.stat().st_size != _HEADER + rows * _VALUE * _COLUMNS:
            raise ValueError("its length or its beginning is wrong")
        if rows == 0:
            return Segment(key, np.empty(0, np.int64), (np.empty(0),) * 5)
        mapped = np.memmap(path, np.uint8, "r", _HEADER)
        if zlib.crc32(mapped.data) != checksum:
            raise ValueError("its checksum is wrong")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        _log.warning("segment_unreadable", path=str(path), error=str(error))
        path.unlink(missing_ok=True)
        return None
    # A plain array over the map: memmap's own slices cost microseconds each.
    columns: list[npt.NDArray[np.uint8]] = np.split(np.asarray(mapped), _COLUMNS)
    opened, high, low, close, volume = (each.view(np.float64) for each in columns[1:])
    return Segment(key, columns[0].view(np.int64), (opened, high, low, close, volume))
