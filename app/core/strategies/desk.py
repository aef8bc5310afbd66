"""The desk: what one strategy instance owns, has working, and sees of the present bar.

The same desk stands behind a strategy in a backtest and live. It holds exact decimals only;
both kinds of run fill it with the same facts, so the same decisions come out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from app.core.errors import InvalidInput
from app.core.indicators.declared import DeclaredIndicators
from app.core.indicators.lines import Present
from app.core.market.instruments import Instrument
from app.core.market.klines import KlineFrame
from app.core.money import ZERO
from app.core.orders.types import Side
from app.core.strategies.exact import exact, minus, plus, signed, times
from app.core.strategies.updates import OwnOrder


@dataclass(slots=True)
class SymbolBars:
    """One symbol of a run: its bars and how many of them have closed by now."""

    frame: KlineFrame
    present: Present = field(default_factory=Present)

    def close(self) -> Decimal:
        """Close of the present bar."""
        if self.present.index < 0:
            raise InvalidInput(f"{self.frame.symbol} has no closed bar yet, so it has no price")
        return exact(float(self.frame.close[self.present.index]))


class Desk:
    """What one instance knows of itself.

    Args:
        interval: the interval that the strategy runs on.
        instruments: the run's instruments; the first one is the primary symbol.
        capital: quote units given to the instance.
        compounding: whether sizing equity includes own gains.
    """

    def __init__(
        self,
        exchange: str,
        interval: str,
        instruments: Iterable[Instrument],
        *,
        capital: Decimal = ZERO,
        compounding: bool = True,
    ) -> None:
        self.exchange = exchange
        self.interval = interval
        self.instruments: dict[str, Instrument] = {item.symbol: item for item in instruments}
        if not self.instruments:
            raise InvalidInput("a strategy needs at least one symbol")
        self.capital = capital
        self.compounding = compounding
        self.net_cash = ZERO
        self.positions: dict[str, Decimal] = dict.fromkeys(self.instruments, ZERO)
        self.working: dict[str, OwnOrder] = {}
        self.state: dict[str, Any] = {}
        self.indicators = DeclaredIndicators()
        self.bars: dict[str, SymbolBars] = {}
        self.symbol = next(iter(self.instruments))
        self.dropped: Counter[str] = Counter()

    def load(self, frames: Mapping[str, KlineFrame]) -> None:
        """Take a run's bars and compute the declared indicators over them."""
        for symbol in self.instruments:
            bars = SymbolBars(frames[symbol])
            self.bars[symbol] = bars
            self.indicators.compute(bars.frame, bars.present)

    def chosen(self, symbol: str | None) -> str:
        """``symbol``, or the one being evaluated.

        Raises:
            InvalidInput: the run has no such symbol.
        """
        if symbol is None:
            return self.symbol
        if symbol not in self.instruments:
            known = ", ".join(self.instruments)
            raise InvalidInput(f"symbol {symbol!r} is not in this run, which has: {known}")
        return symbol

    def price(self, symbol: str) -> Decimal:
        """Close of the symbol's present bar, quote units."""
        return self.bars[symbol].close()

    def equity(self) -> Decimal:
        """Capital + own realised and unrealised PnL, fees paid; quote units.

        PnL is what own fills brought in, less what they cost, plus what is held at the close
        of the present bar: exact, and without an average price.
        """
        equity = plus(self.capital, self.net_cash)
        for symbol, size in self.positions.items():
            if size:
                equity = plus(equity, times(size, self.price(symbol)))
        return equity

    def held(self, symbol: str) -> Decimal:
        """Own position as far as it can be traded, base units; dust counts as none.

        A fee paid in base leaves less than a step behind after an exit. A strategy that took
        that for a position would never enter again.
        """
        size, instrument = self.positions[symbol], self.instruments[symbol]
        if abs(size) < max(instrument.step_size, instrument.min_quantity):
            return ZERO
        worth = times(abs(size), self.price(symbol))
        return size if worth >= instrument.min_notional else ZERO

    def working_orders(self, symbol: str) -> list[OwnOrder]:
        """Own working orders of a symbol, first emitted first."""
        return [order for order in self.working.values() if order.symbol == symbol]

    def on_their_way(self, symbol: str) -> Decimal:
        """Signed quantity that market and limit orders at work will add to the position.

        Resting stops are left out: a protective stop is not an exit under way, and counting
        it would make ``target`` buy what the stop might sell.
        """
        total = ZERO
        for order in self.working.values():
            if order.symbol == symbol and not order.is_contingent:
                total = plus(total, signed(order.side, order.remaining))
        return total

    def sellable(self, symbol: str) -> Decimal:
        """What is owned and not yet promised to a working sell, base units."""
        left = self.positions[symbol]
        for order in self.working.values():
            if order.symbol == symbol and order.side is Side.SELL:
                left = minus(left, order.remaining)
        return left

    def add_fill(
        self, symbol: str, side: Side, quantity: Decimal, price: Decimal, fee: Decimal
    ) -> None:
        """Book one own fill; ``fee`` in quote units."""
        self.positions[symbol] = plus(self.positions[symbol], signed(side, quantity))
        cost = plus(signed(side, times(quantity, price)), fee)
        self.net_cash = minus(self.net_cash, cost)
