"""Public market data of Binance USD-M futures: perpetuals that are settled in a stablecoin."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any, Final

from app.core.exchanges.decoding import Reader, kline_rows, price_rows
from app.core.exchanges.errors import VenueRejected
from app.core.exchanges.markets.base import VenueMarket
from app.core.exchanges.session import Call
from app.core.exchanges.symbols import joined
from app.core.market.features import MarketFeatures, QuietBars
from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType
from app.core.market.intervals import DAY_MS, INTERVALS
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.points import FundingRate, OpenInterest
from app.core.market.quotes import MarketData, OrderBook
from app.core.money import ZERO
from app.core.ports import Purpose

#: Bars in one answer at most; ccxt's unified call stops at 1000.
KLINES_LIMIT: Final = 1500
_CATALOGUE_LIMIT: Final = 48 * 1024 * 1024
_KLINE_WEIGHTS: Final = ((99, 1), (499, 2), (1000, 5), (KLINES_LIMIT, 10))
# The venue takes these depths and no other.
_DEPTHS: Final = ((5, 2), (10, 2), (20, 2), (50, 2), (100, 5), (500, 10), (1000, 20))
_FUNDING_LIMIT: Final = 1000
_INTEREST_LIMIT: Final = 500
# It answers only for the last 30 days; a day less, for its clock is not ours.
_INTEREST_MS: Final = 29 * DAY_MS
# "parameter 'startTime' is invalid": it lies before what is kept.
_TOO_OLD: Final = "-1130"
_INTEREST_PERIODS: Final = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
_STATUS: Final = {
    "TRADING": InstrumentStatus.TRADING,
    "CLOSE": InstrumentStatus.DELISTED,
    "DELIVERED": InstrumentStatus.DELISTED,
}
# Method, and what it calls the symbol: an index is of a pair.
_KLINES: Final = {
    KlineKind.TRADE: ("fapipublic_get_klines", "symbol"),
    KlineKind.MARK: ("fapipublic_get_markpriceklines", "symbol"),
    KlineKind.INDEX: ("fapipublic_get_indexpriceklines", "pair"),
}


class BinanceUsdmMarket(VenueMarket):
    """Binance USD-M perpetuals over REST."""

    features = MarketFeatures(
        intervals=frozenset(INTERVALS),
        page=KLINES_LIMIT,
        kinds=frozenset(KlineKind),
        quiet_bars=QuietBars.FILLED,
        has_funding=True,
        has_open_interest=True,
        interest_intervals=_INTEREST_PERIODS,
        lacks=("Open interest reaches back 30 days at most.",),
    )

    def native_id(self, symbol: str) -> str:
        """``BTC/USDT:USDT`` is ``BTCUSDT``."""
        return joined(symbol)

    def instruments(self, symbols: Collection[str] | None = None) -> list[Instrument]:
        """All perpetuals, or some, with their filters; weight 1.

        Contracts with a date of delivery are left out, and so are those that the venue has not
        opened yet, which have no type.
        """
        reader = self._reader("exchangeInfo")
        answer = reader.object(
            self._get("fapipublic_get_exchangeinfo", {}, 1, limit=_CATALOGUE_LIMIT)
        )
        rows = [reader.object(row) for row in reader.list(answer.get("symbols"))]
        return self._chosen(
            [
                self._instrument(reader, row)
                for row in rows
                if row.get("contractType") == "PERPETUAL"
            ],
            symbols,
        )

    def klines(
        self,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> list[KlineRow]:
        """Up to ``limit`` (at most 1500) bars that open in [start, end); weight 1 to 10 by limit.

        Rows come as the venue stated them: validate before use.
        """
        self._check_klines(interval, kind)
        if start >= end:
            return []
        limit = min(max(limit, 1), KLINES_LIMIT)
        method, name = _KLINES[kind]
        answer = self._get(
            method,
            {
                name: joined(symbol),
                "interval": interval,
                "startTime": start,
                "endTime": end - 1,
                "limit": limit,
            },
            next(weight for most, weight in _KLINE_WEIGHTS if limit <= most),
        )
        reader = self._reader(f"{kind} klines of {symbol}")
        read = kline_rows if kind is KlineKind.TRADE else price_rows
        return read(reader, answer)

    def funding_rates(self, symbol: str, start: int, end: int, limit: int) -> list[FundingRate]:
        """Up to ``limit`` (at most 1000) payments in [start, end), ascending; weight 1."""
        if start >= end:
            return []
        reader = self._reader(f"funding rates of {symbol}")
        answer = self._get(
            "fapipublic_get_fundingrate",
            {
                "symbol": joined(symbol),
                "startTime": start,
                "endTime": end - 1,
                "limit": min(max(limit, 1), _FUNDING_LIMIT),
            },
            1,
        )
        rates = [
            FundingRate(
                reader.moment(row.get("fundingTime"), "fundingTime"),
                reader.amount(row, "fundingRate"),
                # Rates of the first years came without a price.
                reader.positive(row, "markPrice") if row.get("markPrice") else None,
            )
            for row in self._rows_of(reader, answer, symbol)
        ]
        self._ascending(reader, [rate.ts for rate in rates], start, end)
        return rates

    def open_interest(
        self, symbol: str, interval: str, start: int, end: int, limit: int
    ) -> list[OpenInterest]:
        """Up to ``limit`` observations in [start, end) of the last 30 days; weight 1 a page.

        A range wider than a page would be answered with its latest rows, so that it is asked
        for in parts.
        """
        length = self._period(_INTEREST_PERIODS, interval).length_ms
        found: list[OpenInterest] = []
        # A market's time may lie behind ours, at a simulator; what is asked for never lies ahead.
        start = max(start, min(end, self._session.clock.now_ms()) - _INTEREST_MS)
        for first, last in self._windows(start, end, _INTEREST_LIMIT * length):
            found += self._interest(symbol, interval, first, last)
            if len(found) >= limit:
                break
        return found[:limit]

    def ticker(self, symbol: str) -> MarketData:
        """Best bid and ask, last price, 24 hours' volume, at market time; weight 3."""
        params = {"symbol": joined(symbol)}
        reader = self._reader(f"ticker of {symbol}")
        day = self._row_of(reader, self._get("fapipublic_get_ticker_24hr", params, 1), symbol)
        top = self._row_of(reader, self._get("fapipublic_get_ticker_bookticker", params, 2), symbol)
        bid, ask = reader.not_negative(top, "bidPrice"), reader.not_negative(top, "askPrice")
        if ZERO < ask < bid:
            reader.bad("the best bid is above the best ask")
        return MarketData(
            self.exchange,
            symbol,
            reader.moment(day.get("closeTime"), "closeTime"),
            reader.positive(day, "lastPrice"),
            bid or None,  # the venue writes 0 for an empty side
            ask or None,
            reader.not_negative(day, "volume"),
        )

    def turnover(self) -> dict[str, Decimal]:
        """Quote units traded in 24 hours, by native id; weight 40."""
        reader = self._reader("tickers")
        answer = self._get("fapipublic_get_ticker_24hr", {}, 40, _CATALOGUE_LIMIT)
        rows = [reader.object(row) for row in reader.list(answer)]
        return {reader.text(row, "symbol"): reader.not_negative(row, "quoteVolume") for row in rows}

    def order_book(self, symbol: str, depth: int) -> OrderBook:
        """Up to ``depth`` (at most 1000) levels, best first; weight 2 to 20 by depth."""
        depth = min(max(depth, 1), 1000)
        taken, weight = next(pair for pair in _DEPTHS if depth <= pair[0])
        reader = self._reader(f"order book of {symbol}")
        answer = reader.object(
            self._get("fapipublic_get_depth", {"symbol": joined(symbol), "limit": taken}, weight)
        )
        bids, asks = self._sides(reader, answer.get("bids"), answer.get("asks"))
        sequence = reader.integer(answer, "lastUpdateId")
        return OrderBook(self.exchange, symbol, sequence, bids[:depth], asks[:depth])

    def server_time_ms(self) -> int:
        """The venue's wall clock, ms; weight 1, of the orders' share, for orders wait for it."""
        reader = self._reader("time")
        call = Call("fapipublic_get_time", {}, 1, purpose=Purpose.ORDER)
        return reader.integer(reader.object(self._session.send(call)), "serverTime")

    def _interest(self, symbol: str, interval: str, start: int, end: int) -> list[OpenInterest]:
        reader = self._reader(f"open interest of {symbol}")
        params = {
            "symbol": joined(symbol),
            "period": interval,
            "startTime": start,
            "endTime": end - 1,
            "limit": _INTEREST_LIMIT,
        }
        try:
            answer = self._get("fapidata_get_openinteresthist", params, 1)
        except VenueRejected as error:
            if error.venue_code != _TOO_OLD:
                raise
            return []
        found = [
            OpenInterest(
                reader.moment(row.get("timestamp"), "timestamp"),
                reader.not_negative(row, "sumOpenInterest"),
                reader.not_negative(row, "sumOpenInterestValue"),
            )
            for row in self._rows_of(reader, answer, symbol)
        ]
        self._ascending(reader, [point.ts for point in found], start, end)
        return found

    def _rows_of(self, reader: Reader, answer: Any, symbol: str) -> list[dict[str, Any]]:
        return [self._row_of(reader, row, symbol) for row in reader.list(answer)]

    def _row_of(self, reader: Reader, answer: Any, symbol: str) -> dict[str, Any]:
        row = reader.object(answer)
        if row.get("symbol") != joined(symbol):
            reader.bad("the answer speaks of another symbol")
        return row

    def _instrument(self, reader: Reader, row: dict[str, Any]) -> Instrument:
        base, quote = reader.text(row, "baseAsset"), reader.text(row, "quoteAsset")
        filters = {
            reader.text(reader.object(entry), "filterType"): entry
            for entry in reader.list(row.get("filters"))
        }
        price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
        if price is None or lot is None:
            reader.bad(f"{base}/{quote} has no PRICE_FILTER or no LOT_SIZE")
        notional = filters.get("MIN_NOTIONAL")
        return Instrument(
            exchange=self.exchange,
            symbol=f"{base}/{quote}:{reader.text(row, 'marginAsset')}",
            native_id=reader.text(row, "symbol"),
            base=base,
            quote=quote,
            type=InstrumentType.SWAP,
            status=_STATUS.get(reader.text(row, "status"), InstrumentStatus.HALTED),
            tick_size=reader.positive(price, "tickSize").normalize() + 0,
            step_size=reader.positive(lot, "stepSize").normalize() + 0,
            min_quantity=reader.not_negative(lot, "minQty"),
            max_quantity=reader.not_negative(lot, "maxQty") or None,
            min_notional=ZERO if notional is None else reader.not_negative(notional, "notional"),
        )
