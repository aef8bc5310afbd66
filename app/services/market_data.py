"""Market data out: klines, coverage, prices and instruments, for everyone who reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog

from app.core.errors import InvalidInput, NotFound, TidemarkError, Unavailable, WrongWorld
from app.core.exchanges.errors import VenueError
from app.core.market.composing import same_to
from app.core.market.coverage import CoverageState, Span, count_bars, gaps
from app.core.market.instruments import Instrument
from app.core.market.intervals import INTERVALS, Interval
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame, KlineRow
from app.core.market.quotes import MarketData, is_ahead
from app.core.ports import Ids, MarketAdapter, MarketClock, PriceCache
from app.core.risk.context import ReferencePrice
from app.models import KlineSeriesRow
from app.repositories.kline_store import KlineStore
from app.repositories.unit import Unit, Units
from app.services.catalogue import sync_catalogue
from app.services.frame_cache import News, PastVersion
from app.services.kline_coverage import spans_of
from app.services.kline_parts import Sources, find_sources

_log = structlog.get_logger(__name__)
# A price older than this is not the present price: three times the slowest usual update.
STALE_AFTER_MS = 10_000
_NO_END = 2**62


class PriceSource(StrEnum):
    """Where a price came from."""

    LIVE = "live"
    TICKER = "ticker"
    KLINE = "kline"


@dataclass(frozen=True, slots=True)
class LatestPrice:
    """The latest known price of a symbol.

    Attributes:
        is_stale: whether it is too old to be taken for the present one, or has a time that has
            not come yet. Risk treats a stale price as missing.
        age_ms: of market time; None where that cannot be asked for.
    """

    data: MarketData
    source: PriceSource
    is_stale: bool
    age_ms: int | None


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """What is known of the bars of one interval in [start, end).

    Attributes:
        source: interval of the best stored series; another than asked for where bars derive
            from it.
        parts: where bars come of which stored interval: start, end, interval, ascending.
        expected: bars by the grid.
        counts: bars by state; their sum is ``expected``.
        gaps: everything that is not present, gaps of one state that touch joined.
    """

    exchange: str
    symbol: str
    interval: str
    source: str
    parts: tuple[tuple[int, int, str], ...]
    start: int
    end: int
    expected: int
    counts: dict[CoverageState, int]
    gaps: tuple[Span, ...]


class MarketDataService:
    """Reads of market data; its only writes are the catalogue and the price cache.

    Args:
        store: where columns of bars are read.
        markets: the market adapter of a venue; raises UnknownName for one not set up.
        stale_after_ms: of market time; an older price is not the present one.
    """

    def __init__(
        self,
        units: Units,
        store: KlineStore,
        markets: Callable[[str], MarketAdapter],
        market_clock: MarketClock,
        prices: PriceCache,
        ids: Ids,
        *,
        stale_after_ms: int = STALE_AFTER_MS,
    ) -> None:
        self._stale_after_ms = stale_after_ms
        self._units = units
        self._store = store
        self._markets = markets
        self._market_clock = market_clock
        self._prices = prices
        self._ids = ids

    def frame(self, exchange: str, symbol: str, interval: str, start: int, end: int) -> KlineFrame:
        """Bars that open in [start, end) as float64 columns, ascending.

        Those of the interval's own series from its first to its last; before and after it complete
        bars derived from other series.

        Raises:
            UnknownName: no such interval.
            NotFound: nothing was collected that holds or yields these bars.
        """
        wanted = interval_of(interval)
        with self._units.read() as unit:
            sources = _sources(unit, exchange, symbol, wanted)
            return sources.frame(unit, self._store, start, end)

    def news(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        known: tuple[PastVersion, int] | None = None,
    ) -> News:
        """The identity of the stored past, and the bars of ``frame`` that are not known by another.

        Args:
            known: an identity, and where the bars end that were read under it. Those before the
                time at which it parts from the present one are as they were, and are not read
                again.

        Raises:
            UnknownName, NotFound: as ``frame``.
        """
        wanted = interval_of(interval)
        with self._units.read() as unit:
            sources = _sources(unit, exchange, symbol, wanted)
            version = sources.origins(start)
            if known is not None:
                start = max(start, min(known[1], same_to(known[0], version)))
            if start >= end:
                empty = KlineFrame.from_rows(exchange, symbol, interval, [])
                return News(version, start, empty)
            return News(version, start, sources.frame(unit, self._store, start, end))

    def rows(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        kind: str = "trade",
    ) -> list[KlineRow]:
        """The same bars exactly, as the venue stated them or as their exact sums.

        Raises:
            UnknownName: no such interval.
            NotFound: nothing was collected that holds or yields these bars.
        """
        wanted = interval_of(interval)
        with self._units.read() as unit:
            return _sources(unit, exchange, symbol, wanted, kind).rows(unit, start, end)

    def coverage(
        self, exchange: str, symbol: str, interval: str, start: int, end: int
    ) -> CoverageReport:
        """What is known of every expected bar of [start, end).

        Raises:
            InvalidInput: the range is empty.
            UnknownName: no such interval.
            NotFound: nothing was collected that holds or yields these bars.
        """
        wanted = interval_of(interval)
        with self._units.read() as unit:
            sources = _sources(unit, exchange, symbol, wanted)
            offset = sources.offset_ms
            first, stop = wanted.ceil(start, offset), wanted.ceil(end, offset)
            if first >= stop:
                raise InvalidInput(f"no bar of {interval} opens in the range")
            spans = spans_of(unit, sources, first, stop)
        parts = sources.parts(first, stop)
        return CoverageReport(
            exchange=exchange,
            symbol=symbol,
            interval=interval,
            source=sources.best.interval,
            parts=tuple((part.start, part.end, part.series.interval) for part in parts),
            start=first,
            end=stop,
            expected=wanted.expected(first, stop, offset),
            counts=count_bars(spans, wanted, first, stop, offset),
            gaps=tuple(gaps(spans, first, stop)),
        )

    def series(self, exchange: str | None = None) -> Sequence[KlineSeriesRow]:
        """Every stored series by exchange, symbol, interval."""
        with self._units.read() as unit:
            return unit.klines.all_series(exchange)

    def get_latest_price(self, exchange: str, symbol: str) -> LatestPrice:
        """The latest price: the cached live one while it is fresh, else the venue's ticker.

        Where the venue cannot be asked, or its time is not known, the newest of the cached price
        and the last stored close, which says by ``is_stale`` that it is old.

        Raises:
            UnknownName: the symbol is not in the venue's catalogue.
            Unavailable: no price is known at all.
        """
        cached = self._prices.get(exchange, symbol)
        if cached is None:
            self.instrument(exchange, symbol)  # first: an unknown venue has no clock to ask
        try:
            now = self._market_clock.now_ms(exchange)
        except WrongWorld:
            raise  # what is stored is of another market, and no price of this one
        except Unavailable as error:
            return self._last_known(exchange, symbol, cached, None, error)
        if cached is not None and is_ahead(cached.timestamp, now):
            cached = None
        if cached is not None and now - cached.timestamp <= self._stale_after_ms:
            return self._aged(cached, PriceSource.LIVE, now)
        self.instrument(exchange, symbol)
        try:
            asked = self._markets(exchange).ticker(symbol)
        except VenueError as error:
            return self._last_known(exchange, symbol, cached, now, error)
        self._prices.put(asked)
        return self._aged(asked, PriceSource.TICKER, now)

    def reference(self, exchange: str, symbol: str) -> ReferencePrice | None:
        """The price that risk and valuation measure at, or None where none is known.

        Never raises: whoever asks must decide without a price as well.
        """
        try:
            latest = self.get_latest_price(exchange, symbol)
        except TidemarkError as error:
            _log.warning("no_reference_price", exchange=exchange, symbol=symbol, why=error.message)
            return None
        return ReferencePrice(latest.data.price, latest.age_ms, latest.is_stale)

    def instruments(self, exchange: str) -> list[Instrument]:
        """The catalogue of a venue by symbol, as last synchronised."""
        with self._units.read() as unit:
            return unit.instruments.of_exchange(exchange)

    def instrument(self, exchange: str, symbol: str) -> Instrument:
        """One instrument.

        Raises:
            UnknownName: the catalogue does not hold it.
        """
        with self._units.read() as unit:
            return unit.instruments.get(exchange, symbol)

    def sync_instruments(self, exchange: str) -> int:
        """Bring the catalogue up to what the venue states; how many rows changed.

        Raises:
            UnknownName: the venue is not set up.
            VenueError: it could not be asked, or stated nothing.
        """
        return sync_catalogue(self._units, self._markets(exchange), self._ids)

    def _last_known(
        self,
        exchange: str,
        symbol: str,
        cached: MarketData | None,
        now: int | None,
        cause: TidemarkError,
    ) -> LatestPrice:
        closed = self._last_close(exchange, symbol, now)
        if closed is not None and (cached is None or closed.timestamp > cached.timestamp):
            return self._aged(closed, PriceSource.KLINE, now)
        if cached is not None:
            return self._aged(cached, PriceSource.LIVE, now)
        raise Unavailable(f"no price of {symbol} is known, and {cause.message}") from cause

    def _aged(self, data: MarketData, source: PriceSource, now: int | None) -> LatestPrice:
        if now is None:
            return LatestPrice(data, source, is_stale=True, age_ms=None)
        age = max(0, now - data.timestamp)
        is_old = age > self._stale_after_ms or is_ahead(data.timestamp, now)
        return LatestPrice(data, source, is_old or source is PriceSource.KLINE, age)

    def _last_close(self, exchange: str, symbol: str, now: int | None) -> MarketData | None:
        """Close of the latest stored bar, at the time of its close."""
        end = _NO_END if now is None else now
        latest: MarketData | None = None
        with self._units.read() as unit:
            for series in unit.klines.sources(exchange, symbol, tuple(INTERVALS)).values():
                row = unit.klines.last(series.id, end)
                if row is None:
                    continue
                closed = interval_of(series.interval).next(row.open_ts)
                if latest is None or closed > latest.timestamp:
                    latest = MarketData(exchange, symbol, closed, row.close, None, None, None)
        return latest


def data_hash(frame: KlineFrame) -> str:
    """SHA-256 of a frame's bars, by which a result names the data that it was computed from."""
    from app.core.backtest.result import data_hash as hash_of

    return hash_of({frame.symbol: frame})


def _sources(
    unit: Unit, exchange: str, symbol: str, wanted: Interval, kind: str = "trade"
) -> Sources:
    """What bars of an interval come of.

    Raises:
        NotFound: nothing was collected that holds or yields them.
    """
    found = find_sources(unit, exchange, symbol, wanted, kind)
    if found is None:
        raise NotFound(
            f"no klines of {symbol[:40]} at {exchange[:40]} were collected for {wanted.name}; "
            "create a collection plan for them"
        )
    return found
