"""Public market data of Binance spot."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from app.core.exchanges.decoding import Reader, kline_rows
from app.core.exchanges.session import ANSWER_LIMIT, Call, VenueSession
from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType
from app.core.market.klines import KlineRow
from app.core.market.quotes import MarketData, OrderBook
from app.core.money import ZERO
from app.core.ports import Purpose

#: Bars in one answer at most; ccxt and the venue agree on it.
KLINES_LIMIT: Final = 1000
# exchangeInfo of all symbols has grown beyond 8 MiB; it is asked for every four minutes.
_CATALOGUE_LIMIT: Final = 48 * 1024 * 1024
_DEPTHS: Final = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_STATUS: Final = {"TRADING": InstrumentStatus.TRADING}
# How long a request for data may wait for the budget before the caller puts its work off.
_WAIT_S: Final = 5.0


def native_id(symbol: str) -> str:
    """Binance's name of a spot symbol: ``BTC/USDT`` is ``BTCUSDT``."""
    return symbol.replace("/", "")


class BinanceSpotMarket:
    """Binance spot over REST; implements ``MarketAdapter``.

    The raw endpoints are read, not ccxt's unified ones: parsing is five times cheaper, exact,
    and refuses what it does not understand.
    """

    def __init__(self, session: VenueSession) -> None:
        self.exchange = session.exchange
        self._session = session

    def instruments(self) -> list[Instrument]:
        """All spot symbols with their filters; weight 20."""
        reader = self._reader("exchangeInfo")
        answer = reader.object(
            self._get(
                "public_get_exchangeinfo",
                {"permissions": "SPOT", "showPermissionSets": "false"},
                20,
                limit=_CATALOGUE_LIMIT,
            )
        )
        rows = reader.list(answer.get("symbols"))
        return [self._instrument(reader, reader.object(row)) for row in rows]

    def klines(
        self, symbol: str, interval: str, start: int, end: int, limit: int
    ) -> list[KlineRow]:
        """Up to ``limit`` (at most 1000) bars that open in [start, end); weight 2.

        Rows come as the venue stated them: validate before use.
        """
        if start >= end:
            return []
        return kline_rows(
            self._reader(f"klines of {symbol}"),
            self._get(
                "public_get_klines",
                {
                    "symbol": native_id(symbol),
                    "interval": interval,
                    "startTime": start,
                    "endTime": end - 1,
                    "limit": min(limit, KLINES_LIMIT),
                },
                2,
            ),
        )

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

    def order_book(self, symbol: str, depth: int) -> OrderBook:
        """Up to ``depth`` (at most 5000) levels, best first; weight 5 to 250 by depth."""
        depth = min(max(depth, 1), 5000)
        weight = next(cost for most, cost in _DEPTHS if depth <= most)
        reader = self._reader(f"order book of {symbol}")
        answer = reader.object(
            self._get("public_get_depth", {"symbol": native_id(symbol), "limit": depth}, weight)
        )
        bids, asks = self._levels(reader, answer, "bids"), self._levels(reader, answer, "asks")
        if any(after >= before for (before, _), (after, _) in pairwise(bids)):
            reader.bad("bids do not descend")
        if any(after <= before for (before, _), (after, _) in pairwise(asks)):
            reader.bad("asks do not ascend")
        if bids and asks and bids[0][0] >= asks[0][0]:
            reader.bad("the best bid is not below the best ask")
        return OrderBook(self.exchange, symbol, reader.integer(answer, "lastUpdateId"), bids, asks)

    def server_time_ms(self) -> int:
        """The venue's wall clock, ms; weight 1, of the orders' share, for orders wait for it."""
        reader = self._reader("time")
        call = Call("public_get_time", {}, 1, purpose=Purpose.ORDER)
        return reader.integer(reader.object(self._session.send(call)), "serverTime")

    def _get(
        self, method: str, params: dict[str, Any], weight: int, limit: int = ANSWER_LIMIT
    ) -> Any:
        return self._session.send(Call(method, params, weight, wait_s=_WAIT_S, limit=limit))

    def _reader(self, what: str) -> Reader:
        return Reader(self.exchange, what)

    def _symbol_of(self, reader: Reader, answer: Any, symbol: str) -> dict[str, Any]:
        row = reader.object(answer)
        if row.get("symbol") != native_id(symbol):
            reader.bad("the answer speaks of another symbol")
        return row

    def _levels(
        self, reader: Reader, answer: dict[str, Any], key: str
    ) -> tuple[tuple[Decimal, Decimal], ...]:
        levels = []
        for level in reader.list(answer.get(key)):
            if not isinstance(level, list) or len(level) < 2:
                reader.bad(f"a level of {key} is not a price and a quantity")
            price, quantity = reader.number(level[0], "price"), reader.number(level[1], "quantity")
            if price <= 0 or quantity <= 0:
                reader.bad(f"a level of {key} is not above 0")
            levels.append((price, quantity))
        return tuple(levels)

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
