"""A series in another zone's time is told from the right one by its returns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS, interval
from app.core.market.klines import Floats, Times
from app.core.market.shifts import best_lag, is_suspect

T = 1_772_323_200_000
ONE_MINUTE, ONE_HOUR = interval("1m"), interval("1h")


def walk(seed: int, bars: int) -> Floats:
    """Prices of a market: returns with fat tails, some of them 0."""
    draw = np.random.default_rng(seed)
    returns = draw.standard_t(3, bars) * 1e-3 * (draw.random(bars) > 0.2)
    prices: Floats = 100.0 * np.exp(np.cumsum(returns))
    return prices


def times(bars: int, start: int = T, step: int = MINUTE_MS) -> Times:
    return start + np.arange(bars, dtype=np.int64) * step


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1_000), st.integers(-24, 24), st.booleans())
def test_a_shift_of_whole_hours_is_found_whatever_it_is(seed: int, hours: int, rough: bool) -> None:
    """Also where the other program rounded, or another venue's price is near ours."""
    prices = walk(seed, 2_000)
    noise = np.random.default_rng(seed + 1).normal(0.0, 1e-4, 2_000) if rough else 0.0
    arriving = times(2_000) + hours * HOUR_MS
    found = best_lag(arriving, prices * np.exp(noise), times(2_000), prices, ONE_MINUTE)
    assert found == (hours * HOUR_MS or None)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1_000), st.sampled_from([100, 300, 2_000]))
def test_two_markets_are_no_shift_of_each_other(seed: int, bars: int) -> None:
    one, other = walk(seed, bars), walk(seed + 5_000, bars)
    assert best_lag(times(bars), one, times(bars), other, ONE_MINUTE) is None


def test_one_crash_in_both_does_not_make_a_shift() -> None:
    """Two markets fall by half an hour apart; everything else of them is unlike."""
    one, other = walk(1, 600), walk(2, 600)
    one[300:] *= 0.5
    other[240:] *= 0.5
    assert best_lag(times(600), one, times(600), other, ONE_MINUTE) is None


@pytest.mark.parametrize(
    "prices", [np.full(600, 100.0), 100.0 * 1.0001 ** np.arange(600)], ids=["still", "steady"]
)
def test_where_the_price_does_not_move_by_itself_nothing_is_told(prices: Floats) -> None:
    assert best_lag(times(600) + HOUR_MS, prices, times(600), prices, ONE_MINUTE) is None


def test_too_little_in_common_says_nothing() -> None:
    prices = walk(3, 600)
    assert best_lag(times(50) + HOUR_MS, prices[:50], times(600), prices, ONE_MINUTE) is None
    assert best_lag(times(0), prices[:0], times(600), prices, ONE_MINUTE) is None
    assert best_lag(times(600), prices, times(0), prices[:0], ONE_MINUTE) is None
    apart = times(600, T + 30 * DAY_MS)
    assert best_lag(apart, prices, times(600), prices, ONE_MINUTE) is None


def test_a_market_with_holes_is_compared_by_the_bars_that_both_have() -> None:
    prices, draw = walk(4, 3_000), np.random.default_rng(4)
    kept = draw.random(3_000) < 0.3
    arriving = times(3_000)[kept] - 3 * HOUR_MS
    other = draw.random(3_000) < 0.6
    found = best_lag(arriving, prices[kept], times(3_000)[other], prices[other], ONE_MINUTE)
    assert found == -3 * HOUR_MS


def test_hours_are_shifted_by_hours_and_days_by_a_day() -> None:
    prices = walk(5, 500)
    hours = times(500, step=HOUR_MS)
    assert best_lag(hours + HOUR_MS, prices, hours, prices, ONE_HOUR) == HOUR_MS
    days = times(500, step=DAY_MS)
    assert best_lag(days - DAY_MS, prices, days, prices, interval("1d")) == -DAY_MS


def test_a_few_corrections_are_no_reason_to_look() -> None:
    assert not is_suspect(19, 0)
    assert not is_suspect(500, 500)
    assert is_suspect(20, 19)
