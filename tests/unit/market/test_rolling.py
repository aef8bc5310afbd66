"""Longer bars say the same however they are made: of floats, of rows, of columns, in steps."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS, interval
from app.core.market.klines import KlineFrame, KlineRow
from app.core.market.resampling import resample, resample_columns, resample_rows
from app.core.market.rolling import days_to_make, is_rolled_up, roll_up_of, runs_of
from app.core.market.sums import sums, total

# 2026-03-01T00:00Z.
T = 1_772_323_200_000
D = Decimal
HUGE = D("999999999999999999.999999999999999999")


def amounts(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    """Amounts of at most so many digits, with at most so many of them behind the point."""
    whole = st.integers(1, 10**digits - 1)
    return st.builds(lambda n, p: D(n).scaleb(-p), whole, st.integers(0, places))


#: Of every length that an amount may have.
ANY = st.integers(0, 18).flatmap(
    lambda p: st.integers(1, 10 ** (18 + p) - 1).map(lambda n: D(n).scaleb(-p))
)


@st.composite
def minutes(draw: st.DrawFn) -> list[KlineRow]:
    """Most of the minutes of an hour; a few amounts take turns in them."""
    prices = ANY if draw(st.booleans()) else amounts(9, 8)
    volumes = ANY if draw(st.booleans()) else amounts(12, 8)
    pairs = draw(st.lists(st.tuples(prices, volumes), min_size=2, max_size=5))
    gone = draw(st.sets(st.integers(0, 59), max_size=3))
    silent = draw(st.sets(st.integers(0, 59), max_size=2))
    step = draw(st.integers(1, 7))
    rows = []
    for minute in range(60):
        if minute in gone:
            continue
        one, volume = pairs[minute * step % len(pairs)]
        other, quote = pairs[(minute * step + 1) % len(pairs)]
        rows.append(
            KlineRow(
                T + minute * MINUTE_MS,
                one,
                max(one, other),
                min(one, other),
                other,
                D(0) if minute % 9 == step else volume,
                None if minute in silent else quote,
                None if minute in silent else minute,
            )
        )
    return rows


@settings(max_examples=60, deadline=None)
@given(minutes(), st.sampled_from(["5m", "15m", "1h"]))
def test_columns_and_rows_make_the_same_bars_to_the_last_digit(
    rows: list[KlineRow], to: str
) -> None:
    exactly = resample_rows(rows, "1m", to)
    made = resample_columns(KlineColumns.of_rows(rows), "1m", to)
    assert list(made.bars.rows()) == exactly.bars
    assert made.incomplete == exactly.incomplete
    again = KlineColumns.of_rows(exactly.bars)  # canonical: equal amounts have equal texts
    assert [each.to_pylist() for each in made.bars.arrays()] == [
        each.to_pylist() for each in again.arrays()
    ]


@settings(max_examples=40, deadline=None)
@given(minutes())
def test_bars_are_the_same_of_minutes_and_of_what_minutes_make(rows: list[KlineRow]) -> None:
    fives = resample_rows(rows, "1m", "5m").bars
    for to in ("15m", "1h"):
        assert resample_rows(fives, "5m", to).bars == resample_rows(rows, "1m", to).bars


def test_nothing_makes_nothing() -> None:
    none = KlineColumns.of_rows([])
    assert len(resample_columns(none, "1m", "1h").bars) == 0
    assert len(resample(KlineFrame.from_rows("x", "y", "1m", []), "1h").bars) == 0
    with pytest.raises(InvalidInput):
        resample_columns(none, "1h", "1m")


def test_a_sum_that_is_no_amount_is_not_stated() -> None:
    """The largest amount there is, in each minute of an hour."""

    def hour(volume: Decimal, quote: Decimal) -> list[KlineRow]:
        one = D(1)
        return [
            KlineRow(T + n * MINUTE_MS, one, one, one, one, volume, quote, 1) for n in range(60)
        ]

    (bar,) = resample_rows(hour(D("0.1"), HUGE), "1m", "1h").bars
    assert (bar.volume, bar.quote_volume, bar.trade_count) == (D(6), None, 60)
    for volume in (HUGE, D("20000000000000000"), D("123456789012345678.5")):
        rows = hour(volume, D(1))
        assert resample_rows(rows, "1m", "1h").bars == []
        assert resample_rows(rows, "1m", "1h").incomplete == (T,)
        assert resample_columns(KlineColumns.of_rows(rows), "1m", "1h").incomplete == (T,)
        frame = KlineFrame.from_rows("x", "y", "1m", rows)
        assert resample(frame, "1h").incomplete == (T,)


# -- sums of floats ------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(amounts(15, 8), amounts(15, 15), amounts(15, 0), st.just(D(0))),
            min_size=1,
            max_size=70,
        ),
        min_size=1,
        max_size=5,
    )
)
@example([[D("0.1")] * 60, [D("5629499.53421312")] * 60])
@example([[D("0.000000000000001"), D("123456789012345")]])
def test_a_sum_of_floats_is_the_float_of_the_exact_sum(groups: list[list[Decimal]]) -> None:
    """Of amounts that a float64 tells apart: those of at most 15 digits."""
    values = np.array([float(each) for group in groups for each in group])
    first = np.cumsum([0, *(len(group) for group in groups[:-1])])
    assert sums(values, first).tolist() == [float(total(group)) for group in groups]


def test_a_plain_sum_is_not() -> None:
    tenths = np.full(60, 0.1)
    assert float(np.add.reduce(tenths)) != 6.0
    assert sums(tenths, np.array([0])).tolist() == [6.0]
    assert sums(np.empty(0), np.empty(0, np.int64)).tolist() == []


@settings(max_examples=60, deadline=None)
@given(st.lists(amounts(13, 8), min_size=30, max_size=30))
def test_a_frame_is_the_same_of_minutes_and_of_what_minutes_make(volumes: list[Decimal]) -> None:
    one = D(1)
    rows = [
        KlineRow(T + n * MINUTE_MS, one, one, one, one, volume) for n, volume in enumerate(volumes)
    ]
    fives = resample_rows(rows, "1m", "5m").bars
    exactly = KlineFrame.from_rows("x", "y", "15m", resample_rows(rows, "1m", "15m").bars)
    of_minutes = resample(KlineFrame.from_rows("x", "y", "1m", rows), "15m").bars
    assert of_minutes.volume.tolist() == exactly.volume.tolist()
    if all(len(each.volume.normalize().as_tuple().digits) <= 15 for each in fives):
        of_fives = resample(KlineFrame.from_rows("x", "y", "5m", fives), "15m").bars
        assert of_fives.volume.tolist() == exactly.volume.tolist()


# -- which days ----------------------------------------------------------------------------------


def test_each_interval_is_made_of_the_longest_roll_up_that_fits() -> None:
    made_of = {name: roll_up_of(each) for name, each in INTERVALS.items()}
    assert {name for name, of in made_of.items() if of is None} == {"1m", "3m", "5m", "15m", "30m"}
    assert {name for name, of in made_of.items() if of == "1d"} == {"1d", "3d", "1w", "1M"}
    assert made_of["12h"] == made_of["1h"] == "1h"
    for name, of in made_of.items():
        assert of is None or interval(name).length_ms % interval(of).length_ms == 0


def test_roll_ups_are_kept_of_minutes_of_trades_alone() -> None:
    assert is_rolled_up("trade", "1m", 0)
    assert not is_rolled_up("mark", "1m", 0)
    assert not is_rolled_up("trade", "5m", 0)
    assert not is_rolled_up("rolled", "1h", 0)
    assert not is_rolled_up("trade", "1m", HOUR_MS)  # its days are others


def times(*minutes_: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([T + minute * MINUTE_MS for minute in minutes_], dtype=np.int64)


def test_a_series_is_rolled_up_from_three_days_on() -> None:
    almost = T + 3 * DAY_MS - 2 * MINUTE_MS
    assert days_to_make(None, T, almost, times(7)) == []
    assert days_to_make(None, T + 5 * HOUR_MS, almost + DAY_MS, times(7)) == [T]


def test_a_change_marks_its_own_days_and_the_end_of_a_day_those_behind() -> None:
    rolled_to, newest = T + 4 * DAY_MS, T + 4 * DAY_MS + HOUR_MS
    changed = times(5, 6, 1_440, 4 * 1_440 + 3)
    assert days_to_make(rolled_to, T, newest, changed) == [T, T + DAY_MS]
    assert days_to_make(rolled_to, T, newest, times(4 * 1_440 + 3)) == []
    last = T + 5 * DAY_MS - MINUTE_MS
    assert days_to_make(rolled_to, T, last - MINUTE_MS, times(5 * 1_440 - 2)) == []
    assert days_to_make(rolled_to, T, last, times(5 * 1_440 - 1)) == [rolled_to]
    assert days_to_make(rolled_to, T, last + 9 * DAY_MS, times(5)) == [T, rolled_to]


def test_days_that_follow_each_other_are_one_range() -> None:
    days = [T, T + DAY_MS, T + 5 * DAY_MS]
    assert runs_of(days) == [(T, T + 2 * DAY_MS), (T + 5 * DAY_MS, T + 6 * DAY_MS)]
    assert runs_of([]) == []
