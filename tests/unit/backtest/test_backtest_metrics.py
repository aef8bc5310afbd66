"""Metrics against figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.backtest import metrics as m
from app.core.market.intervals import DAY_MS, HOUR_MS

# Mean 0.006; squared deviations 1.96 + 2.56 + 5.76 + 6.76 + 0.16 = 17.2, all × 10⁻⁴.
RETURNS = np.array([0.02, -0.01, 0.03, -0.02, 0.01])
M2, M3, M4 = 3.44e-4, -1.008e-6, 17.8592e-8
NONE = np.empty(0)
START = 1_704_067_200_000


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-9)


def test_ratios_of_returns() -> None:
    assert m.sharpe(RETURNS) == near(math.sqrt(365 * 0.006**2 / 4.3e-4))
    assert m.sortino(RETURNS) == near(math.sqrt(365) * 0.6)
    assert m.volatility(RETURNS) == near(math.sqrt(365 * 4.3e-4))
    assert m.sharpe(RETURNS, periods=252) == near(math.sqrt(252 * 0.006**2 / 4.3e-4))


def test_tails_of_returns() -> None:
    assert m.value_at_risk(RETURNS) == near(0.018)
    assert m.expected_shortfall(RETURNS) == near(0.02)
    assert m.omega(RETURNS) == near(2.0)
    assert m.tail_ratio(RETURNS) == near(0.028 / 0.018)


def test_moments_are_bias_corrected_and_kurtosis_is_excess() -> None:
    skew = math.sqrt(5 * 4) / 3 * M3 / M2**1.5
    assert m.skewness(RETURNS) == near(skew)
    kurtosis = 4 / (3 * 2) * (6 * (M4 / M2**2 - 3) + 6)
    assert m.excess_kurtosis(RETURNS) == near(kurtosis)


def normal_cdf(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


def test_the_probabilistic_sharpe_ratio_takes_raw_kurtosis() -> None:
    ratio = 0.006 / math.sqrt(4.3e-4)
    skew, raw = M3 / M2**1.5, M4 / M2**2
    spread = math.sqrt(1 - skew * ratio + (raw - 1) / 4 * ratio**2)
    assert m.probabilistic_sharpe(RETURNS) == near(normal_cdf(ratio * 2 / spread))
    # A normal distribution: γ₃ = 0 and γ₄ = 3 give Φ(SR √(n−1) / √(1 + SR²/2)).
    expected = normal_cdf(0.1 * math.sqrt(364) / math.sqrt(1.005))
    assert m.psr(0.1, 0.0, 365, 0.0, 3.0) == near(expected)
    assert m.psr(0.1, 0.1, 365, 0.0, 3.0) == near(0.5)
    assert m.psr(2.0, 0.0, 365, 9.0, 3.0) is None


def test_drawdown_counts_the_start_as_a_high() -> None:
    equity = np.array([95.0, 110.0, 99.0, 105.0, 121.0, 100.0])
    falls = m.drawdowns(equity, 100.0)
    assert falls == pytest.approx([-0.05, 0, -0.1, 105 / 110 - 1, 0, 100 / 121 - 1])
    assert m.ulcer(falls) == near(math.sqrt(float(sum(x * x for x in falls)) / 6))


@pytest.mark.parametrize(
    ("falls", "hours"),
    [
        ([0.0, 0.0, 0.0], 0),
        ([-0.1, 0.0, 0.0], 2),
        ([0.0, -0.1, -0.1, 0.0, -0.1], 3),
        ([0.0, -0.1, -0.2, -0.3], 3),
        ([-0.1, -0.2], 2),
    ],
)
def test_time_under_water_runs_from_high_to_high(falls: list[float], hours: int) -> None:
    closes = START + HOUR_MS * np.arange(1, len(falls) + 1)
    assert m.longest_under_water(closes, np.array(falls), START) == hours * HOUR_MS


def test_annual_growth_counts_the_exact_time() -> None:
    assert m.cagr(100, 121, 730 * DAY_MS) == near(0.1)
    assert m.cagr(100, 110, 365 * DAY_MS // 2) == near(1.1**2 - 1)
    assert m.cagr(100, 0, 365 * DAY_MS) == -1.0
    assert m.cagr(100, 101, DAY_MS // 2) is None
    assert m.cagr(1, 1e12, DAY_MS) is None
    assert m.cagr(100, -1, 365 * DAY_MS) is None


def test_calmar_needs_a_drawdown() -> None:
    assert m.calmar(0.5, -0.25) == near(2.0)
    assert m.calmar(0.5, 0.0) is None
    assert m.calmar(None, -0.25) is None


def test_metrics_of_trades() -> None:
    pnls = [10.0, -5.0, 20.0, -5.0, 0.0]
    assert m.profit_factor(pnls) == near(3.0)
    assert m.expectancy(pnls) == near(4.0)
    assert m.win_rate(pnls) == near(0.4)
    assert m.payoff(pnls) == near(3.0)
    assert m.longest_run_of_losses([-1, -1, 1, -1, 0, -1, -1, -1]) == 3
    assert m.sqn([0.02, -0.01, 0.03, -0.02, 0.01]) == near(math.sqrt(5 * 0.006**2 / 4.3e-4))
    many = [0.02, -0.01, 0.03, -0.02, 0.01] * 40
    assert m.sqn(many, cap=100) == near(m.sqn(many) / math.sqrt(2))  # type: ignore[operator]


def test_what_is_not_defined_is_none() -> None:
    flat = np.zeros(10)
    for metric in (m.sharpe, m.sortino, m.omega, m.tail_ratio, m.skewness, m.excess_kurtosis):
        assert metric(flat) is None
        assert metric(NONE) is None
    for metric in (m.volatility, m.value_at_risk, m.expected_shortfall, m.ulcer):
        assert metric(NONE) is None
    assert m.probabilistic_sharpe(flat) is None
    assert m.sharpe(np.array([0.01])) is None
    assert m.volatility(flat) == 0.0
    for of_trades in (m.profit_factor, m.expectancy, m.win_rate, m.payoff, m.sqn):
        assert of_trades([]) is None
    assert m.profit_factor([1.0]) is None
    assert m.payoff([1.0]) is None
    assert m.sqn([0.1]) is None


def test_daily_returns_are_marked_at_midnight() -> None:
    closes = START + HOUR_MS * np.arange(1, 61)
    equity = 100.0 + np.arange(1, 61)
    returns = m.daily_returns(closes, equity, START, 100.0)
    assert returns == pytest.approx([124 / 100 - 1, 148 / 124 - 1])
    # A run that starts at noon has its first mark at the next midnight.
    noon = START + 12 * HOUR_MS
    returns = m.daily_returns(closes + 12 * HOUR_MS, equity, noon, 100.0)
    assert returns == pytest.approx([136 / 112 - 1, 160 / 136 - 1])


def test_a_run_within_a_day_or_a_lost_account_has_no_daily_returns() -> None:
    closes = START + HOUR_MS * np.arange(1, 5)
    assert len(m.daily_returns(closes, np.ones(4), START, 1.0)) == 0
    closes = START + DAY_MS * np.arange(1, 4)
    assert len(m.daily_returns(closes, np.array([1.0, 0.0, 0.0]), START, 1.0)) == 0


SOME = st.lists(st.floats(-0.2, 0.2).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=5).map(
    np.array
)


@given(SOME)
def test_ratios_do_not_depend_on_the_size_of_the_bet(returns: np.ndarray) -> None:
    for metric in (m.sharpe, m.sortino, m.omega, m.tail_ratio):
        one, half = metric(returns), metric(returns / 2)
        assert (one is None) == (half is None)
        if one is not None:
            assert half == pytest.approx(one, rel=1e-6, abs=1e-9)


@given(SOME)
def test_metrics_are_numbers_or_none(returns: np.ndarray) -> None:
    for metric in (
        m.sharpe,
        m.sortino,
        m.omega,
        m.tail_ratio,
        m.volatility,
        m.skewness,
        m.excess_kurtosis,
        m.probabilistic_sharpe,
        m.value_at_risk,
        m.expected_shortfall,
    ):
        value = metric(returns)
        assert value is None or math.isfinite(value)
