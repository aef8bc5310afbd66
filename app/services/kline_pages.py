"""Pages of klines by time: a page is a window of so many expected bars, gaps included."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.market.intervals import Interval


@dataclass(frozen=True, slots=True)
class KlinePage:
    """Bars that open in [start, end); ``following`` is where the next page begins, or None."""

    start: int
    end: int
    following: int | None


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
