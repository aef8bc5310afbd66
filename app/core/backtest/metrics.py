"""Performance metrics.

Convention for markets that never close: equity is marked at 00:00 UTC, daily simple returns r
follow, and a year has P = 365 of them. The risk-free rate is 0. A metric that is not defined
for the data is None, never 0 and never infinite. The payload carries P, N and the bin beside
the figures, since √P scaling assumes independent returns (A. Lo, "The Statistics of Sharpe
Ratios", Financial Analysts Journal 58(4), 2002).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from app.core.market.intervals import DAY_MS
from app.core.market.klines import Floats, Times

PERIODS: Final = 365
Metric = float | None


def daily_returns(close_ts: Times, equity: Floats, start_ts: int, start_equity: float) -> Floats:
    """Simple returns between the midnights, UTC, inside the run.

    A midnight's equity is that of the last bar closed by then. What lies before the first and
    after the last midnight is no whole day and has no return here.
    """
    first = -(-start_ts // DAY_MS) * DAY_MS
    marks = np.arange(first, int(close_ts[-1]) + 1, DAY_MS)
    at = np.searchsorted(close_ts, marks, side="right")
    values = np.concatenate([[start_equity], equity])[at]
    if len(values) < 2 or bool(np.any(values[:-1] <= 0)):
        return np.empty(0)
    returns: Floats = values[1:] / values[:-1] - 1.0
    return returns


def sharpe(returns: Floats, periods: int = PERIODS) -> Metric:
    """√P · mean(r) / s, s with ddof = 1 (W. Sharpe, "The Sharpe Ratio", JPM 21(1), 1994)."""
    deviation = _deviation(returns)
    return None if not deviation else math.sqrt(periods) * float(returns.mean()) / deviation


def sortino(returns: Floats, periods: int = PERIODS) -> Metric:
    """√P · mean(r) / √(Σ min(r, 0)² / N), N being all returns.

    T. Rollinger and S. Hoffman, "Sortino: A 'Sharper' Ratio", futuresmag.com, February 2013.
    """
    if len(returns) < 2:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return math.sqrt(periods) * float(returns.mean()) / downside if downside else None


def volatility(returns: Floats, periods: int = PERIODS) -> Metric:
    """√P · s, s with ddof = 1."""
    deviation = _deviation(returns)
    return None if deviation is None else math.sqrt(periods) * deviation


def cagr(start_equity: float, end_equity: float, elapsed_ms: int) -> Metric:
    """(E_T / E_0)^(365 / days) − 1, days being the exact time elapsed.

    None for less than a day, where the power would say nothing.
    """
    days = elapsed_ms / DAY_MS
    if days < 1 or start_equity <= 0 or end_equity < 0:
        return None
    try:
        return float((end_equity / start_equity) ** (PERIODS / days) - 1.0)
    except OverflowError:
        return None


def drawdowns(equity: Floats, start_equity: float) -> Floats:
    """E / max(E so far) − 1 at each bar, the starting equity counted as a high."""
    peak = np.maximum(np.maximum.accumulate(equity), start_equity)
    return equity / peak - 1.0


def longest_under_water(close_ts: Times, drawdown: Floats, start_ts: int) -> int:
    """The longest time from a high to the next one, or to the end, ms; 0 if never below one."""
    times = np.concatenate([[start_ts], close_ts])
    highs = np.flatnonzero(np.concatenate([[True], drawdown >= 0.0]))
    ends = np.append(highs[1:], len(times) - 1 if drawdown[-1] < 0.0 else highs[-1])
    below = ends - highs > 1
    below[-1] = drawdown[-1] < 0.0
    spans = (times[ends] - times[highs])[below]
    return int(spans.max()) if len(spans) else 0


def calmar(annual: Metric, max_drawdown: float) -> Metric:
    """CAGR / |maximum drawdown| (T. Young, "Calmar Ratio", Futures 20(11), 1991)."""
    return None if annual is None or max_drawdown >= 0 else annual / -max_drawdown


def ulcer(drawdown: Floats) -> Metric:
    """√ mean(DD²) over the bars (P. Martin, "The Investor's Guide to Fidelity Funds", 1989)."""
    return math.sqrt(float(np.mean(drawdown**2))) if len(drawdown) else None


def value_at_risk(returns: Floats, level: float = 0.95) -> Metric:
    """Historical VaR: −quantile(r, 1 − level), linear interpolation; a loss is positive."""
    return None if len(returns) < 2 else -float(np.quantile(returns, 1.0 - level))


def expected_shortfall(returns: Floats, level: float = 0.95) -> Metric:
    """CVaR: −mean(r where r ≤ quantile(r, 1 − level)).

    C. Acerbi and D. Tasche, "On the coherence of expected shortfall", 2002.
    """
    if len(returns) < 2:
        return None
    tail = returns[returns <= np.quantile(returns, 1.0 - level)]
    return -float(tail.mean()) if len(tail) else None


def omega(returns: Floats, threshold: float = 0.0) -> Metric:
    """Σ(r − τ)⁺ / Σ(τ − r)⁺ (C. Keating and W. Shadwick, 2002)."""
    losses = float(np.maximum(threshold - returns, 0.0).sum())
    return float(np.maximum(returns - threshold, 0.0).sum()) / losses if losses else None


def tail_ratio(returns: Floats) -> Metric:
    """95 % quantile / |5 % quantile|."""
    if len(returns) < 2:
        return None
    low, high = np.quantile(returns, [0.05, 0.95])
    return float(high / abs(low)) if low else None


def skewness(returns: Floats) -> Metric:
    """Bias-corrected sample skewness G₁ (D. Joanes and C. Gill, The Statistician 47, 1998)."""
    n, moments = len(returns), _moments(returns)
    if n < 3 or moments is None:
        return None
    return math.sqrt(n * (n - 1)) / (n - 2) * moments[0]


def excess_kurtosis(returns: Floats) -> Metric:
    """Bias-corrected excess kurtosis G₂ (Joanes and Gill, 1998); 0 for a normal distribution."""
    n, moments = len(returns), _moments(returns)
    if n < 4 or moments is None:
        return None
    return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (moments[1] - 3.0) + 6.0)


def probabilistic_sharpe(returns: Floats, benchmark: float = 0.0) -> Metric:
    """Probability that the true Sharpe ratio exceeds ``benchmark``, both per period.

    Φ((SR − SR*) √(n−1) / √(1 − γ₃ SR + (γ₄ − 1)/4 · SR²)), γ₃ skewness and γ₄ raw kurtosis,
    3 for a normal distribution. D. Bailey and M. López de Prado, "The Sharpe Ratio Efficient
    Frontier", Journal of Risk 15(2), 2012.
    """
    deviation, moments = _deviation(returns), _moments(returns)
    if not deviation or moments is None:
        return None
    ratio = float(returns.mean()) / deviation
    return psr(ratio, benchmark, len(returns), *moments)


def psr(ratio: float, benchmark: float, n: int, skew: float, raw_kurtosis: float) -> Metric:
    """``probabilistic_sharpe`` from its moments."""
    spread = 1.0 - skew * ratio + (raw_kurtosis - 1.0) / 4.0 * ratio**2
    if n < 2 or spread <= 0:
        return None
    return NormalDist().cdf((ratio - benchmark) * math.sqrt(n - 1) / math.sqrt(spread))


def profit_factor(pnls: Sequence[float]) -> Metric:
    """Σ gains / |Σ losses| of closed trades, net of fees; None without a loss."""
    losses = -sum(pnl for pnl in pnls if pnl < 0)
    return sum(pnl for pnl in pnls if pnl > 0) / losses if losses else None


def expectancy(pnls: Sequence[float]) -> Metric:
    """Mean net PnL of a closed trade, quote units."""
    return sum(pnls) / len(pnls) if pnls else None


def win_rate(pnls: Sequence[float]) -> Metric:
    """Part of closed trades with PnL above 0; a break-even counts among all."""
    return sum(pnl > 0 for pnl in pnls) / len(pnls) if pnls else None


def payoff(pnls: Sequence[float]) -> Metric:
    """Mean gain / mean loss."""
    wins, losses = [p for p in pnls if p > 0], [-p for p in pnls if p < 0]
    if not wins or not losses:
        return None
    return (sum(wins) / len(wins)) / (sum(losses) / len(losses))


def sqn(returns: Sequence[float], cap: int | None = None) -> Metric:
    """√n · mean(R) / s(R) over the trades' returns, s with ddof = 1; n at most ``cap``.

    System quality number, V. Tharp, "The Definitive Guide to Position Sizing", 2008. He caps
    n at 100 so that many trades do not make a poor system look good.
    """
    array = np.asarray(returns, dtype=np.float64)
    deviation = _deviation(array)
    n = len(array) if cap is None else min(len(array), cap)
    return math.sqrt(n) * float(array.mean()) / deviation if deviation else None


def longest_run_of_losses(pnls: Sequence[float]) -> int:
    """Most closed trades in a row with PnL below 0."""
    longest = run = 0
    for pnl in pnls:
        run = run + 1 if pnl < 0 else 0
        longest = max(longest, run)
    return longest


def _deviation(values: Floats) -> Metric:
    """Sample standard deviation; 0 where all values are the same but for rounding."""
    if len(values) < 2:
        return None
    deviation = float(values.std(ddof=1))
    return deviation if deviation > 1e-15 * max(1.0, float(np.abs(values).max())) else 0.0


def _moments(values: Floats) -> tuple[float, float] | None:
    """Population skewness and raw kurtosis."""
    if len(values) < 2 or not _deviation(values):
        return None
    centred = values - values.mean()
    second = float(np.mean(centred**2))
    return float(np.mean(centred**3)) / second**1.5, float(np.mean(centred**4)) / second**2
