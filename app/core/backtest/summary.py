"""All figures of one run, and every assumption behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from app.core.backtest import metrics as m
from app.core.backtest.equity import EquityCurve
from app.core.backtest.orders import BacktestFill, BacktestOrder
from app.core.backtest.spec import BacktestSpec
from app.core.backtest.trades import Trade
from app.core.market.intervals import DAY_MS
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import Floats, KlineFrame
from app.core.money import canonical
from app.core.orders.types import OrderStatus

Figures = dict[str, Any]
#: Figures that are amounts in quote units; all others are ratios, counts and times.
AMOUNTS: Final = ("expectancy", "best_trade", "worst_trade", "traded_value", "fees")
_MATCHING: Final = (
    ("market orders", "fill at the next bar's open"),
    ("limit orders", "fill at the open where it is better, else at the limit once it is reached"),
    ("stop orders", "fill at the open beyond the stop, else at the stop once it is reached"),
    ("stop-limit orders", "a trigger inside the bar fills only if the bar turned back"),
    ("path inside a bar", "unknown; orders fill in the order of their submission"),
    ("volume", "not a limit: every order fills whole, whatever was traded"),
    ("slippage", "none"),
    ("latency", "orders reach the market at the next bar's open"),
)


def figures(
    curve: EquityCurve,
    start_ts: int,
    cash: float,
    fills: Sequence[BacktestFill],
    trades: Sequence[Trade],
    frames: Mapping[str, KlineFrame],
) -> Figures:
    """Metrics by name; what is not defined is None.

    Args:
        frames: symbol → the bars of the run's range, without those for the warm-up.
    """
    returns = m.daily_returns(curve.close_ts, curve.equity, start_ts, cash)
    held = [float(f.close[-1] / f.open[0]) - 1.0 for f in frames.values() if len(f)]
    return {
        "market_return": sum(held) / len(held) if held else None,
        **_equity_figures(curve, start_ts, cash, returns),
        **_return_figures(returns),
        **_trade_figures([trade for trade in trades if not trade.is_open]),
        **_cost_figures(curve, fills),
    }


def _equity_figures(curve: EquityCurve, start_ts: int, cash: float, returns: Floats) -> Figures:
    end, elapsed = float(curve.equity[-1]), int(curve.close_ts[-1]) - start_ts
    drawdown = m.drawdowns(curve.equity, cash)
    deepest = float(drawdown.min())
    annual = m.cagr(cash, end, elapsed)
    ulcer = m.ulcer(drawdown)
    at = int(np.argmin(drawdown))
    return {
        "total_return": end / cash - 1.0,
        "cagr": annual,
        "days": elapsed / DAY_MS,
        "max_drawdown": deepest,
        "max_drawdown_ts": int(curve.close_ts[at]) if deepest < 0 else None,
        "max_drawdown_duration_ms": m.longest_under_water(curve.close_ts, drawdown, start_ts),
        "calmar": m.calmar(annual, deepest),
        "ulcer": ulcer,
        "martin": annual / ulcer if annual is not None and ulcer else None,
        "volatility": m.volatility(returns),
        "sharpe": m.sharpe(returns),
        "sortino": m.sortino(returns),
    }


def _return_figures(returns: Floats) -> Figures:
    return {
        "var_95": m.value_at_risk(returns),
        "cvar_95": m.expected_shortfall(returns),
        "omega": m.omega(returns),
        "tail_ratio": m.tail_ratio(returns),
        "skewness": m.skewness(returns),
        "excess_kurtosis": m.excess_kurtosis(returns),
        "psr": m.probabilistic_sharpe(returns),
        "best_day": float(returns.max()) if len(returns) else None,
        "worst_day": float(returns.min()) if len(returns) else None,
        "returns_bin": "1d at 00:00 UTC",
        "returns_n": len(returns),
        "periods_per_year": m.PERIODS,
        "risk_free_rate": 0.0,
    }


def _trade_figures(closed: Sequence[Trade]) -> Figures:
    pnls = [float(trade.pnl) for trade in closed]
    parts = [trade.return_pct / 100 for trade in closed]
    return {
        "trades": len(closed),
        "wins": sum(pnl > 0 for pnl in pnls),
        "losses": sum(pnl < 0 for pnl in pnls),
        "breakevens": sum(pnl == 0 for pnl in pnls),
        "win_rate": m.win_rate(pnls),
        "profit_factor": m.profit_factor(pnls),
        "expectancy": m.expectancy(pnls),
        "payoff": m.payoff(pnls),
        "sqn": m.sqn(parts),
        "sqn_100": m.sqn(parts, cap=100),
        "best_trade": max(pnls, default=None),
        "worst_trade": min(pnls, default=None),
        "mean_trade_return": m.expectancy(parts),
        "mean_bars_held": m.expectancy([trade.bars for trade in closed]),
        "max_consecutive_losses": m.longest_run_of_losses(pnls),
    }


def _cost_figures(curve: EquityCurve, fills: Sequence[BacktestFill]) -> Figures:
    traded = sum(float(fill.price) * float(fill.quantity) for fill in fills)
    fees = sum(float(fill.fee) for fill in fills)
    mean_equity = float(curve.equity.mean())
    days = (int(curve.close_ts[-1]) - int(curve.close_ts[0])) / DAY_MS
    in_market = curve.exposure > 0
    positive = curve.equity > 0
    return {
        "exposure_time": float(in_market.mean()),
        "mean_exposure": float((curve.exposure[positive] / curve.equity[positive]).mean())
        if bool(positive.any())
        else None,
        "turnover": traded / mean_equity if mean_equity > 0 else None,
        "turnover_per_year": traded / mean_equity * m.PERIODS / days
        if mean_equity > 0 and days >= 1
        else None,
        "traded_value": traded,
        "fees": fees,
        "fee_share_of_value": fees / traded if traded else None,
    }


def assumptions(
    spec: BacktestSpec,
    params: dict[str, Any],
    *,
    warm_up: int,
    first_ts: int | None,
    missing: int,
) -> tuple[tuple[str, str], ...]:
    """Every default and rule that changes money, as (name, value)."""
    fee = canonical(spec.fee * 100)
    sizing = "capital + own PnL" if spec.compounding else "capital, less losses"
    filters = "; ".join(
        f"{item.symbol} tick {canonical(item.tick_size)}, step {canonical(item.step_size)}, "
        f"min {canonical(item.min_notional)} {item.quote}"
        for item in spec.instruments
    )
    return (
        ("engine", spec.engine),
        ("account", "spot, no borrowing, no short sales"),
        ("cash at start", f"{canonical(spec.cash)} {spec.quote}"),
        ("fee", f"{fee} % of each fill's value, maker and taker alike, in {spec.quote}"),
        *_MATCHING,
        ("cash check", "when submitted, at the bar's close or the order's price, fee included"),
        ("sizing equity", sizing),
        ("rounding", "quantity down to the step; price down to the tick to buy, up to sell"),
        ("filters", filters),
        ("indicators", f"over all klines given; {warm_up} bars before the first decision"),
        ("first decision", "none" if first_ts is None else f"bar {first_ts}"),
        ("open positions", "kept at the end and valued at the last close, not sold"),
        ("missing bars", f"{missing:,} in the range; orders wait for the next bar"),
        ("metrics", "daily returns at 00:00 UTC, 365 a year, risk-free rate 0"),
        *((f"parameter {name}", str(value)) for name, value in params.items()),
    )


def missing_bars(frames: Mapping[str, KlineFrame]) -> int:
    """Bars that the frames lack between their own first and last one."""
    missing = 0
    for frame in frames.values():
        if len(frame):
            first, last = int(frame.open_ts[0]), int(frame.open_ts[-1])
            interval = interval_of(frame.interval)
            if interval.is_month:
                missing += interval.expected(first, last + 1) - len(frame)
            else:
                missing += (last - first) // interval.length_ms + 1 - len(frame)
    return missing


def order_counts(orders: Sequence[BacktestOrder]) -> dict[str, int]:
    """How many orders were sent and how they ended; rejections also by reason."""
    counts: dict[str, int] = {"sent": len(orders)}
    for status in (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.EXPIRED):
        counts[status.value] = sum(order.status is status for order in orders)
    counts["working at the end"] = sum(o.status is OrderStatus.ACKNOWLEDGED for o in orders)
    for order in orders:
        if order.status is OrderStatus.REJECTED:
            name = f"rejected: {order.reason}"
            counts[name] = counts.get(name, 0) + 1
    return counts
