"""Pages of klines by time: a page is a window of so many expected bars, gaps included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.core.market.intervals import Interval
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame, KlineKind, KlineRow
from app.repositories.kline_store import KlineStore, Reach
from app.repositories.segments import joined
from app.repositories.unit import Unit, Units
from app.services.kline_parts import Part, Sources, find_sources


@dataclass(frozen=True, slots=True)
class KlinePage:
    """Bars that open in [start, end); ``following`` is where the next page begins, or None."""

    start: int
    end: int
    following: int | None


@dataclass(frozen=True, slots=True)
class FoundPage:
    """A page before its bars are read.

    Attributes:
        page: None where nothing is stored that it could hold.
        stamp: names the bars: as long as it is the same, so are they.
        parts: what its bars come of, each with what it spans of its stored series.
    """

    interval: Interval
    sources: Sources | None
    page: KlinePage | None
    stamp: str
    parts: Sequence[tuple[Part, Reach | None]] = ()


class KlinePages:
    """Finds and reads pages of columns. Safe for threads."""

    def __init__(self, units: Units, store: KlineStore) -> None:
        self._units = units
        self._store = store

    def find(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        start: int | None,
        end: int | None,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> FoundPage:
        """The first page of ``limit`` expected bars in [start, end).

        Args:
            start: None asks for the latest bars before the end.

        Raises:
            UnknownName: no such interval, or the catalogue does not hold the symbol.
        """
        wanted = interval_of(interval)
        with self._units.read() as unit:
            sources = find_sources(unit, exchange, symbol, wanted, kind)
            if sources is None:
                unit.instruments.get(exchange, symbol)
            if sources is None or sources.stored is None:
                return FoundPage(wanted, sources, None, "nothing")
            page = kline_page(wanted, sources.stored, start, end, limit, sources.offset_ms)
            if page is None:
                return FoundPage(wanted, sources, None, f"nothing:{sources.stored}")
            parts = [
                (part, self._reach(unit, part)) for part in sources.parts(page.start, page.end)
            ]
        # The parts' ends are in it: a bar that comes of another series is another bar.
        of_bars = "|".join(_stamp(sources, *each) for each in parts)
        return FoundPage(wanted, sources, page, f"{of_bars}:{page.following}", parts)

    def read(self, found: FoundPage) -> KlineFrame:
        """The bars of a page; those of an interval that is not stored derive from minutes."""
        sources, page, wanted = found.sources, found.page, found.interval
        if sources is None or page is None:
            return KlineFrame.from_rows("", "", wanted.name, [])
        with self._units.read() as unit:
            frames = [self._read(unit, sources, *each) for each in found.parts]
        name = (sources.best.exchange, sources.best.symbol, wanted.name)
        return joined(name, [frame for frame in frames if len(frame)])

    def exact(self, found: FoundPage) -> list[KlineRow]:
        """The same bars as the venue stated them, or as their exact sums."""
        sources = found.sources
        if sources is None or found.page is None:
            return []
        with self._units.read() as unit:
            return sources.rows_of(unit, [part for part, _ in found.parts])

    def _reach(self, unit: Unit, part: Part) -> Reach | None:
        is_unchanged = part.series.past_version == 0
        return self._store.reach(
            unit, part.series, part.start, part.end, part.bounds, is_unchanged=is_unchanged
        )

    def _read(self, unit: Unit, sources: Sources, part: Part, reach: Reach | None) -> KlineFrame:
        if part.series.interval == sources.wanted.name:
            return self._store.read_reach(unit, part.series, reach)
        return sources.frame_of(unit, self._store, part)


def _stamp(sources: Sources, part: Part, reach: Reach | None) -> str:
    of_bars = f"{part.series.id}:{part.start}:{part.end}"
    if part.series.interval != sources.wanted.name:
        # Longer bars change also with what is known of those that are missing.
        of_bars += f":{part.series.absent_version}"
    return of_bars if reach is None else f"{of_bars}:{reach.stamp(part.series)}"


def kline_page(
    interval: Interval,
    stored: tuple[int, int],
    start: int | None,
    end: int | None,
    limit: int,
    offset_ms: int = 0,
) -> KlinePage | None:
    """The first page of ``limit`` expected bars in [start, end); None where nothing is stored.

    Args:
        stored: first and last stored time, half open.
        start: None asks for the latest bars before the end.
        offset_ms: of the venue's grid.
    """
    # The bar that what is stored ends in is not whole yet, and none of the latest ones.
    stop = interval.floor(stored[1], offset_ms)
    stop = stop if end is None else min(stop, interval.ceil(end, offset_ms))
    first = interval.ceil(stored[0] if start is None else max(start, stored[0]), offset_ms)
    if start is None:
        first = max(first, _moved(interval, stop, -limit))
    if first >= stop:
        return None
    cut = min(stop, _moved(interval, first, limit))
    return KlinePage(first, cut, cut if cut < stop else None)


def _moved(interval: Interval, ts: int, bars: int) -> int:
    """The open time so many bars away from another."""
    if not interval.is_month:
        return ts + bars * interval.length_ms
    for _ in range(abs(bars)):
        ts = interval.next(ts) if bars > 0 else interval.floor(ts - 1)
    return ts
