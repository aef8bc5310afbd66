"""Candles for tests: written as tables where a story is told, random where a law is checked."""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.backtest.engine import run_backtest
from app.core.backtest.result import BacktestResult
from app.core.backtest.spec import BacktestSpec
from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineData, KlineFrame
from app.core.orders.types import OrderType
from app.core.strategies.base import Answer, BaseStrategy
from app.core.strategies.parameters import IntParameter

START = 1_704_067_200_000  # 2024-01-01T00:00Z
BTC = "BTC/USDT"
KLINES = Path("/work/shared/data/klines")


def instrument(symbol: str = BTC, **changes: Any) -> Instrument:
    base, quote = symbol.split("/")
    filters: dict[str, Any] = {
        "tick_size": Decimal("0.01"),
        "step_size": Decimal("0.001"),
        "min_quantity": Decimal("0.001"),
        "min_notional": Decimal(5),
        **changes,
    }
    return Instrument(
        "binance",
        symbol,
        base + quote,
        base,
        quote,
        InstrumentType.SPOT,
        InstrumentStatus.TRADING,
        **filters,
    )


def candles(table: str, symbol: str = BTC, interval: str = "1m") -> KlineFrame:
    """Frame of a table with one line ``open high low close`` for each bar."""
    rows = [[float(word) for word in line.split()[:4]] for line in table.strip().splitlines()]
    return frame_of(np.array(rows), symbol, interval)


def frame_of(prices: Any, symbol: str = BTC, interval: str = "1m") -> KlineFrame:
    step = interval_of(interval).length_ms
    times = START + step * np.arange(len(prices), dtype=np.int64)
    open_, high, low, close = (np.ascontiguousarray(prices[:, column]) for column in range(4))
    return KlineFrame(
        "binance", symbol, interval, times, open_, high, low, close, np.ones(len(prices))
    )


def gapped(seed: int, bars: int = 300, symbol: str = BTC, interval: str = "1m") -> KlineFrame:
    """Random bars on the tick whose opens jump away from the close before."""
    rng = np.random.default_rng(seed)
    prices = np.empty((bars, 4))
    close = 100.0
    for row in prices:
        open_ = max(close * (1 + rng.choice([0.0, rng.normal(0, 0.02)])), 1.0)
        close = max(open_ * (1 + rng.normal(0, 0.015)), 1.0)
        high = max(open_, close) * (1 + abs(rng.normal(0, 0.01)))
        low = min(open_, close) * (1 - abs(rng.normal(0, 0.01)))
        row[:] = np.round([open_, high, low, close], 2)
        close = float(row[3])
    return frame_of(prices, symbol, interval)


def real_candles(name: str, interval: str) -> KlineFrame:
    """Candles of a file of this machine's data; the test is skipped where it is absent."""
    path = KLINES / f"{name}.feather"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    table = pytest.importorskip("pyarrow.feather").read_table(path)
    times = table["date"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    columns = [table[column].to_numpy() for column in ("open", "high", "low", "close", "volume")]
    return KlineFrame("binance", BTC, interval, times, *columns)


class RandomOrders(BaseStrategy):
    """Orders of every type, cancels, and orders beyond cash and position.

    What it does on a bar depends on the seed, the symbol and the bar alone.
    """

    seed = IntParameter(1, low=0, high=10**9)

    def on_kline(self, kline: KlineData) -> Answer:
        rng = random.Random(f"{self.seed}|{kline.symbol}|{kline.timestamp}")
        signals = []
        working = self.working_orders()
        if working and rng.random() < 0.2:
            signals += self.cancel(rng.choice(working))
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            signals += self._one(rng, kline.close)
        return signals

    def _one(self, rng: random.Random, close: float) -> Any:
        kind = rng.choice(list(OrderType))
        prices: dict[str, Any] = {}
        if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT):
            prices["limit"] = close * (1 + rng.gauss(0, 0.02))
        if kind in (OrderType.STOP, OrderType.STOP_LIMIT):
            prices["stop"] = close * (1 + rng.gauss(0, 0.02))
        if rng.random() < 0.5:
            part = rng.choice([0.1, 0.3, 0.6, 1.2])
            return self.buy(self.quantity_for(part), kind, tag="in", **prices)
        owned = self.position()
        part = Decimal(rng.choice(["0.3", "1", "1", "1.5"]))
        return self.sell(max(owned * part, Decimal(0)), kind, tag="out", **prices)

    def on_order_update(self, update: Any) -> Answer:
        rng = random.Random(f"{self.seed}|{update.event_id}|{update.status}")
        if update.is_fill and rng.random() < 0.3 and self.position() > 0:
            stop = update.price * Decimal("0.98")
            return self.sell(self.position(), OrderType.STOP, stop=stop, tag="protect")
        return None


def run(
    strategy: type[BaseStrategy],
    *frames: KlineFrame,
    params: Mapping[str, Any] | None = None,
    instruments: tuple[Instrument, ...] | None = None,
    **spec: Any,
) -> BacktestResult:
    """Backtest of a class over frames with test instruments."""
    return run_backtest(
        BacktestSpec(
            strategy=strategy.__name__,
            params=params or {},
            exchange="binance",
            interval=frames[0].interval,
            instruments=instruments or tuple(instrument(frame.symbol) for frame in frames),
            **spec,
        ),
        frames,
        strategy,
    )


class Scripted(BaseStrategy):
    """Sends what the test wrote for each bar."""

    script: dict[int, Any] = {}  # noqa: RUF012 - the test sets it

    def on_kline(self, kline: KlineData) -> Answer:
        act = self.script.get((kline.timestamp - START) // 60_000)
        return None if act is None else act(self)


def scripted(script: dict[int, Any]) -> type[BaseStrategy]:
    return type("Scripted", (Scripted,), {"script": script})


FLAT = candles("\n".join(["100 101 99 100"] * 6))
