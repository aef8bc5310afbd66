"""Public market data of OKX: spot, and perpetuals that are settled in a stablecoin.

OKX counts perpetuals in contracts. Quantities here are base units throughout: candles are read
from the column in base units, books are multiplied by the size of a contract.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any, Final

from app.core.exchanges.decoding import Reader
from app.core.exchanges.markets.newest_first import Bar, NewestFirstMarket, Series, after
from app.core.exchanges.markets.okx_rows import (
    bar,
    contract_size,
    data_of,
    instrument,
    interest,
    plain,
    side,
)
from app.core.exchanges.session import Call, VenueSession
from app.core.exchanges.symbols import dashed, is_swap
from app.core.market.features import MarketFeatures
from app.core.market.instruments import Instrument
from app.core.market.intervals import DAY_MS, Interval
from app.core.market.klines import KlineKind
from app.core.market.points import FundingRate, OpenInterest
from app.core.market.quotes import MarketData, OrderBook
from app.core.money import ONE
from app.core.ports import Purpose

# OKX's own names open their longer bars at 00:00 in Hong Kong; the ``utc`` ones are our grid.
_BARS: Final = {
    "1m": "1m",
    "3m": "3m",
    "5m": "5m",
    "15m": "15m",
    "30m": "30m",
    "1h": "1H",
    "2h": "2H",
    "4h": "4H",
    "6h": "6Hutc",
    "12h": "12Hutc",
    "1d": "1Dutc",
    "1w": "1Wutc",
    "1M": "1Mutc",
}
#: Bars in one answer at most: the latest 1440 come 300 at once, older ones and prices 100.
PAGE: Final = 300
_HISTORY_PAGE: Final = 100
_RECENT_BARS: Final = 1439
# Recent and older bars: method and weight. A weight of 1 is a request of which 40 go in 2 s.
_CANDLES: Final = {
    KlineKind.TRADE: (("candles", 1), ("history_candles", 2)),
    KlineKind.MARK: (("mark_price_candles", 2), ("history_mark_price_candles", 2)),
    KlineKind.INDEX: (("index_candles", 2), ("history_index_candles", 4)),
}
_FUNDING_PAGE: Final = 100
# Payments are kept for three months, observations of open interest for 1440 periods.
_FUNDING_MS: Final = 92 * DAY_MS
_INTEREST_PAGE: Final = 100
_INTEREST_PERIODS: Final = ("5m", "1h", "1d")
_DEEPEST: Final = 400


class OkxMarket(NewestFirstMarket):
    """OKX over REST v5."""

    features = MarketFeatures(
        intervals=frozenset(_BARS),
        page=PAGE,
        kinds=frozenset(KlineKind),
        has_funding=True,
        has_open_interest=True,
        interest_intervals=_INTEREST_PERIODS,
        lacks=(
            "Klines have no number of trades.",
            "Funding rates reach back three months, and do not say the mark price.",
            "Open interest has no value in the quote currency.",
            "Open interest reaches back 5 days in steps of 5m, 60 days in steps of 1h.",
        ),
    )
    funding_page = _FUNDING_PAGE

    def __init__(self, session: VenueSession) -> None:
        super().__init__(session)
        self._sizes: dict[str, Decimal] = {}

    def native_id(self, symbol: str) -> str:
        """``BTC/USDT`` is ``BTC-USDT`` and ``BTC/USDT:USDT`` is ``BTC-USDT-SWAP``."""
        return dashed(symbol)

    def instruments(self, symbols: Collection[str] | None = None) -> list[Instrument]:
        """All spot pairs and linear perpetuals, or some; weight 2 for each of both types.

        Inverse perpetuals are left out, and so are those that have not opened yet.
        """
        kinds = {"SPOT", "SWAP"}
        if symbols is not None:
            kinds = {"SWAP" if is_swap(symbol) else "SPOT" for symbol in symbols}
        found = [entry for kind in sorted(kinds) for entry in self._listed(kind)]
        return self._chosen(found, symbols)

    def page_of(self, series: Series, start: int) -> int:
        """300 of the latest bars of trades, 100 of all others."""
        recent = series.kind is KlineKind.TRADE and self._is_recent(series.interval, start)
        return PAGE if recent else _HISTORY_PAGE

    def window(self, series: Series, start: int, end: int) -> list[Bar]:
        """Bars that open in [start, end), ascending; weight 1 to 4, for each page.

        The endpoint of the latest bars begins where its memory does. What it leaves out at the
        beginning is asked of the history, which has all that closed.
        """
        if not self._is_recent(series.interval, start):
            return self._candles(series, start, end, is_recent=False)
        bars = self._candles(series, start, end, is_recent=True)
        known = bars[0].row.open_ts if bars else end
        older: list[Bar] = []
        while start < known:
            stop = min(known, after(series.interval, start, _HISTORY_PAGE))
            older += self._candles(series, start, stop, is_recent=False)
            start = stop
        return older + bars

    def _candles(self, series: Series, start: int, end: int, *, is_recent: bool) -> list[Bar]:
        symbol, length, kind = series
        method, weight = _CANDLES[kind][0 if is_recent else 1]
        name = dashed(symbol.partition(":")[0]) if kind is KlineKind.INDEX else dashed(symbol)
        reader = self._reader(f"{kind} klines of {symbol}")
        params = {
            "instId": name,
            "bar": _BARS[length.name],
            "before": start - 1,  # newer than this
            "after": end,  # and older than this
            "limit": PAGE if is_recent and kind is KlineKind.TRADE else _HISTORY_PAGE,
        }
        rows = self._data(reader, f"public_get_market_{method}", params, weight)
        return self._turned(reader, [bar(reader, row, series) for row in rows], start, end)

    def payments(self, symbol: str, start: int, end: int) -> list[FundingRate]:
        """The newest payments in [start, end), ascending; weight 4."""
        reader = self._reader(f"funding rates of {symbol}")
        params = {"before": start - 1, "after": end, "limit": _FUNDING_PAGE}
        rows = self._rows(reader, "public_get_public_funding_rate_history", symbol, params, 4)
        rates = [
            FundingRate(
                reader.moment(row.get("fundingTime"), "fundingTime"),
                # What was paid in the end; fundingRate is what had been announced.
                reader.amount(row, "realizedRate"),
            )
            for row in reversed(rows)
        ]
        self._ascending(reader, [rate.ts for rate in rates], start, end)
        return rates

    def funding_rates(self, symbol: str, start: int, end: int, limit: int) -> list[FundingRate]:
        """Up to ``limit`` payments of the last three months in [start, end), ascending."""
        kept = min(end, self._session.clock.now_ms()) - _FUNDING_MS
        return super().funding_rates(symbol, max(start, kept), end, limit)

    def open_interest(
        self, symbol: str, interval: str, start: int, end: int, limit: int
    ) -> list[OpenInterest]:
        """Up to ``limit`` of the latest 1440 observations that lie in [start, end)."""
        self._check_swap(symbol, "open interest")
        length = self._period(_INTEREST_PERIODS, interval).length_ms
        # A market's time may lie behind ours, at a simulator; what is asked for never lies ahead.
        start = max(start, min(end, self._session.clock.now_ms()) - _RECENT_BARS * length)
        found: list[OpenInterest] = []
        for first, last in self._windows(start, end, _INTEREST_PAGE * length):
            found += self._interest(symbol, interval, first, last)
            if len(found) >= limit:
                break
        return found[:limit]

    def ticker(self, symbol: str) -> MarketData:
        """Best bid and ask, last price, 24 hours' volume, at market time; weight 2."""
        reader = self._reader(f"ticker of {symbol}")
        row = self._row(reader, "public_get_market_ticker", symbol, 2, {})
        bid, ask = side(reader, row, "bidPx"), side(reader, row, "askPx")
        if bid and ask and ask < bid:
            reader.bad("the best bid is above the best ask")
        volume = "volCcy24h" if is_swap(symbol) else "vol24h"
        return MarketData(
            self.exchange,
            symbol,
            reader.moment(row.get("ts"), "ts"),
            reader.positive(row, "last"),
            bid,
            ask,
            reader.not_negative(row, volume),
        )

    def turnover(self) -> dict[str, Decimal]:
        """Quote units traded in 24 hours, by native id; weight 4.

        Of perpetuals the venue says base units; they are valued at the last price.
        """
        reader = self._reader("tickers")
        found: dict[str, Decimal] = {}
        for kind in ("SPOT", "SWAP"):
            for entry in self._data(reader, "public_get_market_tickers", {"instType": kind}, 2):
                row = reader.object(entry)
                name = reader.text(row, "instId")
                if name.endswith("-USD-SWAP") or not row.get("last"):
                    continue  # inverse, or never traded
                price = ONE if kind == "SPOT" else reader.not_negative(row, "last")
                found[name] = reader.not_negative(row, "volCcy24h") * price
        return found

    def order_book(self, symbol: str, depth: int) -> OrderBook:
        """Up to ``depth`` (at most 400) levels, best first; weight 1."""
        depth = min(max(depth, 1), _DEEPEST)
        reader = self._reader(f"order book of {symbol}")
        rows = self._data(
            reader, "public_get_market_books", {"instId": dashed(symbol), "sz": depth}, 1
        )
        if len(rows) != 1:
            reader.bad(f"one book was expected, not {len(rows)}")
        book = reader.object(rows[0])
        bids, asks = self._sides(reader, book.get("bids"), book.get("asks"))
        size = self._size(symbol)
        return OrderBook(
            self.exchange,
            symbol,
            reader.moment(book.get("seqId", book.get("ts")), "seqId"),
            tuple((price, plain(reader, amount * size, "quantity")) for price, amount in bids),
            tuple((price, plain(reader, amount * size, "quantity")) for price, amount in asks),
        )

    def server_time_ms(self) -> int:
        """The venue's wall clock, ms; weight 4, of the orders' share, for orders wait for it."""
        reader = self._reader("time")
        call = Call("public_get_public_time", {}, 4, purpose=Purpose.ORDER)
        rows = data_of(reader, self._session.send(call))
        return reader.moment(reader.object(rows[0] if rows else None).get("ts"), "ts")

    def _is_recent(self, length: Interval, start: int) -> bool:
        return start >= self._session.clock.now_ms() - _RECENT_BARS * length.length_ms

    def _interest(self, symbol: str, interval: str, start: int, end: int) -> list[OpenInterest]:
        reader = self._reader(f"open interest of {symbol}")
        params = {
            "instId": dashed(symbol),
            "period": _BARS[interval],
            "begin": start - 1,  # newer than this
            "end": end,  # and older than this
            "limit": _INTEREST_PAGE,
        }
        rows = self._data(
            reader, "public_get_rubik_stat_contracts_open_interest_history", params, 4
        )
        found = [interest(reader, row) for row in reversed(rows)]
        self._ascending(reader, [point.ts for point in found], start, end)
        return found

    def _listed(self, kind: str) -> list[Instrument]:
        reader = self._reader("instruments")
        rows = self._data(reader, "public_get_public_instruments", {"instType": kind}, 2)
        read = (instrument(self.exchange, reader, reader.object(row)) for row in rows)
        found = [entry for entry in read if entry is not None]
        self._sizes.update((entry.symbol, entry.contract_size) for entry in found)
        return found

    def _size(self, symbol: str) -> Decimal:
        """Base units of one contract; 1 for spot."""
        if is_swap(symbol) and symbol not in self._sizes:
            reader = self._reader(f"contract of {symbol}")
            wanted = {"instType": "SWAP"}
            row = self._row(reader, "public_get_public_instruments", symbol, 2, wanted)
            self._sizes[symbol] = contract_size(reader, row)
        return self._sizes[symbol] if is_swap(symbol) else ONE

    def _row(
        self, reader: Reader, method: str, symbol: str, weight: int, params: dict[str, Any]
    ) -> dict[str, Any]:
        rows = self._rows(reader, method, symbol, params, weight)
        if len(rows) != 1:
            reader.bad(f"one row was expected, not {len(rows)}")
        return rows[0]

    def _rows(
        self, reader: Reader, method: str, symbol: str, params: dict[str, Any], weight: int
    ) -> list[dict[str, Any]]:
        """Rows that speak of the symbol, all of them."""
        name = dashed(symbol)
        answer = self._data(reader, method, {"instId": name, **params}, weight)
        rows = [reader.object(row) for row in answer]
        if any(row.get("instId") != name for row in rows):
            reader.bad("the answer speaks of another symbol")
        return rows

    def _data(self, reader: Reader, method: str, params: dict[str, Any], weight: int) -> list[Any]:
        return data_of(reader, self._get(method, params, weight))
