"""Paging at venues that answer a range with its newest rows, newest first.

Tidemark asks for the rows from a time on, and what comes must begin with the first that there
is: it may lie years after the time asked for. Such a venue cannot be asked for that, so that a
range is asked for in windows which one page can hold. Where a window is empty, the next bar is
found by way of longer ones: its month, then its day, then its hour.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, Protocol, TypeVar

from app.core.errors import InvalidInput
from app.core.exchanges.decoding import Reader
from app.core.exchanges.markets.base import VenueMarket
from app.core.exchanges.symbols import is_swap
from app.core.market.intervals import INTERVALS, Interval
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.points import FundingRate

#: 2010-01-01T00:00Z, before the first market for bitcoin: no venue has older bars.
FIRST_MARKET_MS: Final = 1_262_304_000_000
# The bars by way of which the next one is found: 31 days in a month, 24 hours in a day.
_LADDER: Final = ("1M", "1d", "1h")
# A ladder that leads to an empty page twice: the venue has the longer bars and not these.
_CLIMBS: Final = 2
# Nearly all perpetuals pay every 8 hours; where they pay more often, a window takes more pages.
_FUNDING_MS: Final = 8 * 3_600_000


class Series(NamedTuple):
    """Bars of one symbol."""

    symbol: str
    interval: Interval
    kind: KlineKind


class Bar(NamedTuple):
    """A bar, and whether the venue says that it has closed."""

    row: KlineRow
    closed: bool = True


class Point(Protocol):
    """A value of a history."""

    @property
    def ts(self) -> int:
        """Its time, ms."""


P = TypeVar("P", bound=Point)


class NewestFirstMarket(VenueMarket):
    """Klines and histories of a venue that answers with the newest rows of a range.

    Attributes:
        funding_page: payments in one answer at most.
    """

    funding_page: int

    @abstractmethod
    def page_of(self, series: Series, start: int) -> int:
        """Bars in one answer at most, for a window from ``start`` on; 60 or more."""

    @abstractmethod
    def window(self, series: Series, start: int, end: int) -> list[Bar]:
        """Bars that open in [start, end), ascending; the range fits into one page."""

    @abstractmethod
    def payments(self, symbol: str, start: int, end: int) -> list[FundingRate]:
        """The newest payments in [start, end), ascending: ``funding_page`` at most."""

    def klines(
        self,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> list[KlineRow]:
        """Up to ``limit`` (at most a page) closed bars that open in [start, end).

        Rows come as the venue stated them: validate before use. Bars that the venue says are
        open are left out. Fewer than ``limit`` may come where bars are missing in between.
        """
        self._check_klines(interval, kind)
        if kind is not KlineKind.TRADE:
            self._check_swap(symbol, f"{kind} klines")
        series = Series(symbol, INTERVALS[interval], kind)
        first = series.interval.ceil(max(start, FIRST_MARKET_MS))
        limit = min(max(limit, 1), self.features.page)
        bars = self._bars(series, first, end, limit)
        return [bar.row for bar in bars[:limit] if bar.closed]

    def funding_rates(self, symbol: str, start: int, end: int, limit: int) -> list[FundingRate]:
        """Up to ``limit`` payments of a perpetual in [start, end), ascending."""
        self._check_swap(symbol, "funding rates")

        def paid(first: int, last: int) -> list[FundingRate]:
            return self._all_payments(symbol, first, last)

        span = self.funding_page * _FUNDING_MS
        return self._history(symbol, start, end, span, paid, limit)

    def _history(
        self,
        symbol: str,
        start: int,
        end: int,
        span_ms: int,
        ask: Callable[[int, int], list[P]],
        limit: int,
    ) -> list[P]:
        """Points from the first one at or after ``start`` on, in windows of ``span_ms``."""
        found: list[P] = []
        start = max(start, FIRST_MARKET_MS)
        while start < end and len(found) < limit:
            stop = min(end, start + span_ms)
            points = ask(start, stop)
            found += points
            start = stop if found else self._next_month(symbol, stop, end)
        return found[:limit]

    def _bars(self, series: Series, start: int, end: int, limit: int) -> list[Bar]:
        """Bars from the first one at or after ``start``, a grid time, on.

        The venue has none between two of them. A bar alone does not end the answer: whoever asks
        from a bar on that they have wants the next one, however far away it is.
        """
        found: list[Bar] = []
        pages = climbs = 0
        while start < end and len(found) < limit:
            page = self.page_of(series, start)
            stop = min(end, after(series.interval, start, page))
            bars = self.window(series, start, stop)
            found += bars
            pages += page
            if len(found) > 1 and pages >= limit:
                break  # some bars of these windows were missing
            if bars or len(found) > 1:
                start = stop
            elif climbs < _CLIMBS:
                start, climbs = self._next_bar(series, stop, end), climbs + 1
            elif found:
                # It has older bars, so that there is no first one to be searched for.
                start, climbs = stop, 0
            else:
                start, climbs = self._bisected(series, stop, end), 0
        return found

    def _next_bar(
        self, series: Series, start: int, end: int, ladder: Sequence[str] = _LADDER
    ) -> int:
        """A time at or before the first bar from ``start`` on, at most 60 bars before it.

        ``end`` or later where there is none.
        """
        for step, name in enumerate(ladder):
            if name not in self.features.intervals:
                continue
            length = INTERVALS[name]
            if length.length_ms <= series.interval.length_ms:
                break
            longer = series._replace(interval=length)
            # The longer bar that holds ``start`` may be one of bars before it.
            while start < end:
                opened = self._first_open(longer, start, end)
                stop = min(end, length.next(opened))
                found = self._next_bar(series, max(start, opened), stop, ladder[step + 1 :])
                if found < stop:
                    return found
                start = max(start, stop)
            return end
        return series.interval.ceil(start)

    def _first_open(self, series: Series, start: int, end: int) -> int:
        """Open time of the first bar that closes after ``start``; ``end`` where there is none."""
        first = series.interval.floor(start)
        while first < end:
            last = after(series.interval, first, self.page_of(series, first))
            bars = self.window(series, first, min(last, end))
            if bars:
                return bars[0].row.open_ts
            first = last
        return end

    def _bisected(self, series: Series, start: int, end: int) -> int:
        """A time at most a page before the first bar, where the venue has the latest bars alone."""
        low, high = start, end
        while low < high:
            middle = series.interval.floor((low + high) // 2)
            stop = after(series.interval, middle, self.page_of(series, middle))
            if self.window(series, middle, min(stop, end)):
                high = middle
            else:
                low = stop
        return series.interval.ceil(max(start, low))

    def _next_month(self, symbol: str, start: int, end: int) -> int:
        """``start``, or the month after it in which the symbol was first traded."""
        if start >= end:
            return end
        months = Series(symbol, INTERVALS["1M"], KlineKind.TRADE)
        return max(start, self._first_open(months, start, end))

    def _all_payments(self, symbol: str, start: int, end: int) -> list[FundingRate]:
        """Every payment of a window, which is more than a page where they come often."""
        found: list[FundingRate] = []
        while start < end:
            page = self.payments(symbol, start, end)
            found[:0] = page
            if len(page) < self.funding_page:
                break
            end = page[0].ts
        return found

    def _check_swap(self, symbol: str, what: str) -> None:
        if not is_swap(symbol):
            raise InvalidInput(
                f"{self.exchange} has no {what} of {symbol[:40]}; "
                "name a perpetual, such as BTC/USDT:USDT"
            )

    def _turned(self, reader: Reader, bars: list[Bar], start: int, end: int) -> list[Bar]:
        """The bars of an answer, which came newest first, ascending.

        A row outside the window is no answer to what was asked.
        """
        times = [bar.row.open_ts for bar in bars]
        if any(older >= newer for newer, older in pairwise(times)):
            reader.bad("the rows are not newest first, or one came twice")
        if any(not start <= ts < end for ts in times):
            reader.bad("a row lies outside the range that was asked for")
        return bars[::-1]


def after(length: Interval, start: int, bars: int) -> int:
    """Open time of the bar that is ``bars`` after the one that opens at ``start``."""
    if not length.is_month:
        return start + bars * length.length_ms
    for _ in range(bars):
        start = length.next(start)
    return start
