"""Generated markets: deterministic, seekable, and shaped like a venue's."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.market.intervals import DAY_MS, INTERVALS, MINUTE_MS, Interval
from simulator.bars import Bars
from simulator.dialects.binance.klines import render
from simulator.instruments import CATALOGUE, UNITS
from simulator.market import Market
from simulator.process import REFERENCE_DAY, PriceProcess
from simulator.tape import GeneratedTape
from simulator.trades import bar_trades, latest_trades, trades_from

SYMBOLS = sorted(CATALOGUE)
DAYS = st.integers(17_400, 22_000)
MINUTE, HOUR, DAY = INTERVALS["1m"], INTERVALS["1h"], INTERVALS["1d"]


def market(seed: int = 7, symbol: str = "BTC/USDT", spread_bps: float = 1.0) -> Market:
    spec = CATALOGUE[symbol]
    tape = GeneratedTape(PriceProcess(seed, CATALOGUE), symbol, spec.listed_ms, 10**7)
    return Market(seed, spec, tape, spread_bps)


def same(left: Bars, right: Bars) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left.columns(), right.columns(), strict=True))


@given(seed=st.integers(0, 2**40), symbol=st.sampled_from(SYMBOLS), day=DAYS)
@settings(max_examples=40, deadline=None)
def test_every_bar_is_one_that_a_venue_could_print(seed: int, symbol: str, day: int) -> None:
    spec = CATALOGUE[symbol]
    bars = PriceProcess(seed, CATALOGUE).day(symbol, day)
    for column in (bars.open, bars.high, bars.low, bars.close):
        assert (column % spec.tick_units == 0).all()
        assert (column > 0).all()
    assert Decimal(1).scaleb(-bars.volume_decimals) == spec.step
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.open[1:] == bars.close[:-1]).all()
    assert (bars.taker_volume <= bars.volume).all()
    assert ((bars.volume > 0) == (bars.trades > 0)).all()
    moved = bars.high > bars.low
    assert (bars.volume[moved] > 0).all()


@given(symbol=st.sampled_from(SYMBOLS), days=st.lists(DAYS, min_size=2, max_size=6))
@settings(max_examples=20, deadline=None)
def test_the_past_does_not_depend_on_what_was_asked_before(symbol: str, days: list[int]) -> None:
    asked = PriceProcess(3, CATALOGUE)
    in_order = [asked.day(symbol, day) for day in days]
    for day, bars in zip(days, in_order, strict=True):
        assert same(bars, PriceProcess(3, CATALOGUE).day(symbol, day))


@given(symbol=st.sampled_from(SYMBOLS), day=DAYS)
@settings(max_examples=20, deadline=None)
def test_a_day_opens_where_the_day_before_closed(symbol: str, day: int) -> None:
    process = PriceProcess(11, CATALOGUE)
    assert process.day(symbol, day).close[-1] == process.day(symbol, day + 1).open[0]


def test_other_seeds_make_other_markets() -> None:
    first, second = (PriceProcess(seed, CATALOGUE).day("BTC/USDT", 20_500) for seed in (1, 2))
    assert not same(first, second)


def test_the_reference_price_is_the_open_of_2026() -> None:
    for symbol, spec in CATALOGUE.items():
        if spec.cross_of is None and spec.listed_ms < REFERENCE_DAY * DAY_MS:
            opened = PriceProcess(5, CATALOGUE).day(symbol, REFERENCE_DAY).open[0]
            assert Decimal(int(opened)) / UNITS == spec.reference_price


def test_a_cross_is_the_quotient_of_its_legs() -> None:
    process = PriceProcess(5, CATALOGUE)
    eth, btc, cross = (
        process.day(symbol, 20_400).close for symbol in ("ETH/USDT", "BTC/USDT", "ETH/BTC")
    )
    assert np.allclose(eth / btc, cross / UNITS, rtol=2e-3)


def test_volatility_clusters_and_volume_has_a_daily_shape() -> None:
    tape = market().tape
    days = tape.between(DAY, 19_000 * DAY_MS, 20_000 * DAY_MS)
    returns = np.abs(np.diff(np.log(days.close.astype(np.float64))))
    assert np.corrcoef(returns[1:], returns[:-1])[0, 1] > 0.05
    hours = tape.between(HOUR, 19_000 * DAY_MS, 19_200 * DAY_MS)
    by_hour = hours.volume.reshape(-1, 24).mean(axis=0)
    assert by_hour[14] > 1.5 * by_hour[20]


@pytest.mark.parametrize("name", [name for name in INTERVALS if name != "1m"])
def test_coarser_bars_are_sums_of_minutes(name: str) -> None:
    wanted = INTERVALS[name]
    tape = market(symbol="ETH/USDT").tape
    opened = wanted.floor(20_480 * DAY_MS)
    closed = wanted.next(opened)
    minutes = tape.between(MINUTE, opened, closed)
    bars = tape.between(wanted, opened, closed)
    assert len(bars) == 1
    bar = bars.bar(0)
    assert (bar.open_ts, bar.open, bar.close) == (opened, minutes.open[0], minutes.close[-1])
    assert (bar.high, bar.low) == (minutes.high.max(), minutes.low.min())
    for column in ("volume", "quote_volume", "trades", "taker_volume", "taker_quote_volume"):
        assert getattr(bar, column) == getattr(minutes, column).sum()


def test_nothing_is_known_before_listing() -> None:
    listed = CATALOGUE["币安人生/USDT"].listed_ms
    young = market(symbol="币安人生/USDT")
    now = listed + 3 * DAY_MS
    bars = young.klines(MINUTE, 0, None, 1000, now)
    assert bars.open_ts[0] == listed
    assert young.price(listed - 1) is None
    assert len(young.klines(DAY, 0, None, 1000, now)) == 4


class TestKlines:
    NOW = 20_500 * DAY_MS + 5 * 3_600_000 + 30_000

    def test_the_open_bar_comes_last_and_is_cut_at_the_present(self) -> None:
        whole = market()
        bars = whole.klines(MINUTE, None, None, 3, self.NOW)
        assert [int(ts) - self.NOW for ts in bars.open_ts] == [-150_000, -90_000, -30_000]
        final = whole.tape.between(MINUTE, self.NOW - 30_000, self.NOW)
        part, full = bars.bar(2), final.bar(0)
        assert part.open == full.open
        assert full.low <= part.low <= part.close <= part.high <= full.high
        assert 0 < part.volume < full.volume
        assert whole.price(self.NOW) == bars.price(part.close)

    def test_an_open_hour_is_the_sum_of_its_minutes_so_far(self) -> None:
        whole = market()
        hour = whole.klines(HOUR, None, None, 1, self.NOW + 600_000).bar(0)
        minutes = whole.klines(MINUTE, hour.open_ts, None, 100, self.NOW + 600_000)
        assert hour.volume == minutes.volume.sum()
        assert hour.close == minutes.close[-1]

    def test_start_gives_the_oldest_and_end_is_inclusive(self) -> None:
        start = 20_400 * DAY_MS
        bars = market().klines(MINUTE, start + 1, start + 3 * MINUTE_MS, 10, self.NOW)
        assert [(int(ts) - start) // MINUTE_MS for ts in bars.open_ts] == [1, 2, 3]

    def test_without_start_the_newest_before_end_come(self) -> None:
        end = 20_400 * DAY_MS
        bars = market().klines(HOUR, None, end, 2, self.NOW)
        assert [int(ts) - end for ts in bars.open_ts] == [-3_600_000, 0]

    def test_the_future_is_empty(self) -> None:
        assert len(market().klines(MINUTE, self.NOW + DAY_MS, None, 10, self.NOW)) == 0

    def test_price_on_a_boundary_is_the_next_open(self) -> None:
        whole = market()
        minutes = whole.tape.between(MINUTE, 20_400 * DAY_MS, 20_400 * DAY_MS + 60 * MINUTE_MS)
        for index in range(60):
            price = whole.price(int(minutes.open_ts[index]))
            assert price == minutes.price(int(minutes.open[index]))

    @given(cuts=st.lists(st.integers(1, 59_999), max_size=8, unique=True))
    @settings(max_examples=60, deadline=None)
    def test_stretches_of_a_bar_have_the_extremes_of_the_bar(self, cuts: list[int]) -> None:
        whole, opened = market(symbol="XRP/USDT"), 20_450 * DAY_MS + 7 * MINUTE_MS
        marks = [opened, *(opened + cut for cut in sorted(cuts)), opened + MINUTE_MS]
        parts = [whole.stretch(a, b) for a, b in itertools.pairwise(marks)]
        full = whole.stretch(opened, opened + MINUTE_MS)
        assert full is not None
        known = [part for part in parts if part is not None]
        assert known[0].open == full.open
        assert known[-1].close == full.close
        assert max(part.high for part in known) == full.high
        assert min(part.low for part in known) == full.low
        assert all(a.close == b.open for a, b in itertools.pairwise(known))


@given(
    name=st.sampled_from(sorted(INTERVALS)),
    symbol=st.sampled_from(SYMBOLS),
    limit=st.integers(1, 40),
)
@settings(max_examples=40, deadline=None)
def test_rendered_klines_are_the_json_of_the_bars(name: str, symbol: str, limit: int) -> None:
    wanted: Interval = INTERVALS[name]
    bars = market(symbol=symbol).klines(wanted, None, None, limit, 20_600 * DAY_MS + 12_345)
    rows = json.loads(render(bars, wanted))
    assert len(rows) == len(bars)
    for index, row in enumerate(rows):
        bar = bars.bar(index)
        assert row[0] == bar.open_ts
        assert row[6] == wanted.next(bar.open_ts) - 1
        assert row[8] == bar.trades
        assert row[11] == "0"
        price, volume, quote = bars.price_decimals, bars.volume_decimals, bars.quote_decimals
        exact = [
            *((place, units, price) for place, units in enumerate(bar[1:5], start=1)),
            (5, bar.volume, volume),
            (7, bar.quote_volume, quote),
            (9, bar.taker_volume, volume),
            (10, bar.taker_quote_volume, quote),
        ]
        for place, units, decimals in exact:
            assert units >= 0
            assert row[place] == f"{Decimal(units).scaleb(-decimals):.8f}"


class TestBook:
    NOW = 20_500 * DAY_MS + 17_000

    def test_the_same_second_has_the_same_book(self) -> None:
        first, again = market().book(self.NOW), market().book(self.NOW + 999)
        assert first is not None
        assert again is not None
        assert first.update_id == again.update_id

    def test_sides_are_sorted_apart_and_around_the_price(self) -> None:
        for symbol in SYMBOLS:
            whole = market(symbol=symbol)
            book, price = whole.book(self.NOW), whole.price(self.NOW)
            assert book is not None
            assert price is not None
            bids, asks = book.levels(asks=False), book.levels(asks=True)
            assert bids[0][0] < asks[0][0]
            assert bids[0][0] <= price <= asks[0][0]
            assert [p for p, _ in bids] == sorted({p for p, _ in bids}, reverse=True)
            assert [p for p, _ in asks] == sorted({p for p, _ in asks})
            assert all(q > 0 for _, q in bids + asks)

    def test_without_spread_both_sides_meet_at_the_price(self) -> None:
        whole = market(spread_bps=0)
        book = whole.book(self.NOW)
        assert book is not None
        assert book.levels(asks=True)[0][0] == book.levels(asks=False)[0][0]
        assert book.levels(asks=True)[0][0] == whole.price(self.NOW)


class TestTrades:
    OPENED = 20_500 * DAY_MS

    @pytest.mark.parametrize("symbol", SYMBOLS)
    def test_trades_of_a_bar_add_up_to_it(self, symbol: str) -> None:
        whole = market(symbol=symbol)
        found = whole.tape.bar_at(self.OPENED)
        assert found is not None
        bars, bar = found
        trades = bar_trades(whole, self.OPENED)
        assert sum(t.quantity for t in trades) == Decimal(bar.volume).scaleb(-bars.volume_decimals)
        assert trades[0].price == bars.price(bar.open)
        assert trades[-1].price == bars.price(bar.close)
        assert max(t.price for t in trades) == bars.price(bar.high)
        assert min(t.price for t in trades) == bars.price(bar.low)
        assert [t.time for t in trades] == sorted(t.time for t in trades)
        assert len({t.id for t in trades}) == len(trades)

    def test_latest_and_from_id_agree(self) -> None:
        whole, now = market(), self.OPENED + 90_000
        latest = latest_trades(whole, now, 50)
        assert len(latest) == 50
        assert trades_from(whole, latest[0].id, now, 50) == latest
