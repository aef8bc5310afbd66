"""Public market data of any other exchange that ccxt knows, through its unified calls."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from decimal import Decimal
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, Final

from app.core.errors import InvalidInput, UnknownName
from app.core.exchanges.decoding import Reader
from app.core.exchanges.errors import VenueRulesRefused
from app.core.exchanges.markets.generic_rows import (
    amount,
    features_of,
    instrument,
    kline,
    optional,
)
from app.core.exchanges.markets.newest_first import (
    FIRST_MARKET_MS,
    Bar,
    NewestFirstMarket,
    Series,
)
from app.core.exchanges.session import ANSWER_LIMIT, Call
from app.core.exchanges.unified import UnifiedSession
from app.core.market.instruments import Instrument
from app.core.market.intervals import INTERVALS
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.points import FundingRate
from app.core.market.quotes import MarketData, OrderBook
from app.core.ports import Purpose

# An unlisted venue has a weight of 1200 a minute: 1 for each 50 ms that ccxt would wait.
_MS_PER_WEIGHT: Final = 50
_CATALOGUE_LIMIT: Final = 48 * 1024 * 1024
_WAIT_S: Final = 5.0


def check_known(exchange: str) -> None:
    """Refuse what ccxt has no exchange for.

    Raises:
        UnknownName: with the names that come close.
    """
    import ccxt

    if exchange not in ccxt.exchanges:
        close = get_close_matches(exchange[:40], ccxt.exchanges, 3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see ccxt's list of exchanges"
        raise UnknownName(f"exchange {exchange[:40]!r} is not known; {hint}")


class GenericMarket(NewestFirstMarket):
    """One exchange by way of ccxt alone; ``features.lacks`` says what that costs."""

    def __init__(self, session: UnifiedSession) -> None:
        import ccxt

        super().__init__(session)
        described = getattr(ccxt, session.exchange)()
        self.features = features_of(described)
        self._unified = session
        self._has: dict[str, Any] = described.has
        self._mode: int = described.precisionMode
        self._weight = max(1, round(float(described.rateLimit) / _MS_PER_WEIGHT))
        self._lock = threading.Lock()
        self._markets: Sequence[Any] | None = None

    def native_id(self, symbol: str) -> str:
        """The exchange's own name, out of its catalogue."""
        return self._instrument_of(symbol).native_id

    def instruments(self, symbols: Collection[str] | None = None) -> list[Instrument]:
        """All spot pairs and linear perpetuals, or some."""
        call = self._call("fetch_markets", {}, limit=_CATALOGUE_LIMIT)
        markets = self._reader("markets").list(self._unified.call(call))
        found = self._read_markets(markets)
        with self._lock:
            self._markets = markets
        return self._chosen(found, symbols)

    def page_of(self, series: Series, start: int) -> int:
        """What ccxt says of the exchange, whatever is asked for."""
        del series, start
        return self.features.page

    def klines(
        self,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> list[KlineRow]:
        """Up to ``limit`` (at most a page) bars that open in [start, end); may hold the open one.

        Where the exchange gives the latest bars alone, it is not asked for older ones.
        """
        self._check_klines(interval, kind)
        kept = self.features.latest_bars
        if kept is not None:
            length = INTERVALS[interval].length_ms
            start = max(start, self._session.clock.now_ms() - kept * length)
        return super().klines(symbol, interval, start, end, limit, kind)

    def window(self, series: Series, start: int, end: int) -> list[Bar]:
        """Bars that open in [start, end), ascending; what comes beyond is cut off."""
        reader = self._reader(f"klines of {series.symbol}")
        params = {
            "symbol": series.symbol,
            "timeframe": series.interval.name,
            "since": start,
            "limit": self.features.page,
        }
        rows = [kline(reader, row) for row in reader.list(self._ask("fetch_ohlcv", params))]
        if any(after.open_ts <= before.open_ts for before, after in pairwise(rows)):
            reader.bad("a bar came twice, or the bars are not in order")
        return [Bar(row) for row in rows if start <= row.open_ts < end]

    def payments(self, symbol: str, start: int, end: int) -> list[FundingRate]:
        """Payments in [start, end), ascending; what ccxt returns beyond is cut off."""
        reader = self._reader(f"funding rates of {symbol}")
        answer = self._ask("fetch_funding_rate_history", {"symbol": symbol, "since": start})
        rows = [reader.object(row) for row in reader.list(answer)]
        rates = [
            FundingRate(
                reader.moment(row.get("timestamp"), "timestamp"),
                amount(reader, row.get("fundingRate"), "fundingRate"),
            )
            for row in rows
        ]
        inside = [rate for rate in rates if start <= rate.ts < end]
        self._ascending(reader, [rate.ts for rate in inside], start, end)
        return inside

    def funding_rates(self, symbol: str, start: int, end: int, limit: int) -> list[FundingRate]:
        """Up to ``limit`` payments in [start, end): as many as the exchange gives at once."""
        if not self.features.has_funding:
            raise InvalidInput(f"{self.exchange} has no funding rates of {symbol[:40]}")
        self._check_swap(symbol, "funding rates")
        return self.payments(symbol, max(start, FIRST_MARKET_MS), end)[:limit]

    def ticker(self, symbol: str) -> MarketData:
        """Best bid and ask, last price; the time is this machine's where the exchange has none."""
        reader = self._reader(f"ticker of {symbol}")
        row = reader.object(self._ask("fetch_ticker", {"symbol": symbol}))
        if row.get("symbol") != symbol:
            reader.bad("the answer speaks of another symbol")
        price = optional(reader, row.get("last"), "last")
        if price is None:
            reader.bad("there is no last price")
        bid, ask = (optional(reader, row.get(key), key) for key in ("bid", "ask"))
        if bid and ask and ask < bid:
            reader.bad("the best bid is above the best ask")
        stated = row.get("timestamp")
        ts = self._session.clock.now_ms() if stated is None else reader.moment(stated, "timestamp")
        volume = optional(reader, row.get("baseVolume"), "baseVolume")
        # Of perpetuals some exchanges count contracts here, and ccxt does not say which.
        known = volume if self._instrument_of(symbol).contract_size == 1 else None
        return MarketData(self.exchange, symbol, ts, price, bid, ask, known)

    def turnover(self) -> dict[str, Decimal]:
        """Quote units traded in 24 hours, by native id, of those for which it is said.

        Raises:
            InvalidInput: the exchange has no list of tickers.
        """
        if self._has.get("fetchTickers") is not True:
            raise InvalidInput(f"{self.exchange} does not say what was traded in 24 hours")
        reader = self._reader("tickers")
        names = {one.symbol: one.native_id for one in self._read_markets(self._catalogue())}
        found: dict[str, Decimal] = {}
        for symbol, entry in reader.object(self._ask("fetch_tickers", {})).items():
            volume = optional(reader, reader.object(entry).get("quoteVolume"), "quoteVolume")
            if volume is not None and symbol in names:
                found[names[symbol]] = volume
        return found

    def order_book(self, symbol: str, depth: int) -> OrderBook:
        """Up to ``depth`` of the levels that the exchange gives by itself, best first."""
        reader = self._reader(f"order book of {symbol}")
        book = reader.object(self._ask("fetch_order_book", {"symbol": symbol}))
        size = self._instrument_of(symbol).contract_size
        sides = (self._level_texts(reader, book.get(side), size) for side in ("bids", "asks"))
        bids, asks = self._sides(reader, *sides)
        stated = book.get("nonce") or book.get("timestamp")
        sequence = self._session.clock.now_ms() if stated is None else stated
        depth = max(depth, 1)
        return OrderBook(
            self.exchange, symbol, reader.moment(sequence, "nonce"), bids[:depth], asks[:depth]
        )

    def server_time_ms(self) -> int:
        """The exchange's wall clock, ms, or this machine's where it cannot be asked."""
        if self._has.get("fetchTime") is not True:
            return self._session.clock.now_ms()
        call = Call("fetch_time", {}, self._weight, purpose=Purpose.ORDER)
        return self._reader("time").moment(self._unified.call(call), "time")

    def _level_texts(self, reader: Reader, rows: Any, size: Decimal) -> list[Any]:
        levels = []
        for row in reader.list(rows):
            if not isinstance(row, list) or len(row) < 2:
                reader.bad("a level is not a price and a quantity")
            price, quantity = amount(reader, row[0], "price"), amount(reader, row[1], "quantity")
            levels.append([f"{price:f}", f"{(quantity * size).normalize():f}"])
        return levels

    def _instrument_of(self, symbol: str) -> Instrument:
        for market in self._catalogue():
            if market.get("symbol") == symbol:
                found = self._read_markets([market])
                if found:
                    return found[0]
        raise VenueRulesRefused(self.exchange, f"the venue does not list {symbol[:40]}")

    def _read_markets(self, markets: Sequence[Any]) -> list[Instrument]:
        reader = self._reader("markets")
        read = (instrument(self.exchange, reader, market, self._mode) for market in markets)
        return [entry for entry in read if entry is not None]

    def _catalogue(self) -> Sequence[Any]:
        """ccxt's markets, asked for once: unified calls cannot do without."""
        with self._lock:
            known = self._markets
        if known is None:
            self.instruments()
            with self._lock:
                known = self._markets
        return known or ()

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        return self._unified.call(self._call(method, params), self._catalogue())

    def _call(self, method: str, params: dict[str, Any], limit: int = ANSWER_LIMIT) -> Call:
        return Call(method, params, self._weight, wait_s=_WAIT_S, limit=limit)
