"""Strategies that the stories run."""

from __future__ import annotations

from app.core.market.klines import KlineData
from app.core.strategies.base import Answer, BaseStrategy
from app.core.strategies.parameters import BoolParameter
from app.core.strategies.updates import OrderUpdate


class Holder(BaseStrategy):
    """Does nothing of its own accord; the story speaks for it."""

    def on_kline(self, kline: KlineData) -> Answer:
        """Answer nothing."""


class Counter(BaseStrategy):
    """Buys on the first bar, counts bars, and answers each whole fill with a sell above it."""

    def on_kline(self, kline: KlineData) -> Answer:
        """Count; buy once."""
        self.state["bars"] = [*self.state.get("bars", []), kline.timestamp]
        return self.buy("0.01", tag="first") if len(self.state["bars"]) == 1 else None

    def on_order_update(self, update: OrderUpdate) -> Answer:
        """Remember it; offer what was bought."""
        self.state["told"] = [*self.state.get("told", []), str(update.status)]
        if update.is_fill and update.status == "filled" and update.side == "buy":
            price = (update.price or 0) * 2
            return self.sell("0.009", "limit", limit=price, tag="offer")
        return None


class Deaf(BaseStrategy):
    """Counts bars and buys on the first one, below the price where told so; it answers bars
    alone."""

    below = BoolParameter(False)

    def on_kline(self, kline: KlineData) -> Answer:
        """Count; buy once."""
        self.state["bars"] = [*self.state.get("bars", []), kline.timestamp]
        if len(self.state["bars"]) > 1:
            return None
        if self.below:
            return self.buy("0.01", "limit", limit=kline.close * 0.95, tag="first")
        return self.buy("0.01", tag="first")
