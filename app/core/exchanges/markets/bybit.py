"""Public market data of Bybit: spot, and perpetuals that are settled in a stablecoin."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from itertools import count
from typing import Any, Final

from app.core.exchanges.decoding import Reader
from app.core.exchanges.markets.bybit_rows import bar, instrument
from app.core.exchanges.markets.newest_first import Bar, NewestFirstMarket, Series
from app.core.exchanges.session import Call
from app.core.exchanges.symbols import is_swap, of_bybit
from app.core.market.features import MarketFeatures
from app.core.market.instruments import Instrument
from app.core.market.klines import KlineKind
from app.core.market.points import FundingRate, OpenInterest
from app.core.market.quotes import MarketData, OrderBook
from app.core.money import ZERO
from app.core.ports import Purpose

#: Bars in one answer at most; ccxt would ask for more and get these.
PAGE: Final = 1000
_BARS: Final = {
    "1m": "1",
    "3m": "3",
    "5m": "5",
    "15m": "15",
    "30m": "30",
    "1h": "60",
    "2h": "120",
    "4h": "240",
    "6h": "360",
    "12h": "720",
    "1d": "D",
    "1w": "W",
    "1M": "M",
}
_KLINES: Final = {
    KlineKind.TRADE: "kline",
    KlineKind.MARK: "mark_price_kline",
    KlineKind.INDEX: "index_price_kline",
}
_HISTORY_PAGE: Final = 200
_INTEREST_PERIODS: Final = {
    "5m": "5min",
    "15m": "15min",
    "30m": "30min",
    "1h": "1h",
    "4h": "4h",
    "1d": "1d",
}
# All perpetuals are some 700 rows; ten pages of 1000 are far more than there will ever be.
_CATALOGUE_PAGES: Final = 10
_DEEPEST: Final = {"spot": 200, "linear": 500}


class BybitMarket(NewestFirstMarket):
    """Bybit over REST v5. Every request has the weight 1: the venue counts requests."""

    features = MarketFeatures(
        intervals=frozenset(_BARS),
        page=PAGE,
        kinds=frozenset(KlineKind),
        has_funding=True,
        has_open_interest=True,
        interest_intervals=tuple(_INTEREST_PERIODS),
        lacks=(
            "Klines have no number of trades.",
            "Funding rates do not say the mark price.",
            "Open interest is the sum of both sides, and has no value in the quote currency.",
        ),
    )
    funding_page = _HISTORY_PAGE

    def native_id(self, symbol: str) -> str:
        """``BTC/USDT`` and ``BTC/USDT:USDT`` are both ``BTCUSDT``; the category tells them apart.

        ``BTC/USDC:USDC`` is ``BTCPERP``.
        """
        return of_bybit(symbol)

    def instruments(self, symbols: Collection[str] | None = None) -> list[Instrument]:
        """All spot pairs and linear perpetuals, or some.

        Contracts with a date of delivery are left out, and so are those that have not opened yet.
        """
        asked = {"spot", "linear"} if symbols is None else set(map(_category, symbols))
        found = [entry for category in sorted(asked) for entry in self._listed(category)]
        return self._chosen(found, symbols)

    def page_of(self, series: Series, start: int) -> int:
        """1000, whatever is asked for."""
        del series, start
        return PAGE

    def window(self, series: Series, start: int, end: int) -> list[Bar]:
        """Bars that open in [start, end), ascending.

        The venue moves a start up to the next bar and takes the end for a part of the range.
        """
        reader = self._reader(f"{series.kind} klines of {series.symbol}")
        params = {"interval": _BARS[series.interval.name], "start": start, "end": end - 1}
        method = _KLINES[series.kind]
        rows = self._rows(reader, method, series.symbol, {**params, "limit": PAGE})
        return self._turned(reader, [bar(reader, row, series) for row in rows], start, end)

    def payments(self, symbol: str, start: int, end: int) -> list[FundingRate]:
        """The newest payments in [start, end), ascending."""
        reader = self._reader(f"funding rates of {symbol}")
        params = {"startTime": start, "endTime": end - 1, "limit": _HISTORY_PAGE}
        rows = self._rows(reader, "funding_history", symbol, params)
        rates = [
            FundingRate(
                reader.moment(row.get("fundingRateTimestamp"), "fundingRateTimestamp"),
                reader.amount(row, "fundingRate"),
            )
            for row in (self._row_of(reader, row, symbol) for row in reversed(rows))
        ]
        self._ascending(reader, [rate.ts for rate in rates], start, end)
        return rates

    def open_interest(
        self, symbol: str, interval: str, start: int, end: int, limit: int
    ) -> list[OpenInterest]:
        """Up to ``limit`` observations in [start, end), ascending, from the first on."""
        self._check_swap(symbol, "open interest")
        length = self._period(_INTEREST_PERIODS, interval).length_ms

        def seen(first: int, last: int) -> list[OpenInterest]:
            return self._interest(symbol, interval, first, last)

        return self._history(symbol, start, end, _HISTORY_PAGE * length, seen, limit)

    def ticker(self, symbol: str) -> MarketData:
        """Best bid and ask, last price, 24 hours' volume, at market time; two requests.

        The ticker itself has no time but that of its answer, which is the book's to tell.
        """
        reader = self._reader(f"ticker of {symbol}")
        rows = self._rows(reader, "tickers", symbol, {})
        if len(rows) != 1:
            reader.bad(f"one row was expected, not {len(rows)}")
        row = self._row_of(reader, rows[0], symbol)
        book = self._book(reader, symbol, 1)
        bids, asks = self._sides(reader, book.get("b"), book.get("a"))
        return MarketData(
            self.exchange,
            symbol,
            reader.moment(book.get("cts", book.get("ts")), "cts"),
            reader.positive(row, "lastPrice"),
            bids[0][0] if bids else None,
            asks[0][0] if asks else None,
            reader.not_negative(row, "volume24h"),
        )

    def turnover(self) -> dict[str, Decimal]:
        """Quote units traded in 24 hours, by native id.

        A spot pair and its perpetual share a native id: theirs is the sum of both.
        """
        found: dict[str, Decimal] = {}
        reader = self._reader("tickers")
        for category in ("spot", "linear"):
            result = _result(reader, self._envelope(reader, "tickers", {"category": category}))
            for row in map(reader.object, reader.list(result.get("list"))):
                name = reader.text(row, "symbol")
                found[name] = found.get(name, ZERO) + reader.not_negative(row, "turnover24h")
        return found

    def order_book(self, symbol: str, depth: int) -> OrderBook:
        """Up to ``depth`` levels (at most 200 of spot, 500 of perpetuals), best first."""
        reader = self._reader(f"order book of {symbol}")
        depth = min(max(depth, 1), _DEEPEST[_category(symbol)])
        book = self._book(reader, symbol, depth)
        bids, asks = self._sides(reader, book.get("b"), book.get("a"))
        return OrderBook(self.exchange, symbol, reader.integer(book, "u"), bids, asks)

    def server_time_ms(self) -> int:
        """The venue's wall clock, ms; of the orders' share, for orders wait for it."""
        reader = self._reader("time")
        answer = self._session.send(Call("public_get_v5_market_time", {}, 1, purpose=Purpose.ORDER))
        _result(reader, reader.object(answer))
        return reader.moment(reader.object(answer).get("time"), "time")

    def _interest(self, symbol: str, interval: str, start: int, end: int) -> list[OpenInterest]:
        reader = self._reader(f"open interest of {symbol}")
        params = {
            "intervalTime": _INTEREST_PERIODS[interval],
            "startTime": start,
            "endTime": end - 1,
            "limit": _HISTORY_PAGE,
        }
        rows = self._rows(reader, "open_interest", symbol, params)
        found = [
            OpenInterest(
                reader.moment(row.get("timestamp"), "timestamp"),
                reader.not_negative(row, "openInterest"),
            )
            for row in map(reader.object, reversed(rows))
        ]
        self._ascending(reader, [point.ts for point in found], start, end)
        return found

    def _listed(self, category: str) -> list[Instrument]:
        reader = self._reader("instruments")
        found: list[Instrument] = []
        # Spot comes whole, and takes neither a limit nor a cursor.
        spot = category == "spot"
        params = {"category": category} if spot else {"category": category, "limit": "1000"}
        for page in count(1):
            result = _result(reader, self._envelope(reader, "instruments_info", params))
            rows = map(reader.object, reader.list(result.get("list")))
            read = (instrument(self.exchange, reader, row, spot) for row in rows)
            found += [entry for entry in read if entry is not None]
            cursor = result.get("nextPageCursor")
            if spot or not cursor:
                break
            if page == _CATALOGUE_PAGES or not isinstance(cursor, str) or len(cursor) > 512:
                reader.bad("the catalogue does not end")
            params["cursor"] = cursor
        return found

    def _rows(self, reader: Reader, method: str, symbol: str, params: dict[str, Any]) -> list[Any]:
        """The list of a result that says of which category, and mostly of which symbol, it is."""
        category, name = _category(symbol), of_bybit(symbol)
        asked = {"category": category, "symbol": name, **params}
        result = _result(reader, self._envelope(reader, method, asked))
        if result.get("category", category) != category or result.get("symbol", name) != name:
            reader.bad("the answer speaks of another symbol")
        return reader.list(result.get("list"))

    def _book(self, reader: Reader, symbol: str, depth: int) -> dict[str, Any]:
        name = of_bybit(symbol)
        params = {"category": _category(symbol), "symbol": name, "limit": depth}
        book = _result(reader, self._envelope(reader, "orderbook", params))
        if book.get("s") != name:
            reader.bad("the answer speaks of another symbol")
        return book

    def _row_of(self, reader: Reader, answer: Any, symbol: str) -> dict[str, Any]:
        row = reader.object(answer)
        if row.get("symbol") != of_bybit(symbol):
            reader.bad("the answer speaks of another symbol")
        return row

    def _envelope(self, reader: Reader, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return reader.object(self._get(f"public_get_v5_market_{method}", params, 1))


def _category(symbol: str) -> str:
    return "linear" if is_swap(symbol) else "spot"


def _result(reader: Reader, envelope: dict[str, Any]) -> dict[str, Any]:
    if str(envelope.get("retCode")) != "0":
        reader.bad("the answer has no retCode")
    return reader.object(envelope.get("result"))
