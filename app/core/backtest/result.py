"""What a backtest gives back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from app.core.backtest.equity import EquityCurve, equity_curve
from app.core.backtest.ledger import OrderLog
from app.core.backtest.orders import BacktestFill, BacktestOrder
from app.core.backtest.spec import BacktestSpec
from app.core.backtest.trades import Trade, round_trips
from app.core.money import canonical, from_float
from app.core.strategies import parameters
from app.core.strategies.runner import StrategyRunner


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """One backtest's orders, fills, trades, equity, metrics and assumptions."""

    spec: BacktestSpec
    params: Mapping[str, Any]
    orders: tuple[BacktestOrder, ...]
    fills: tuple[BacktestFill, ...]
    trades: tuple[Trade, ...]
    equity: EquityCurve
    data_hash: str
    result_hash: str
    bars: int
    warm_up: int
    dropped: Mapping[str, int]

    @property
    def final_equity(self) -> Decimal:
        """Equity at the last close, quote units, 8 decimals."""
        return from_float(float(self.equity.equity[-1]))

    def closed_trades(self) -> tuple[Trade, ...]:
        """Trades whose position was closed."""
        return tuple(trade for trade in self.trades if not trade.is_open)


def build_result(
    spec: BacktestSpec, runner: StrategyRunner, first: int, stop: int, log: OrderLog
) -> BacktestResult:
    """Everything that follows from what an engine filled."""
    frames = {symbol: bars.frame for symbol, bars in runner.desk.bars.items()}
    curve = equity_curve(runner.slices, frames, log.fills, float(spec.cash), (first, stop))
    evaluated = runner.slices.times[first:stop] >= runner.ready_ts
    values = parameters.to_json(runner.strategy.parameters, runner.strategy.config)
    return BacktestResult(
        spec=spec,
        params=values,
        orders=tuple(log.orders),
        fills=tuple(log.fills),
        trades=round_trips(log.fills, frames),
        equity=curve,
        data_hash=data_hash(frames),
        result_hash=result_hash(spec, values, log, curve),
        bars=int(evaluated.sum()),
        warm_up=runner.desk.indicators.warm_up,
        dropped=dict(runner.desk.dropped),
    )


def data_hash(frames: Mapping[str, Any]) -> str:
    """sha256 over every kline that the run could see, symbol by symbol."""
    digest = hashlib.sha256()
    for symbol in sorted(frames):
        frame = frames[symbol]
        digest.update(f"{frame.exchange}|{symbol}|{frame.interval}|{len(frame)}\n".encode())
        for column in (frame.open_ts, *frame.columns()):
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def result_hash(
    spec: BacktestSpec, values: Mapping[str, Any], log: OrderLog, curve: EquityCurve
) -> str:
    """sha256 over what was asked, every order and fill, and equity at every bar.

    The engine's name is left out: two engines that agree have the same hash.
    """
    digest = hashlib.sha256()
    asked = [spec.strategy, spec.version, spec.exchange, spec.interval, list(spec.symbols)]
    money = [canonical(spec.cash), canonical(spec.fee), spec.compounding]
    digest.update(json.dumps([asked, money, dict(values)], sort_keys=True).encode())
    for order in log.orders:
        digest.update(f"{order.key}|{order.status}|{order.closed_ts}|{order.reason}\n".encode())
    for fill in log.fills:
        price, size = canonical(fill.price), canonical(fill.quantity)
        digest.update(f"{fill.key}|{fill.bar_ts}|{price}|{size}\n".encode())
    digest.update(curve.close_ts.tobytes() + curve.equity.tobytes())
    return digest.hexdigest()
