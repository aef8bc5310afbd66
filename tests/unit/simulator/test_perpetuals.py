"""Contracts that follow a spot market: premium, funding, open interest, quiet stretches."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.market.intervals import DAY_MS, INTERVALS, MINUTE_MS
from simulator.build import build_venue
from simulator.contracts import Span, open_interest, settlements
from simulator.derived import Above, DerivedDays, QuietDays
from simulator.instruments import CATALOGUE
from simulator.listings import BYBIT, OKX, USDM
from simulator.options import Options
from simulator.premium import FUNDING_MS, OpenInterest, Premium
from simulator.process import PriceProcess

MINUTE = INTERVALS["1m"]
START = 1_769_904_000_000  # 2026-02-01T00:00Z
SEEDS, DAYS = st.integers(0, 2**40), st.integers(18_300, 22_000)
SYMBOL = "BTC/USDT:USDT"


def derived(seed: int) -> DerivedDays:
    above = Above(Premium(seed, SYMBOL).traded, 10**6, 3)
    return DerivedDays(PriceProcess(seed, CATALOGUE), "BTC/USDT", above, MINUTE)


@given(seed=SEEDS, day=DAYS)
@settings(max_examples=30, deadline=None)
def test_every_bar_is_one_that_a_venue_could_print(seed: int, day: int) -> None:
    bars = derived(seed).day(SYMBOL, day)
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.open[1:] == bars.close[:-1]).all()
    assert (bars.taker_volume <= bars.volume).all()
    assert ((bars.volume > 0) == (bars.trades > 0)).all()
    after = derived(seed).day(SYMBOL, day + 1)
    assert bars.close[-1] == after.open[0], "midnight is no seam"


@given(seed=SEEDS, day=DAYS)
@settings(max_examples=30, deadline=None)
def test_quiet_bars_are_flat_and_the_lively_ones_are_left_alone(seed: int, day: int) -> None:
    lively = derived(seed).day(SYMBOL, day)
    bars = QuietDays(derived(seed), seed).day(SYMBOL, day)
    quiet = (bars.trades == 0) & (lively.trades > 0)
    assert 400 < quiet.sum() < 1400
    assert not quiet[0]
    where = np.flatnonzero(quiet)
    assert all((column[where] == bars.close[where - 1]).all() for column in bars.prices())
    assert not any(column[where].any() for column in (bars.volume, bars.quote_volume))
    for kept, before in zip(bars.columns(), lively.columns(), strict=True):
        assert (kept[~quiet] == before[~quiet]).all()


@given(seed=SEEDS, number=st.integers(50_000, 66_000), count=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_a_rate_is_a_function_of_its_hour_alone(seed: int, number: int, count: int) -> None:
    premium = Premium(seed, SYMBOL)
    dues = [(number + n) * FUNDING_MS for n in range(count)]
    rates = premium.rates(dues)
    assert rates == [premium.rates([due])[0] for due in dues]
    for due, rate in zip(dues, rates, strict=True):
        assert abs(rate) <= Decimal("0.003")
        assert rate == round(rate, 8)
        assert 0 <= premium.lateness(due) < 16
        # A moment before it is due, nearly all of it is known.
        assert abs(premium.predicted(due - 1) - rate) < Decimal("0.00001")


@given(seed=SEEDS, starts=st.lists(st.integers(START - 900 * DAY_MS, START), min_size=2))
@settings(max_examples=30, deadline=None)
def test_what_is_open_is_a_function_of_the_time_alone(seed: int, starts: list[int]) -> None:
    amounts = OpenInterest(seed, SYMBOL, 80_000.0)
    times = sorted(starts)
    together = amounts.at(np.array(times, dtype=np.int64))
    alone = [amounts.at(np.array([ts], dtype=np.int64))[0] for ts in times]
    assert together == alone
    assert all(20_000 < amount < 320_000 for amount in together)


PERPETUAL = build_venue(Options(seed=7, start_ms=START)).listings[OKX].perpetuals["BTC-USDT-SWAP"]
TIMES = st.none() | st.integers(START - 20 * DAY_MS, START + DAY_MS)


@given(start=TIMES, end=TIMES, limit=st.integers(1, 30), newest=st.booleans(), late=st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_span_of_funding_is_what_its_bounds_say(
    start: int | None, end: int | None, limit: int, newest: bool, late: bool
) -> None:
    every = settlements(PERPETUAL, Span(START - 40 * DAY_MS, None, 10**4), START, is_late=late)
    inside = [
        each
        for each in every
        if (start is None or each.stamped >= start) and (end is None or each.stamped <= end)
    ]
    is_newest = newest or start is None
    expected = inside[-limit:] if is_newest else inside[:limit]
    span = Span(start, end, limit, newest=newest)
    assert settlements(PERPETUAL, span, START, is_late=late) == expected


@given(start=TIMES, end=TIMES, limit=st.integers(1, 30), newest=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_span_of_open_interest_is_what_its_bounds_say(
    start: int | None, end: int | None, limit: int, newest: bool
) -> None:
    hour = INTERVALS["1h"]
    marks = range(START - 30 * DAY_MS, START + 1, hour.length_ms)
    inside = [ts for ts in marks if (start is None or ts >= start) and (end is None or ts <= end)]
    expected = inside[-limit:] if newest or start is None else inside[:limit]
    found = open_interest(PERPETUAL, hour, Span(start, end, limit, newest=newest), START)
    assert [row.ts for row in found] == expected
    assert [row.value for row in found] == [
        row.amount * (PERPETUAL.mark.price(row.ts) or 0) for row in found
    ]


def test_venues_show_one_market_each_on_its_own_tick() -> None:
    venue = build_venue(Options(seed=7, start_ms=START))
    shown = {name: venue.listings[name].market("ETH/USDT:USDT") for name in (USDM, OKX, BYBIT)}
    closes = {}
    for name, market in shown.items():
        assert market is not None
        bars = market.klines(MINUTE, None, START - MINUTE_MS, 100, START)
        tick = int(market.spec.tick.scaleb(bars.price_decimals))
        assert all((column % tick == 0).all() for column in bars.prices())
        closes[name] = bars.close
    assert (closes[USDM] == closes[OKX]).all()
    assert (abs(closes[USDM] - closes[BYBIT]) <= int(Decimal("0.025").scaleb(8))).all()
