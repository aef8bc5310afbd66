"""Stored bars into a file, which is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.core.errors import InvalidInput, NotFound
from app.core.market.files.columns import CHUNK, KlineColumns
from app.core.market.files.writing import FORMATS, format_of, write_bars
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import kline_kind
from app.models import KlineSeriesRow
from app.repositories.unit import Unit, Units
from app.services.kline_sources import sources_of


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written.

    Attributes:
        amounts: what the format keeps of prices and volumes.
        first, last: open times of the first and last bar, ms.
    """

    path: str
    format: str
    amounts: str
    bars: int
    first: int
    last: int


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
        with self._units.read() as unit:
            series = unit.klines.find_series(exchange, symbol, interval_of(interval).name, sort)
            bounds = unit.klines.bounds(series.id) if series is not None else None
            made_of = "" if bounds else _made_of(unit, exchange, symbol, interval, sort)
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
        return self._write(path, kept, series, first, stop)

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


def _made_of(unit: Unit, exchange: str, symbol: str, interval: str, kind: str) -> str:
    """The stored interval of which another one is derived, or ""."""
    for name in sources_of(interval_of(interval))[1:]:
        series = unit.klines.find_series(exchange, symbol, name, kind)
        if series is not None and unit.klines.bounds(series.id):
            return name
    return ""


def _noting(chunks: Iterator[KlineColumns], seen: list[int]) -> Iterator[KlineColumns]:
    for chunk in chunks:
        seen += [int(chunk.open_ts[0]), int(chunk.open_ts[-1])]
        yield chunk
