"""The last 24 hours of a market, for the tickers of every dialect."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from app.core.market.intervals import DAY_MS
from app.core.money import ZERO
from simulator.book import Book
from simulator.market import Market


@dataclass(frozen=True, slots=True)
class Day:
    """Figures of the rolling day, and the best prices at its end.

    Attributes:
        volume: base units.
        turnover: quote units.
        bid, ask: (price, base units).
    """

    open: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    volume: Decimal
    turnover: Decimal
    trades: int
    bid: tuple[Decimal, Decimal]
    ask: tuple[Decimal, Decimal]
    book: Book

    @property
    def change(self) -> Decimal:
        """From open to last."""
        return self.last - self.open

    @property
    def average(self) -> Decimal:
        """Mean price by volume; the last one where nothing was traded."""
        return self.turnover / self.volume if self.volume else self.last


def day_of(market: Market, now: int) -> Day | None:
    """The day that ends now; None before the first bar."""
    finest = market.tape.finest
    count = max(1, DAY_MS // finest.length_ms) + 1
    last, book = market.price(now), market.book(now)
    if last is None or book is None:
        return None
    begin = max(now - DAY_MS + 1, market.tape.first_ts)
    bars = market.klines(finest, begin, None, count, now)
    is_empty = len(bars) == 0
    return Day(
        open=last if is_empty else bars.price(int(bars.open[0])),
        high=last if is_empty else bars.price(int(bars.high.max())),
        low=last if is_empty else bars.price(int(bars.low.min())),
        last=last,
        volume=ZERO if is_empty else Decimal(int(bars.volume.sum())).scaleb(-bars.volume_decimals),
        turnover=(
            ZERO if is_empty else Decimal(int(bars.quote_volume.sum())).scaleb(-bars.quote_decimals)
        ),
        trades=int(bars.trades.sum()),
        bid=book.levels(asks=False, limit=1)[0],
        ask=book.levels(asks=True, limit=1)[0],
        book=book,
    )


def price_at(market: Market, ts: int) -> Decimal:
    """The price at a time, or 0 before the first bar."""
    price = market.price(max(ts, market.tape.first_ts))
    return ZERO if price is None else price
