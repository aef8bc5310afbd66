"""Public market data of Binance spot."""

from __future__ import annotations

import json
from collections.abc import Collection
from decimal import Decimal
from typing import Any, Final

from app.core.exchanges.decoding import Reader, kline_columns, kline_rows
from app.core.exchanges.markets.base import VenueMarket
from app.core.exchanges.session import Call
from app.core.exchanges.symbols import joined
from app.core.market.features import MarketFeatures, QuietBars
from app.core.market.files.columns import KlineColumns
from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType
from app.core.market.intervals import INTERVALS
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.quotes import MarketData, OrderBook
from app.core.money import ZERO
from app.core.ports import Purpose

#: Bars in one answer at most; ccxt and the venue agree on it.
KLINES_LIMIT: Final = 1000
# exchangeInfo of all symbols has grown beyond 8 MiB; it is seldom asked for as a whole.
_CATALOGUE_LIMIT: Final = 48 * 1024 * 1024
_DEPTHS: Final = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_STATUS: Final = {"TRADING": InstrumentStatus.TRADING}


def native_id(symbol: str) -> str:
    """Binance's name of a spot symbol: ``BTC/USDT`` is ``BTCUSDT``."""
    return joined(symbol)


class BinanceSpotMarket(VenueMarket):
    """Binance spot over REST."""

    features = MarketFeatures(
        intervals=frozenset(INTERVALS),
        page=KLINES_LIMIT,
        quiet_bars=QuietBars.FILLED,
    )

    def native_id(self, symbol: str) -> str:
        """``BTC/USDT`` is ``BTCUSDT``."""
        return native_id(symbol)

    def instruments(self, symbols: Collection[str] | None = None) -> list[Instrument]:
        """All spot symbols, or some, with their filters; weight 20."""
        reader = self._reader("exchangeInfo")
        wanted = {"permissions": "SPOT"}  # the venue takes it, or symbols, not both
        if symbols is not None:
            names = json.dumps(sorted(map(native_id, symbols)), ensure_ascii=False)
            wanted = {"symbols": names.replace(" ", "")}
        answer = reader.object(
            self._get(
                "public_get_exchangeinfo",
                {**wanted, "showPermissionSets": "false"},
                20,
                limit=_CATALOGUE_LIMIT,
            )
        )
        rows = reader.list(answer.get("symbols"))
        return [self._instrument(reader, reader.object(row)) for row in rows]

    def klines(
        self,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> list[KlineRow]:
        """Up to ``limit`` (at most 1000) bars that open in [start, end); weight 2.

        Rows come as the venue stated them: validate before use.
        """
        rows = self._bars(symbol, interval, start, end, limit, kind)
        return kline_rows(self._reader(f"klines of {symbol}"), rows)

    def kline_columns(
        self,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> KlineColumns:
        """The same as columns; weight 2."""
        rows = self._bars(symbol, interval, start, end, limit, kind)
        return kline_columns(self._reader(f"klines of {symbol}"), rows)

    def _bars(
        self, symbol: str, interval: str, start: int, end: int, limit: int, kind: KlineKind
    ) -> Any:
        self._check_klines(interval, kind)
        if start >= end:
            return []
        params = {
            "symbol": native_id(symbol),
            "interval": interval,
            "startTime": start,
            "endTime": end - 1,
            "limit": min(limit, KLINES_LIMIT),
        }
        return self._get("public_get_klines", params, 2)

    def ticker(self, symbol: str) -> MarketData:
        """Best bid and ask, last price, 24 hours' volume, at market time; weight 4."""
        params = {"symbol": native_id(symbol)}
        reader = self._reader(f"ticker of {symbol}")
        day = self._symbol_of(reader, self._get("public_get_ticker_24hr", params, 2), symbol)
        top = self._symbol_of(reader, self._get("public_get_ticker_bookticker", params, 2), symbol)
        bid, ask = reader.not_negative(top, "bidPrice"), reader.not_negative(top, "askPrice")
        if ZERO < ask < bid:
            reader.bad("the best bid is above the best ask")
        return MarketData(
            self.exchange,
            symbol,
            reader.integer(day, "closeTime"),
            reader.positive(day, "lastPrice"),
            bid or None,  # the venue writes 0 for an empty side
            ask or None,
            reader.not_negative(day, "volume"),
        )

    def turnover(self) -> dict[str, Decimal]:
        """Quote units traded in 24 hours, by native id; weight 80."""
        reader = self._reader("tickers")
        answer = self._get("public_get_ticker_24hr", {"type": "MINI"}, 80, _CATALOGUE_LIMIT)
        rows = [reader.object(row) for row in reader.list(answer)]
        return {reader.text(row, "symbol"): reader.not_negative(row, "quoteVolume") for row in rows}

    def order_book(self, symbol: str, depth: int) -> OrderBook:
        """Up to ``depth`` (at most 5000) levels, best first; weight 5 to 250 by depth."""
        depth = min(max(depth, 1), 5000)
        weight = next(cost for most, cost in _DEPTHS if depth <= most)
        reader = self._reader(f"order book of {symbol}")
        answer = reader.object(
            self._get("public_get_depth", {"symbol": native_id(symbol), "limit": depth}, weight)
        )
        bids, asks = self._sides(reader, answer.get("bids"), answer.get("asks"))
        return OrderBook(self.exchange, symbol, reader.integer(answer, "lastUpdateId"), bids, asks)

    def server_time_ms(self) -> int:
        """The venue's wall clock, ms; weight 1, of the orders' share, for orders wait for it."""
        reader = self._reader("time")
        call = Call("public_get_time", {}, 1, purpose=Purpose.ORDER)
        return reader.integer(reader.object(self._session.send(call)), "serverTime")

    def _symbol_of(self, reader: Reader, answer: Any, symbol: str) -> dict[str, Any]:
        row = reader.object(answer)
        if row.get("symbol") != native_id(symbol):
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
        notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL")
        largest = reader.not_negative(lot, "maxQty")
        return Instrument(
            exchange=self.exchange,
            symbol=f"{base}/{quote}",
            native_id=reader.text(row, "symbol"),
            base=base,
            quote=quote,
            type=InstrumentType.SPOT,
            status=_STATUS.get(reader.text(row, "status"), InstrumentStatus.HALTED),
            tick_size=self._step(reader, price, "tickSize", row, "quoteAssetPrecision"),
            step_size=self._step(reader, lot, "stepSize", row, "baseAssetPrecision"),
            min_quantity=reader.not_negative(lot, "minQty"),
            max_quantity=largest or None,
            min_notional=ZERO if notional is None else reader.not_negative(notional, "minNotional"),
        )

    def _step(
        self, reader: Reader, entry: dict[str, Any], key: str, row: dict[str, Any], precision: str
    ) -> Decimal:
        """A filter's step; 0 switches the filter off, and the asset's precision remains."""
        step = reader.not_negative(entry, key).normalize() + 0
        if step > 0:
            return step
        return Decimal(1).scaleb(-min(reader.integer(row, precision), 18))
