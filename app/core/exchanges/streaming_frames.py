"""What Binance's streams say, frame by frame: feeds and their names, bars, tickers, reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from app.core.exchanges.decoding import ORDER_STATUS, Reader
from app.core.exchanges.markets.binance import native_id
from app.core.market.klines import KlineRow
from app.core.market.quotes import MarketData
from app.core.money import ZERO
from app.core.orders.types import OrderResponse, OrderStatus, OrderType, Side, VenueFill

_TYPES: Final = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "LIMIT_MAKER": OrderType.LIMIT,
    "STOP_LOSS": OrderType.STOP,
    "STOP_LOSS_LIMIT": OrderType.STOP_LIMIT,
}


class FeedKind(StrEnum):
    """What a feed carries. Order books and trades will be further kinds."""

    KLINE = "kline"
    TICKER = "ticker"


@dataclass(frozen=True, slots=True, order=True)
class Feed:
    """One subscription at a venue's market stream.

    Attributes:
        interval: of a kline feed; empty for others.
    """

    kind: FeedKind
    symbol: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class StreamedKline:
    """One kline frame.

    Attributes:
        is_closed: the venue's own flag; a bar without it is still being made.
        event_ts: the venue's time of the frame, ms.
    """

    feed: Feed
    row: KlineRow
    is_closed: bool
    event_ts: int


@dataclass(frozen=True, slots=True)
class StreamedTicker:
    """One ticker frame."""

    feed: Feed
    price: MarketData


@dataclass(frozen=True, slots=True)
class OrderReport:
    """One report of the user data stream about an order.

    Attributes:
        native_symbol: the venue's name of the symbol.
        client_order_id: the id the order was placed with, also in the report of its cancel.
        fill: the trade that the report is about, or None.
        event_ts: the venue's time of the report, ms.
    """

    native_symbol: str
    client_order_id: str
    venue_order_id: str
    side: Side
    type: OrderType | None
    status: OrderStatus
    quantity: Decimal
    filled_quantity: Decimal
    fill: VenueFill | None
    event_ts: int

    def response(self, symbol: str) -> OrderResponse:
        """The report in the words of an answer to a request, for an order of ``symbol``."""
        fills: tuple[VenueFill, ...] = ()
        if self.fill is not None:
            asset = self.fill.fee_asset or symbol.partition(":")[0].partition("/")[2]
            fills = (replace(self.fill, symbol=symbol, fee_asset=asset),)
        return OrderResponse(
            self.client_order_id,
            self.venue_order_id,
            symbol,
            self.status,
            self.quantity,
            self.filled_quantity,
            fills,
        )


@dataclass(frozen=True, slots=True)
class BalancesChanged:
    """The account's balances moved; by how much is asked for by REST."""

    event_ts: int


MarketFrame = StreamedKline | StreamedTicker
UserFrame = OrderReport | BalancesChanged


def name_of(feed: Feed) -> str:
    """Binance's name of a feed.

    The ticker is ``@ticker``, once a second: ``@miniTicker`` has neither bid nor ask, and
    ``@bookTicker`` neither volume nor the venue's time, without which no price may be trusted.
    """
    native = native_id(feed.symbol).lower()
    if feed.kind is FeedKind.KLINE:
        return f"{native}@kline_{feed.interval}"
    return f"{native}@ticker"


def _kline(reader: Reader, feed: Feed, data: dict[str, Any]) -> StreamedKline:
    bar = reader.object(data.get("k"))
    if bar.get("s") != native_id(feed.symbol) or bar.get("i") != feed.interval:
        reader.bad("the frame speaks of another series")
    row = KlineRow(
        reader.integer(bar, "t"),
        reader.loose(bar.get("o"), "open"),
        reader.loose(bar.get("h"), "high"),
        reader.loose(bar.get("l"), "low"),
        reader.loose(bar.get("c"), "close"),
        reader.loose(bar.get("v"), "volume"),
        reader.loose(bar.get("q"), "quote volume"),
        reader.integer(bar, "n"),
    )
    return StreamedKline(feed, row, reader.flag(bar, "x"), reader.integer(data, "E"))


def _ticker(reader: Reader, feed: Feed, data: dict[str, Any]) -> StreamedTicker:
    if data.get("s") != native_id(feed.symbol):
        reader.bad("the frame speaks of another symbol")
    bid, ask = reader.not_negative(data, "b"), reader.not_negative(data, "a")
    if ZERO < ask < bid:
        reader.bad("the best bid is above the best ask")
    return StreamedTicker(
        feed,
        MarketData(
            reader.exchange,
            feed.symbol,
            reader.integer(data, "C"),  # as REST's closeTime: the time of the price
            reader.positive(data, "c"),
            bid or None,  # the venue writes 0 for an empty side
            ask or None,
            reader.not_negative(data, "v"),
        ),
    )


PARSERS: Final[Mapping[FeedKind, Callable[[Reader, Feed, dict[str, Any]], MarketFrame]]] = {
    FeedKind.KLINE: _kline,
    FeedKind.TICKER: _ticker,
}


def order_report(reader: Reader, event: dict[str, Any]) -> OrderReport:
    """An ``executionReport``.

    Raises:
        BadVenueAnswer: it makes no sense.
    """
    status = ORDER_STATUS.get(reader.text(event, "X"))
    if status is None:
        reader.bad("the order's status is not known")
    try:
        side = Side(reader.text(event, "S").lower())
    except ValueError:
        reader.bad("the side is neither BUY nor SELL")
    venue_id, native = str(reader.integer(event, "i")), reader.text(event, "s")
    # In the report of a cancel "c" is the cancel's own id, and "C" the order's.
    client_id = reader.text(event, "C") if event.get("C") else reader.text(event, "c")
    fill = None
    if reader.text(event, "x") == "TRADE":
        fill = VenueFill(
            trade_id=str(reader.integer(event, "t")),
            venue_order_id=venue_id,
            symbol=native,
            side=side,
            price=reader.positive(event, "L"),
            quantity=reader.positive(event, "l"),
            fee=reader.amount(event, "n"),
            # Nobody names the asset of a fee of 0.
            fee_asset=reader.text(event, "N") if event.get("N") else "",
            timestamp=reader.integer(event, "T"),
            is_maker=reader.flag(event, "m"),
        )
        if fill.fee and not fill.fee_asset:
            reader.bad("a fee has no asset")
    quantity, filled = reader.positive(event, "q"), reader.not_negative(event, "z")
    if filled > quantity:
        reader.bad("more was filled than ordered")
    return OrderReport(
        native_symbol=native,
        client_order_id=client_id,
        venue_order_id=venue_id,
        side=side,
        type=_TYPES.get(reader.text(event, "o")),
        status=status,
        quantity=quantity,
        filled_quantity=filled,
        fill=fill,
        event_ts=reader.integer(event, "E"),
    )
