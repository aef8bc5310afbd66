"""A market as one venue shows it: on its tick, from its listing to its delisting, by its clock."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.market.intervals import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS, Interval
from simulator.bars import Bars
from simulator.dialects.pages import Grid, Page, newest
from simulator.instruments import CATALOGUE
from simulator.market import Market
from simulator.process import PriceProcess
from simulator.tape import GeneratedTape
from simulator.window import Listed, RoundedTape, WindowTape

SPEC = CATALOGUE["BTC/USDT"]
TAPE = GeneratedTape(PriceProcess(7, CATALOGUE), SPEC.symbol, SPEC.listed_ms, 10**7)
START = 1_769_904_000_000  # 2026-02-01T00:00Z
MINUTE = INTERVALS["1m"]
WANTED = st.sampled_from([INTERVALS[name] for name in ("1m", "15m", "1h", "4h", "1d", "1M")])
OFFSETS = st.integers(0, 3 * DAY_MS)


def same(left: Bars, right: Bars) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left.columns(), right.columns(), strict=True))


@given(wanted=WANTED, since=OFFSETS, length=st.integers(1, 2 * DAY_MS), asked=OFFSETS)
@settings(max_examples=60, deadline=None)
def test_every_bar_of_a_window_is_made_of_the_minutes_inside_it(
    wanted: Interval, since: int, length: int, asked: int
) -> None:
    since += START
    tape = WindowTape(TAPE, Listed(since, since + length))
    begin = wanted.floor(START + asked)
    end = begin + 3 * DAY_MS
    first, last = MINUTE.ceil(since), MINUTE.floor(since + length)
    minutes = TAPE.between(MINUTE, first, last)
    made = minutes.aggregated(wanted).between(begin, end)
    shown = tape.between(wanted, begin, end)
    assert len(shown) == len(made)
    assert not len(made) or same(shown, made)


@given(since=OFFSETS, length=st.integers(MINUTE_MS, DAY_MS), asked=OFFSETS)
@settings(max_examples=60, deadline=None)
def test_outside_of_its_window_a_market_has_no_price_but_its_last(
    since: int, length: int, asked: int
) -> None:
    tape = WindowTape(TAPE, Listed(START + since, START + since + length))
    ts = START + asked
    is_inside = tape.end_ts is not None and tape.first_ts <= ts < tape.end_ts
    assert (tape.bar_at(ts) is not None) is is_inside
    last = tape.last_before(ts)
    if ts < tape.first_ts:
        assert last is None
    elif last is not None:
        assert tape.bar_at(last) is not None


@given(wanted=WANTED, tick=st.sampled_from(["0.1", "0.5", "1", "0.05"]), asked=OFFSETS)
@settings(max_examples=40, deadline=None)
def test_bars_of_rounded_bars_are_rounded_bars(wanted: Interval, tick: str, asked: int) -> None:
    tape = RoundedTape(TAPE, Decimal(tick))
    begin = wanted.floor(START + asked)
    end = wanted.next(begin)
    minutes = tape.between(MINUTE, begin, end)
    assert same(tape.between(wanted, begin, end), minutes.aggregated(wanted))
    units = int(Decimal(tick).scaleb(minutes.price_decimals))
    assert all((column % units == 0).all() for column in minutes.prices())
    found, exact = tape.bar_at(begin), TAPE.between(MINUTE, begin, begin + 1)
    assert found is not None
    assert abs(found[1].close - int(exact.close[0])) * 2 <= units


@given(
    name=st.sampled_from(["6h", "12h", "1d", "1w", "1M"]),
    ahead=st.integers(-11, 12),
    now=st.integers(0, 40 * DAY_MS),
    limit=st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_bars_by_another_clock_are_made_of_hours(
    name: str, ahead: int, now: int, limit: int
) -> None:
    grid = Grid(INTERVALS[name], ahead * HOUR_MS)
    now += START
    market = Market(7, SPEC, TAPE, 1.0)
    bars = newest(market, Page(grid, None, None, limit), now)
    assert len(bars) == limit
    assert int(bars.open_ts[-1]) == grid.floor(now)
    assert all(grid.floor(int(ts)) == ts for ts in bars.open_ts)
    first = int(bars.open_ts[0])
    hours = market.klines(INTERVALS["1h"], first, None, 5 * 31 * 24, now)
    whole = hours.aggregated(grid.interval, grid.ahead_ms)
    assert same(bars, whole)


@pytest.mark.parametrize("limit", [1, 50, 1000])
def test_a_page_of_the_newest_bars_reaches_back_over_a_gap(limit: int) -> None:
    late = WindowTape(TAPE, Listed(SPEC.listed_ms, START - 30 * DAY_MS))
    bars = Market(7, SPEC, late, 1.0).klines(MINUTE, None, None, limit, START)
    assert len(bars) == limit
    assert int(bars.open_ts[-1]) == START - 30 * DAY_MS - MINUTE_MS
