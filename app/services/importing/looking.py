"""Whether the files of a series are of its market, looked at before any of them comes in.

Where only a later file meets stored bars, all that comes before it in another market's files would
be stored as new bars. One file is looked at, of trades no more than its first bars: an archive of
gigabytes is not read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

from app.core.errors import InvalidInput, NotGiven
from app.core.market.files.naming import TRADES
from app.core.market.files.reading import read_times
from app.repositories.unit import Unit, Units
from app.services.importing.account import shift_error
from app.services.importing.chunks import Chunk
from app.services.importing.contradictions import meets_stored, require_agreement
from app.services.importing.keeping import shift_of
from app.services.importing.order import ImportFile, ImportOrder

#: Bars of a chunk of trades that are only looked at: three hours of minutes.
FEW: Final = 200
# Chunks that are looked at: five million bars of files of bars, 20,000 of trades.
_FORESEEN: Final = 100
# Files that are looked at until one meets stored bars; and of those whose names say no period, rows
# of which the times are read.
_MOST_FILES: Final = 5
_MOST_ROWS: Final = 5_000_000

#: Gives a file as a local one, None where there is none.
AtHand = Callable[[ImportFile], AbstractContextManager[Path | None]]
#: The chunks of a file that is looked at.
Read = Callable[[ImportFile, Path], Iterator[Chunk]]


@dataclass(frozen=True, slots=True)
class Against:
    """Why the files of a series do not come in.

    Attributes:
        name, place: of the file that was looked at.
        shift_ms: by how much its bars are ahead of those stored; None where they contradict them.
    """

    name: str
    place: str
    code: str
    message: str
    shift_ms: int | None = None

    def params(self) -> dict[str, Any]:
        """As a job keeps it."""
        return asdict(self)

    @classmethod
    def of(cls, params: dict[str, Any]) -> Self:
        """From what a job keeps."""
        return cls(**params)

    def error_of(self, file: ImportFile) -> InvalidInput:
        """Why a file of the series does not come in."""
        if file.place == self.place:
            return InvalidInput(self.message, code=self.code)
        how = "contradicts" if self.shift_ms is None else "lies whole hours away from"
        return InvalidInput(
            f"{self.name}, a file of the same series, {how} what is stored", code=self.code
        )


def shift_at_meeting(units: Units, file: ImportFile, chunks: Iterator[Chunk]) -> int | None:
    """By how much a file is ahead of the first stored bars that it meets; None if it meets none.

    Args:
        chunks: of the file, from its beginning; as many are read as it takes, in less time than
            a lease has.

    Raises:
        InvalidInput: it contradicts what is stored.
    """
    against: InvalidInput | None = None
    for chunk in islice(chunks, _FORESEEN):
        with units.read() as unit:
            if not meets_stored(unit, file, chunk.good):
                continue
            is_second = against is not None
            try:
                require_agreement(unit, file, chunk.good)
                return 0
            except InvalidInput as error:
                against = against or error
            shift = shift_of(unit, file, chunk.good)
        if shift is not None:
            return shift
        if is_second:
            break  # of the few bars that the first one met no shift may have been told
    if against is not None:
        raise against
    return None


def against_stored(
    units: Units, files: Sequence[ImportFile], order: ImportOrder, at_hand: AtHand, read: Read
) -> tuple[Against | None, str]:
    """Why none of the files of a series is to come in, None if they may; the file looked at.

    It is the first one that meets stored bars: by the period of its name, else by its times. A file
    that cannot be read says nothing, and the next one is asked.

    Args:
        files: of one series; of an archive those first that are to be fetched anyway.

    Raises:
        NotGiven: the archive gives none of its files.
    """
    looked_at = ""
    left = iter(range(_FORESEEN))
    for file in islice(_meeting(units, files, order), _MOST_FILES):
        try:
            with at_hand(file) as path:
                if path is None:
                    continue
                looked_at = file.place
                # No more chunks of all files than of one.
                few = (chunk for _, chunk in zip(left, read(file, path), strict=False))
                shift = shift_at_meeting(units, file, few)
        except NotGiven:
            raise
        except InvalidInput as error:
            if error.error_code != "contradicted":
                continue
            against = Against(file.name, file.place, error.error_code, error.message)
            return against, looked_at
        if shift and not order.despite_shift:
            told = shift_error({"file": file.name, "shift_ms": shift})
            against = Against(file.name, file.place, told.error_code, told.message, shift)
            return against, looked_at
        if shift is not None:
            return None, looked_at
    return None, looked_at


def _meeting(units: Units, files: Sequence[ImportFile], order: ImportOrder) -> Iterator[ImportFile]:
    """The files that may meet stored bars of the range that is asked for."""
    exchange, symbol, name, kind = files[0].series
    with units.read() as unit:
        series = unit.klines.find_series(exchange, symbol, name, kind)
        bounds = None if series is None else unit.klines.bounds(series.id)
        if series is None or bounds is None:
            return
        first = bounds[0] if order.start is None else max(bounds[0], order.start)
        last = bounds[1] if order.end is None else min(bounds[1], order.end - 1)
        named = [each for each in files if _holds(unit, series.id, each, first, last)]
    yield from named
    rows = 0
    for file in files:
        if file.period is not None:
            continue
        if file.reading.holds == TRADES:
            yield file
            continue
        try:
            for times in filter(len, read_times(Path(file.place), file.reading)):
                rows += len(times)
                if int(times.min()) <= last and int(times.max()) >= first:
                    yield file
                    break
                if rows > _MOST_ROWS:
                    return
        except InvalidInput:
            continue  # whoever works on it says what is wrong with it


def _holds(unit: Unit, series_id: int, file: ImportFile, first: int, last: int) -> bool:
    """Whether bars that open from the first to the last time are stored of a name's period."""
    if file.period is None:
        return False
    start = max(file.interval.floor(file.period[0]), first)
    end = min(file.period[1], last + 1)
    return start < end and unit.klines.count(series_id, start, end) > 0
