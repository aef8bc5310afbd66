"""Pages of klines by time: a page is a window of so many expected bars, gaps included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.core.market.intervals import DAY_MS, INTERVALS, Interval
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame, KlineKind, KlineRow
from app.core.market.resampling import resample, resample_rows
from app.models import KlineSeriesRow
from app.repositories.kline_store import KlineStore
from app.repositories.unit import Units

# What an interval that is not stored itself derives from, the coarsest first.
_COARSE: Final = {"3d": ("1d", "1m"), "1w": ("1d", "1m"), "1M": ("1d", "1m")}
_FINE: Final = ("1m",)


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
    """

    interval: Interval
    series: KlineSeriesRow | None
    page: KlinePage | None
    stamp: str


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
            known = unit.klines.sources(exchange, symbol, names, kind)
            series = next((known[name] for name in names if name in known), None)
            bounds = None
            if series is None:
                unit.instruments.get(exchange, symbol)
            else:
                bounds = unit.klines.bounds(series.id)
            if series is None or bounds is None:
                return FoundPage(wanted, series, None, "nothing")
            stored = bounds[0], interval_of(series.interval).next(bounds[1])
            page = kline_page(wanted, stored, start, end, limit)
            if page is None:
                return FoundPage(wanted, series, None, f"nothing:{stored}")
            stamp = self._store.stamp(unit, series, page.start, page.end)
        return FoundPage(wanted, series, page, f"{stamp}:{page.following}")

    def read(self, found: FoundPage) -> KlineFrame:
        """The bars of a page; those of an interval that is not stored derive from minutes."""
        series, page, wanted = found.series, found.page, found.interval
        if series is None or page is None:
            return KlineFrame.from_rows("", "", wanted.name, [])
        stored = self._store.read(series, page.start, page.end)
        if series.interval == wanted.name:
            return stored
        derived = resample(stored, wanted.name, offset_ms=series.grid_offset_ms)
        return derived.bars.between(page.start, page.end)

    def exact(self, found: FoundPage) -> list[KlineRow]:
        """The same bars as the venue stated them, or as their exact sums."""
        series, page, wanted = found.series, found.page, found.interval
        if series is None or page is None:
            return []
        with self._units.read() as unit:
            stored = unit.klines.read_exact(series.id, page.start, page.end)
        if series.interval == wanted.name:
            return stored
        offset = series.grid_offset_ms
        derived = resample_rows(stored, series.interval, wanted.name, offset_ms=offset)
        return [row for row in derived.bars if page.start <= row.open_ts < page.end]


def sources_of(wanted: Interval) -> tuple[str, ...]:
    """Intervals whose stored bars an interval is read from, the best first."""
    # Minutes are what is usually kept, and keep the longest past; anything else that fits is
    # better than nothing.
    fitting = (
        name
        for name, each in reversed(INTERVALS.items())
        if each.length_ms < wanted.length_ms and not DAY_MS % each.length_ms
    )
    whole = (name for name in fitting if not wanted.length_ms % INTERVALS[name].length_ms)
    return tuple(dict.fromkeys((wanted.name, *_COARSE.get(wanted.name, _FINE), *whole)))


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
    stop = interval.ceil(min(stored[1], stored[1] if end is None else end))
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
