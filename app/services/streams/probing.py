"""Is a silent feed dead, or its market quiet? The venue's REST answer decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.core.exchanges.streaming_frames import Feed, FeedKind, MarketFrame, StreamedKline
from app.core.market.intervals import interval
from app.core.market.klines import KlineRow
from app.core.market.quotes import MarketData
from app.core.ports import MarketAdapter, MarketClock

#: What a feed last said, in the parts that change if and only if something happens.
Print = tuple[Any, ...]


def print_of(frame: MarketFrame) -> Print | None:
    """The print of a frame; None for a bar that has just opened and says nothing yet."""
    if isinstance(frame, StreamedKline):
        said = frame.is_closed or frame.row.trade_count
        return _kline_print(frame.row) if said else None
    return _ticker_print(frame.price)


class Probe:
    """Asks by REST what a feed should have said last. Calls block."""

    def __init__(self, markets: Callable[[str], MarketAdapter], market_clock: MarketClock) -> None:
        self._markets = markets
        self._market_clock = market_clock

    def look(self, exchange: str, feed: Feed) -> Print | None:
        """The print of what the venue states now; None where it states nothing.

        Raises:
            TidemarkError: the venue could not be asked, which proves nothing.
        """
        market = self._markets(exchange)
        if feed.kind is FeedKind.TICKER:
            return _ticker_print(market.ticker(feed.symbol))
        length = interval(feed.interval)
        opened = length.floor(self._market_clock.now_ms(exchange))
        before, after = length.floor(opened - 1), length.next(opened)
        rows = market.klines(feed.symbol, feed.interval, before, after, 2)
        # A bar without a trade is not told of while it is open.
        traded = [row for row in rows if row.trade_count or row.open_ts < opened]
        return _kline_print(traded[-1]) if traded else None


def _kline_print(row: KlineRow) -> Print:
    return (row.open_ts, row.close, row.volume, row.trade_count)


def _ticker_print(price: MarketData) -> Print:
    return (price.price, price.bid, price.ask, price.volume_24h)
