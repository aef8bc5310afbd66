"""Pages of klines by time: a page is a window of so many expected bars, gaps included."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.market.intervals import Interval
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame, KlineKind, KlineRow
from app.models import KlineSeriesRow
from app.repositories.kline_store import KlineStore, Reach
from app.repositories.unit import Units
from app.services.kline_sources import first_open, holds_bars, read_frame, read_rows, sources_of


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
        reach: what the page spans of the stored series.
    """

    interval: Interval
    series: KlineSeriesRow | None
    page: KlinePage | None
    stamp: str
    reach: Reach | None = None


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
        names = sources_of(wanted)
        with self._units.read() as unit:
            known = unit.klines.spanned(exchange, symbol, names, kind)
            nothing: tuple[KlineSeriesRow | None, tuple[int, int] | None] = None, None
            found = [known[name] for name in names if name in known]
            # A series that was made and holds no bar yet hides none that another one holds.
            holding = (each for each in found if holds_bars(*each))
            series, bounds = next(holding, next(iter(found), nothing))
            if series is None:
                unit.instruments.get(exchange, symbol)
            if series is None or bounds is None:
                return FoundPage(wanted, series, None, "nothing")
            first = bounds[0]
            if start is not None and start < first:
                first = first_open(unit, series, wanted, first)
            stored = first, interval_of(series.interval).next(bounds[1])
            page = kline_page(wanted, stored, start, end, limit)
            if page is None:
                return FoundPage(wanted, series, None, f"nothing:{stored}")
            is_unchanged = series.past_version == 0
            reach = self._store.reach(
                unit, series, page.start, page.end, bounds, is_unchanged=is_unchanged
            )
        of_bars = f"{page.start}:{page.end}" if reach is None else reach.stamp(series)
        return FoundPage(wanted, series, page, f"{of_bars}:{page.following}", reach)

    def read(self, found: FoundPage) -> KlineFrame:
        """The bars of a page; those of an interval that is not stored derive from minutes."""
        series, page, wanted = found.series, found.page, found.interval
        if series is None or page is None:
            return KlineFrame.from_rows("", "", wanted.name, [])
        with self._units.read() as unit:
            if series.interval == wanted.name:
                return self._store.read_reach(unit, series, found.reach)
            return read_frame(unit, self._store, series, wanted, page.start, page.end)

    def exact(self, found: FoundPage) -> list[KlineRow]:
        """The same bars as the venue stated them, or as their exact sums."""
        series, page, wanted = found.series, found.page, found.interval
        if series is None or page is None:
            return []
        with self._units.read() as unit:
            return read_rows(unit, series, wanted, page.start, page.end)


def kline_page(
    interval: Interval,
    stored: tuple[int, int],
    start: int | None,
    end: int | None,
    limit: int,
) -> KlinePage | None:
    """The first page of ``limit`` expected bars in [start, end); None where nothing is stored.

    Args:
        stored: first and last stored time, half open.
        start: None asks for the latest bars before the end.
    """
    # The bar that what is stored ends in is not whole yet, and none of the latest ones.
    stop = interval.floor(stored[1])
    stop = stop if end is None else min(stop, interval.ceil(end))
    first = interval.ceil(stored[0]) if start is None else interval.ceil(max(start, stored[0]))
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
