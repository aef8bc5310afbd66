"""Equity after each bar, from fills and closes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.core.backtest.orders import BacktestFill
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import Floats, KlineFrame, Times
from app.core.money import canonical, from_float
from app.core.strategies.runner import Slices


@dataclass(frozen=True, slots=True, eq=False)
class EquityCurve:
    """Columns of equal length, one row for each bar time of the run.

    Attributes:
        close_ts: when the bar closed, ms.
        equity: cash + positions at the bar's close, quote units.
        cash: quote units.
        exposure: sum of |position| × close, quote units.
    """

    close_ts: Times
    equity: Floats
    cash: Floats
    exposure: Floats

    def __len__(self) -> int:
        return len(self.close_ts)

    def to_json(self, max_points: int) -> dict[str, Any]:
        """Columns as lists of at most ``max_points`` rows, the first and last bar included.

        Amounts are texts; times are ms.
        """
        total = len(self)
        rows = np.unique(np.linspace(0, total - 1, min(max_points, total)).round().astype(int))
        return {
            "bars": total,
            "thinned": len(rows) < total,
            "close_ts": self.close_ts[rows].tolist(),
            "equity": _amounts(self.equity[rows]),
            "cash": _amounts(self.cash[rows]),
            "exposure": _amounts(self.exposure[rows]),
        }


def _amounts(values: Floats) -> list[str]:
    """Research figures as the amounts that they stand for: texts of at most 8 decimals."""
    return [canonical(from_float(value)) for value in values.tolist()]


def equity_curve(
    slices: Slices,
    frames: Mapping[str, KlineFrame],
    fills: Sequence[BacktestFill],
    cash: float,
    span: tuple[int, int],
) -> EquityCurve:
    """Equity at the close of every slice in ``span`` = [first, stop).

    Between its bars a symbol is valued at its last close.
    """
    first, stop = span
    times = slices.times
    flows = np.zeros(len(times))
    sizes = {symbol: np.zeros(len(times)) for symbol in frames}
    positions = np.searchsorted(times, [fill.bar_ts for fill in fills]).tolist()
    for at, fill in zip(positions, fills, strict=True):
        signed = fill.side.sign * float(fill.quantity)
        flows[at] -= signed * float(fill.price) + float(fill.fee)
        sizes[fill.symbol][at] += signed
    cash_after = cash + np.cumsum(flows)
    value, exposure = np.zeros(len(times)), np.zeros(len(times))
    for symbol, frame in frames.items():
        held = np.cumsum(sizes[symbol])
        # Sums of float64 leave a trace of the last digit where the position is exactly 0.
        held[np.abs(held) < 1e-12] = 0.0
        worth = held * _last_close(slices.index[symbol], frame)
        value += worth
        exposure += np.abs(worth)
    cut = np.s_[first:stop]
    return EquityCurve(
        close_ts=_close_times(times[cut], frames),
        equity=(cash_after + value)[cut],
        cash=cash_after[cut],
        exposure=exposure[cut],
    )


def _last_close(index: Times, frame: KlineFrame) -> Floats:
    """Close of the latest bar at each slice; 0 before the first one."""
    latest = np.maximum.accumulate(index)
    closes = np.zeros(len(index))
    seen = latest >= 0
    closes[seen] = frame.close[latest[seen]]
    return closes


def _close_times(opens: Times, frames: Mapping[str, KlineFrame]) -> Times:
    interval = interval_of(next(iter(frames.values())).interval)
    if not interval.is_month:
        return opens + interval.length_ms
    return np.array([interval.next(int(ts)) for ts in opens], dtype=np.int64)
