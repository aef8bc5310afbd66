"""What the market adapters of all venues share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from app.core.errors import InvalidInput
from app.core.exchanges.decoding import Reader
from app.core.exchanges.errors import VenueRulesRefused
from app.core.exchanges.session import ANSWER_LIMIT, Call, VenueSession
from app.core.market.features import MarketFeatures
from app.core.market.files.columns import KlineColumns, stated
from app.core.market.instruments import Instrument
from app.core.market.intervals import INTERVALS, Interval
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.points import FundingRate, OpenInterest
from app.core.market.quotes import MarketData, OrderBook

# How long a request for data may wait for the budget before the caller puts its work off.
_WAIT_S: Final = 5.0

Levels = tuple[tuple[Decimal, Decimal], ...]


class VenueMarket(ABC):
    """One venue's public market data over REST; implements ``MarketAdapter``.

    The raw endpoints are read, not ccxt's unified ones: parsing is five times cheaper, exact,
    and refuses what it does not understand.
    """

    features: MarketFeatures

    def __init__(self, session: VenueSession) -> None:
        self.exchange = session.exchange
        self._session = session

    @abstractmethod
    def native_id(self, symbol: str) -> str:
        """The venue's own name of a unified symbol."""

    @abstractmethod
    def instruments(self, symbols: Collection[str] | None = None) -> list[Instrument]:
        """See ``MarketAdapter``."""

    @abstractmethod
    def klines(
        self,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> list[KlineRow]:
        """See ``MarketAdapter``."""

    def kline_columns(
        self,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> KlineColumns:
        """See ``MarketAdapter``; of the rows, where a venue has no shorter way."""
        return stated(self.klines(symbol, interval, start, end, limit, kind))

    @abstractmethod
    def ticker(self, symbol: str) -> MarketData:
        """See ``MarketAdapter``."""

    @abstractmethod
    def turnover(self) -> dict[str, Decimal]:
        """See ``MarketAdapter``."""

    @abstractmethod
    def order_book(self, symbol: str, depth: int) -> OrderBook:
        """See ``MarketAdapter``."""

    @abstractmethod
    def server_time_ms(self) -> int:
        """See ``MarketAdapter``."""

    def funding_rates(self, symbol: str, start: int, end: int, limit: int) -> list[FundingRate]:
        """None: venues that have them say how."""
        del start, end, limit
        raise InvalidInput(f"{self.exchange} has no funding rates of {symbol[:40]}")

    def open_interest(
        self, symbol: str, interval: str, start: int, end: int, limit: int
    ) -> list[OpenInterest]:
        """None: venues that have it say how."""
        del interval, start, end, limit
        raise InvalidInput(f"{self.exchange} has no open interest of {symbol[:40]}")

    def _chosen(
        self, listed: list[Instrument], symbols: Collection[str] | None
    ) -> list[Instrument]:
        """Those of the symbols, where the venue gives its whole catalogue at once."""
        if symbols is None:
            return listed
        found = {instrument.symbol: instrument for instrument in listed}
        strange = sorted(set(symbols) - set(found))
        if strange:
            names = ", ".join(strange)[:200]
            raise VenueRulesRefused(self.exchange, f"the venue does not list {names}")
        return [found[symbol] for symbol in sorted(set(symbols))]

    def _windows(self, start: int, end: int, span_ms: int) -> Iterator[tuple[int, int]]:
        """[start, end) in consecutive parts of at most ``span_ms``, ascending."""
        for first in range(start, end, span_ms):
            yield first, min(first + span_ms, end)

    def _period(self, periods: Collection[str], interval: str) -> Interval:
        """The interval of an open interest history, which few intervals have."""
        if interval not in periods:
            raise InvalidInput(
                f"{self.exchange} has no open interest at {interval[:20]}; "
                f"use one of {', '.join(periods)}"
            )
        return INTERVALS[interval]

    def _ascending(self, reader: Reader, times: Sequence[int], start: int, end: int) -> None:
        """Refuse a history that leaves the range asked for, or does not ascend."""
        if any(not start <= ts < end for ts in times):
            reader.bad("a row lies outside the range that was asked for")
        if any(after <= before for before, after in pairwise(times)):
            reader.bad("the rows are not in order, or one came twice")

    def _get(
        self, method: str, params: dict[str, Any], weight: int, limit: int = ANSWER_LIMIT
    ) -> Any:
        return self._session.send(Call(method, params, weight, wait_s=_WAIT_S, limit=limit))

    def _reader(self, what: str) -> Reader:
        return Reader(self.exchange, what)

    def _check_klines(self, interval: str, kind: KlineKind) -> None:
        if kind not in self.features.kinds:
            raise InvalidInput(f"{self.exchange} has no {kind} klines")
        if interval not in self.features.intervals:
            raise InvalidInput(
                f"{self.exchange} has no klines of {interval[:20]}; "
                "collect a shorter interval, from which it derives"
            )

    def _sides(self, reader: Reader, bids: Any, asks: Any) -> tuple[Levels, Levels]:
        """Both sides of an order book, checked: each sorted, and not crossed."""
        buys, sells = self._levels(reader, bids, "bids"), self._levels(reader, asks, "asks")
        if any(after >= before for (before, _), (after, _) in pairwise(buys)):
            reader.bad("bids do not descend")
        if any(after <= before for (before, _), (after, _) in pairwise(sells)):
            reader.bad("asks do not ascend")
        if buys and sells and buys[0][0] >= sells[0][0]:
            reader.bad("the best bid is not below the best ask")
        return buys, sells

    def _levels(self, reader: Reader, rows: Any, side: str) -> Levels:
        levels = []
        for level in reader.list(rows):
            if not isinstance(level, list) or len(level) < 2:
                reader.bad(f"a level of {side} is not a price and a quantity")
            price, quantity = reader.number(level[0], "price"), reader.number(level[1], "quantity")
            if price <= 0 or quantity <= 0:
                reader.bad(f"a level of {side} is not above 0")
            levels.append((price, quantity))
        return tuple(levels)
