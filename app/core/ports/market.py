"""Market data: what venues and other sources give, and the live prices that are shared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from typing import Protocol

from app.core.market.features import MarketFeatures
from app.core.market.files.columns import KlineColumns
from app.core.market.instruments import Instrument
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.points import FundingRate, OpenInterest
from app.core.market.quotes import MarketData, OrderBook


class MarketAdapter(Protocol):
    """A venue's public market data over REST. Answers are validated; nothing is guessed."""

    exchange: str

    @property
    def features(self) -> MarketFeatures:
        """What the venue can be asked for."""
        ...

    def instruments(self, symbols: Collection[str] | None = None) -> list[Instrument]:
        """All instruments of the adapter's types, or those of some symbols, whatever their status.

        Raises:
            VenueRulesRefused: the venue does not list one of the symbols.
        """
        ...

    def klines(
        self,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> list[KlineRow]:
        """Up to ``limit`` bars that open in [start, end), ascending; may hold the open bar.

        Where more than ``limit`` open in the range, those from ``start`` on. What lies between
        two of them the venue does not have: collection takes that for a proof. Nothing is said of
        what lies before the first one, which may be the first of the latest bars that it keeps.
        Volumes are base units; bars of the mark and index price have a volume of 0.

        Raises:
            InvalidInput: the venue has no such interval or kind; ``features`` says which it has.
        """
        ...

    def kline_columns(
        self,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> KlineColumns:
        """The same bars as columns of texts, as the venue stated them: for many at once."""
        ...

    def funding_rates(self, symbol: str, start: int, end: int, limit: int) -> list[FundingRate]:
        """Up to ``limit`` payments of a perpetual in [start, end), ascending.

        Raises:
            InvalidInput: the venue has none.
        """
        ...

    def open_interest(
        self, symbol: str, interval: str, start: int, end: int, limit: int
    ) -> list[OpenInterest]:
        """Up to ``limit`` observations of a perpetual in [start, end), ascending.

        Raises:
            InvalidInput: the venue has none, or not at this interval.
        """
        ...

    def turnover(self) -> dict[str, Decimal]:
        """Quote units traded in the last 24 hours, by native id."""
        ...

    def ticker(self, symbol: str) -> MarketData:
        """Best bid, best ask, last price; the timestamp is the venue's market time."""
        ...

    def order_book(self, symbol: str, depth: int) -> OrderBook:
        """Levels, best first."""
        ...

    def server_time_ms(self) -> int:
        """The venue's wall clock."""
        ...


class DataSource(Protocol):
    """Any series of numbers over time; authors inherit ``app.core.sources.base.DataSource``."""

    def connect(self) -> None:
        """Make ready."""
        ...

    def subscribe(self, symbols: Sequence[str]) -> None:
        """Take note of the symbols to observe; there may be none."""
        ...

    def observe(self, since: int) -> Iterable[object] | None:
        """What came after a time, ms: observations, or whatever else an author yields."""
        ...

    def disconnect(self) -> None:
        """Let go of every resource."""
        ...


class PriceCache(Protocol):
    """Latest live price of each symbol."""

    def put(self, price: MarketData) -> None:
        """Keep a price unless a newer one is known."""
        ...

    def get(self, exchange: str, symbol: str) -> MarketData | None:
        """The latest price, whatever its age; the caller judges its timestamp."""
        ...


class Ticks(Protocol):
    """Live prices as they come, conflated: a slow listener sees the latest, not all."""

    def subscribe(
        self, exchange: str, symbol: str, handler: Callable[[MarketData], None]
    ) -> Callable[[], None]:
        """Call ``handler`` with each new price of a symbol; returns how to stop.

        A price that is older than one already given is not given.
        """
        ...
