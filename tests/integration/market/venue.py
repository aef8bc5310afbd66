"""Adapters at a venue that the test scripts."""

from __future__ import annotations

from collections.abc import Mapping

from app.adapters.budget import InProcessBudget
from app.core.exchanges.factory import market_adapter
from app.core.exchanges.trading import trade_adapter
from app.core.ports import MarketAdapter, TradeAdapter
from tests.support.record import ManualClock

KEYS = {"apiKey": "the-key", "secret": "the-secret"}


class NoBans:
    """Bans that are not kept."""

    def __init__(self) -> None:
        self.saved: list[tuple[str, int, str]] = []

    def bans(self) -> Mapping[str, int]:
        """None."""
        return {}

    def save_ban(self, exchange: str, until_ms: int, reason: str) -> None:
        """Note it."""
        self.saved.append((exchange, until_ms, reason))


class Edge:
    """The adapters of one venue with their budget and a clock that moves by hand.

    Args:
        url: of a simulator; None is the real venue.
    """

    def __init__(self, url: str | None, *, timeout_s: float = 5.0) -> None:
        self.clock = ManualClock()
        self.bans = NoBans()
        self.budget = InProcessBudget(self.clock, self.bans, sleep=self._sleep)
        self.market: MarketAdapter = market_adapter(
            "binance", self.budget, self.clock, base_url=url, timeout_s=timeout_s
        )
        self.trade: TradeAdapter = trade_adapter(
            "binance", KEYS, self.budget, self.clock, base_url=url, timeout_s=timeout_s
        )

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(max(1, round(seconds * 1000)))
