"""What a backtest gives back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np

from app.core.backtest import summary
from app.core.backtest.equity import EquityCurve, equity_curve
from app.core.backtest.ledger import OrderLog
from app.core.backtest.orders import BacktestFill, BacktestOrder
from app.core.backtest.spec import BacktestSpec
from app.core.backtest.trades import Trade, round_trips
from app.core.market.klines import KlineFrame
from app.core.money import canonical, from_float
from app.core.orders.types import OrderStatus
from app.core.strategies import parameters
from app.core.strategies.plain import Blobs, to_plain
from app.core.strategies.runner import StrategyRunner

_AFTER_ALL: Final = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class BacktestResult:
    """One backtest's orders, fills, trades, equity, metrics and assumptions.

    Attributes:
        params: every parameter's value in its JSON form, defaults included.
        orders: every order that was sent, with its end: filled, rejected, cancelled, working.
        trades: round trips in the order of their exits; open positions come last.
        metrics: see ``summary.figures``; None where a metric is not defined.
        assumptions: (name, value) of every rule and default that changes money.
        data_hash: sha256 of the klines; result_hash: of what was asked and what came out.
        start_ts: open time of the first bar of the run, ms.
        first_ts: open time of the first bar the strategy was asked about, or None.
        bars: how many times ``on_kline`` was called for one symbol or more.
        warm_up: bars the indicators need before their first value.
        dropped: reason → orders that the instrument's filters left out.
    """

    spec: BacktestSpec
    params: Mapping[str, Any]
    orders: tuple[BacktestOrder, ...]
    fills: tuple[BacktestFill, ...]
    trades: tuple[Trade, ...]
    equity: EquityCurve
    metrics: Mapping[str, Any]
    assumptions: tuple[tuple[str, str], ...]
    data_hash: str
    result_hash: str
    start_ts: int
    first_ts: int | None
    bars: int
    warm_up: int
    dropped: Mapping[str, int]

    @property
    def final_equity(self) -> Decimal:
        """Equity at the last close, quote units, 8 decimals."""
        return from_float(float(self.equity.equity[-1]))

    @property
    def end_ts(self) -> int:
        """Close of the last bar, ms."""
        return int(self.equity.close_ts[-1])

    def closed_trades(self) -> tuple[Trade, ...]:
        """Trades whose position was closed."""
        return tuple(trade for trade in self.trades if not trade.is_open)

    def order_counts(self) -> dict[str, int]:
        """How many orders were sent and how they ended."""
        return summary.order_counts(self.orders)

    def to_json(self, max_points: int = 2_000, max_orders: int = 10_000) -> dict[str, Any]:
        """The result as plain JSON: money as text, other metrics as numbers or null, times in ms.

        Args:
            max_points: rows of the equity curve; a longer one is thinned evenly, and says so.
            max_orders: orders listed; beyond it those that were cancelled or expired are left
                out, the oldest first, and ``orders_left_out`` says how many. Filled, rejected
                and working ones are always there.
        """
        blobs: Blobs = []
        orders = _most_telling(self.orders, max_orders)
        listed = {
            name: to_plain(getattr(self, name), blobs)
            for name in ("params", "fills", "trades", "dropped")
        }
        return {
            "schema": "backtest.v1",
            "spec": to_plain(self.spec, blobs),
            **listed,
            "metrics": _figures_json(self.metrics),
            "orders": to_plain(orders, blobs),
            "orders_left_out": len(self.orders) - len(orders),
            "order_counts": self.order_counts(),
            "equity": self.equity.to_json(max_points),
            "final_equity": canonical(self.final_equity),
            "assumptions": [list(pair) for pair in self.assumptions],
            "data_hash": self.data_hash,
            "result_hash": self.result_hash,
            "start_ts": self.start_ts,
            "end_ts": self.end_ts,
            "first_ts": self.first_ts,
            "bars": self.bars,
            "warm_up": self.warm_up,
        }


def _figures_json(figures: Mapping[str, Any]) -> dict[str, Any]:
    amounts = {name: figures[name] for name in summary.AMOUNTS if figures[name] is not None}
    return {**figures, **{name: canonical(from_float(value)) for name, value in amounts.items()}}


def _most_telling(orders: tuple[BacktestOrder, ...], limit: int) -> tuple[BacktestOrder, ...]:
    """At most ``limit`` orders, if leaving out cancelled and expired ones can do it."""
    surplus = len(orders) - limit
    quiet = (OrderStatus.CANCELLED, OrderStatus.EXPIRED)
    kept = []
    for order in orders:
        if surplus > 0 and order.status in quiet:
            surplus -= 1
        else:
            kept.append(order)
    return tuple(kept)


def build_result(
    spec: BacktestSpec, runner: StrategyRunner, first: int, stop: int, log: OrderLog
) -> BacktestResult:
    """Everything that follows from what an engine filled."""
    frames = {symbol: bars.frame for symbol, bars in runner.desk.bars.items()}
    curve = equity_curve(runner.slices, frames, log.fills, float(spec.cash), (first, stop))
    times = runner.slices.times[first:stop]
    evaluated = times[times >= runner.ready_ts]
    first_ts = int(evaluated[0]) if len(evaluated) else None
    values = parameters.to_json(runner.strategy.parameters, runner.strategy.config)
    trades = round_trips(log.fills, frames)
    start_ts, warm_up = int(times[0]), runner.desk.indicators.warm_up
    in_range = {symbol: frame.between(start_ts, _AFTER_ALL) for symbol, frame in frames.items()}
    return BacktestResult(
        spec=spec,
        params=values,
        orders=tuple(log.orders),
        fills=tuple(log.fills),
        trades=trades,
        equity=curve,
        metrics=summary.figures(curve, start_ts, float(spec.cash), log.fills, trades, in_range),
        assumptions=summary.assumptions(
            spec,
            values,
            warm_up=warm_up,
            first_ts=first_ts,
            missing=summary.missing_bars(in_range),
        ),
        data_hash=data_hash(frames),
        result_hash=result_hash(spec, values, log, curve),
        start_ts=start_ts,
        first_ts=first_ts,
        bars=len(evaluated),
        warm_up=warm_up,
        dropped=dict(runner.desk.dropped),
    )


def data_hash(frames: Mapping[str, KlineFrame]) -> str:
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
