"""A venue's bars less those that it takes out, for holes of any length."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.core.market.intervals import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS, Interval
from simulator.bars import Bars
from simulator.edits import EditedTape
from simulator.instruments import CATALOGUE
from simulator.market import Market
from simulator.process import PriceProcess
from simulator.tape import GeneratedTape

SPEC = CATALOGUE["BTC/USDT"]
START = 1_769_904_000_000  # 2026-02-01T00:00Z
MINUTE = INTERVALS["1m"]
WANTED = st.sampled_from([INTERVALS[name] for name in ("1m", "15m", "1h", "4h", "1d", "1M")])
OFFSETS = st.integers(0, 3 * DAY_MS)
WHOLE = GeneratedTape(PriceProcess(7, CATALOGUE), SPEC.symbol, SPEC.listed_ms, 10**7)
HOLES = st.lists(st.tuples(OFFSETS, st.integers(MINUTE_MS, DAY_MS)), max_size=4)


class CountedProcess(PriceProcess):
    """A price process that tells which of its days were made."""

    days: list[int]

    def day(self, symbol: str, day: int) -> Bars:
        """See ``PriceProcess.day``."""
        self.days = [*getattr(self, "days", []), day]
        return super().day(symbol, day)


@pytest.fixture
def counted() -> tuple[Market, CountedProcess]:
    """A market, and the process behind it."""
    process = CountedProcess(7, CATALOGUE)
    made = GeneratedTape(process, SPEC.symbol, SPEC.listed_ms, 10**7)
    market = Market(7, SPEC, made, 1.0)
    return market, process


@given(wanted=WANTED, holes=HOLES, revised=st.lists(OFFSETS, max_size=2), asked=OFFSETS)
@settings(max_examples=80, deadline=None)
def test_every_bar_is_made_of_the_minutes_that_are_left(
    wanted: Interval, holes: list[tuple[int, int]], revised: list[int], asked: int
) -> None:
    edited = EditedTape(WHOLE)
    begin = wanted.floor(START + asked)
    end = wanted.ceil(begin + 3 * DAY_MS)
    minutes = WHOLE.between(MINUTE, begin, end)
    columns = [np.array(column) for column in minutes.columns()]
    for offset in revised:
        opened = MINUTE.floor(START + offset)
        edited.revise(opened, Decimal(3).scaleb(-minutes.volume_decimals))
        columns[5][columns[0] == opened] = 3
    left = np.ones(len(minutes), np.bool_)
    for offset, length in holes:
        edited.omit(START + offset, START + offset + length)
        start, over = MINUTE.ceil(START + offset), MINUTE.ceil(START + offset + length)
        left &= (columns[0] < start) | (columns[0] >= over)
    expected = minutes.with_columns(columns).where(left).aggregated(wanted)
    shown = edited.between(wanted, begin, end)
    pairs = zip(shown.columns(), expected.columns(), strict=True)
    assert all(np.array_equal(ours, theirs) for ours, theirs in pairs)


@pytest.mark.parametrize("name", ["1m", "1h", "1d"])
@pytest.mark.parametrize("start", [None, 0])
def test_a_venue_without_a_bar_says_so_without_looking_at_every_minute(
    counted: tuple[Market, CountedProcess], name: str, start: int | None
) -> None:
    """Years of minutes are taken out; none of them is made to be left away."""
    market, process = counted
    market.edited().omit(0, START + HOUR_MS)
    assert len(market.klines(INTERVALS[name], start, None, 5, START)) == 0
    assert market.price(START) is None
    assert len(getattr(process, "days", [])) <= 2


def test_bars_behind_a_long_hole_are_found_at_once(
    counted: tuple[Market, CountedProcess],
) -> None:
    market, process = counted
    market.edited().omit(0, START)
    found = market.klines(MINUTE, 0, None, 5, START + DAY_MS)
    assert found.open_ts.tolist() == [START + n * MINUTE_MS for n in range(5)]
    hours = market.klines(INTERVALS["1h"], 0, None, 2, START + DAY_MS)
    assert hours.open_ts.tolist() == [START, START + HOUR_MS]
    assert set(process.days) == {START // DAY_MS}


@pytest.mark.parametrize(("start", "end"), [(-MINUTE_MS, 0), (0, 1 << 53), (5, 6), (MINUTE_MS, 0)])
def test_a_range_that_no_bar_lies_in_or_that_is_no_time_is_refused(start: int, end: int) -> None:
    with pytest.raises(InvalidInput):
        EditedTape(WHOLE).omit(start, end)
