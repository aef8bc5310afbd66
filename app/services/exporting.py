"""Stored bars into a file, which is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from app.core.errors import InvalidInput, NotFound
from app.core.market.composing import FOREVER
from app.core.market.files.columns import CHUNK, KlineColumns
from app.core.market.files.writing import FORMATS, format_of, write_bars
from app.core.market.intervals import Interval
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import kline_kind
from app.models import KlineSeriesRow
from app.repositories.unit import Units
from app.services.kline_parts import Sources, find_sources


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written.

    Attributes:
        amounts: what the format keeps of prices and volumes.
        first, last: open times of the first and last bar, ms.
        derived_of: stored intervals of which more bars of the range are derived as they are read;
            the file holds none of them.
    """

    path: str
    format: str
    amounts: str
    bars: int
    first: int
    last: int
    derived_of: tuple[str, ...] = ()


class Exporter:
    """Writes files of stored bars, exactly the bars that are stored of the series itself."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def export(
        self,
        path: Path,
        exchange: str,
        symbol: str,
        interval: str,
        *,
        kind: str = "trade",
        start: int | None = None,
        end: int | None = None,
        format_: str = "",
    ) -> Exported:
        """Write the bars that open in [start, end); a file of that name is replaced at once.

        Raises:
            InvalidInput: the format or the kind is not known, or the place cannot be written to.
            NotFound: no such bar is stored.
        """
        kept, sort = format_of(path, format_), kline_kind(kind)
        wanted = interval_of(interval)
        with self._units.read() as unit:
            sources = find_sources(unit, exchange, symbol, wanted, sort)
        series, bounds, made_of = _own(sources, wanted)
        if made_of:
            raise NotFound(
                f"no klines of {symbol} {interval} are stored: they are derived of {made_of} as "
                f"they are read; export {made_of}, or write them as CSV by: tidemark data klines"
            )
        if series is None or bounds is None:
            raise NotFound(
                f"no klines of {symbol[:40]} {interval} are stored; collect them: tidemark data "
                "collect"
            )
        first = bounds[0] if start is None else max(start, bounds[0])
        stop = bounds[1] + 1 if end is None else min(end, bounds[1] + 1)
        written = self._write(path, kept, series, first, stop)
        parts = sources.parts(start or 0, FOREVER if end is None else end) if sources else []
        others = dict.fromkeys(part.series.interval for part in parts)
        return replace(written, derived_of=tuple(name for name in others if name != wanted.name))

    def _write(
        self, path: Path, format_: str, series: KlineSeriesRow, start: int, end: int
    ) -> Exported:
        # Beside its place, so that the rename is one; by its ending a writer packs or does not.
        temporary = path.with_name(f".{os.getpid()}.{path.name}")
        seen: list[int] = []
        try:
            bars = write_bars(temporary, format_, _noting(self._chunks(series, start, end), seen))
            if not bars:
                raise NotFound(
                    f"no klines of {series.symbol} {series.interval} are stored in that range"
                )
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from None
        finally:
            temporary.unlink(missing_ok=True)
        return Exported(str(path), format_, FORMATS[format_], bars, seen[0], seen[-1])

    def _chunks(self, series: KlineSeriesRow, start: int, end: int) -> Iterator[KlineColumns]:
        """Bars of one state of the record, though others write meanwhile."""
        step = CHUNK * interval_of(series.interval).length_ms
        with self._units.snapshot() as unit:
            for begin in range(start, end, step):
                found = unit.klines.read_exact_columns(series.id, begin, min(begin + step, end))
                if len(found):
                    yield found


def _own(
    sources: Sources | None, wanted: Interval
) -> tuple[KlineSeriesRow | None, tuple[int, int] | None, str]:
    """The series of an interval itself, its ends, and where it has none of what its bars derive."""
    known = sources.known if sources is not None else ()
    own = [each for each in known if each[0].interval == wanted.name]
    series, bounds = own[0] if own else (None, None)
    others = [row.interval for row, ends in known if ends and row.interval != wanted.name]
    return series, bounds, "" if bounds or not others else others[0]


def _noting(chunks: Iterator[KlineColumns], seen: list[int]) -> Iterator[KlineColumns]:
    for chunk in chunks:
        seen += [int(chunk.open_ts[0]), int(chunk.open_ts[-1])]
        yield chunk
