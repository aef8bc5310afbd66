"""Minutes that a venue is proven to lack: where they lie, and what longer bars are without them."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.market.absences import absent_opens, changed_absences, merged, ranges_of, without
from app.core.market.coverage import CoverageState, Span
from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import HOUR_MS, MINUTE_MS, interval
from app.core.market.klines import KlineFrame, KlineRow
from app.core.market.resampling import resample, resample_columns, resample_rows

M = MINUTE_MS
PRESENT, PENDING, ABSENT, GONE = (
    CoverageState.PRESENT,
    CoverageState.PENDING,
    CoverageState.EXCHANGE_SIDE,
    CoverageState.RETIRED,
)
STATES = st.lists(st.sampled_from([PRESENT, PENDING, ABSENT, GONE, None]), min_size=20, max_size=20)
#: Minutes by the hour: most are there, an hour may lack all.
MINUTES = st.lists(
    st.one_of(
        st.just([ABSENT] * 60),
        st.just([PRESENT] * 60),
        st.lists(st.sampled_from([PRESENT, ABSENT]), min_size=60, max_size=60),
        st.lists(st.sampled_from([PRESENT] * 50 + [ABSENT] * 9 + [PENDING]), min_size=60).map(
            lambda states: (states * 2)[:60]
        ),
    ),
    min_size=1,
    max_size=9,
).map(lambda hours: [state for hour in hours for state in hour])


def spans_of(states: list[CoverageState | None], unit: int = 1) -> list[Span]:
    """One span for each: they may touch and say the same, as looked at at other times."""
    return [
        Span(number * unit, (number + 1) * unit, state, {"n": number % 2})
        for number, state in enumerate(states)
        if state is not None
    ]


def times(ranges: list[tuple[int, int]]) -> list[int]:
    return [ts for start, end in ranges for ts in range(start, end)]


@given(STATES, STATES)
def test_a_change_is_where_one_is_absent_and_not_before_or_before_and_not_removed(
    before: list[CoverageState | None], after: list[CoverageState | None]
) -> None:
    proven, disproven = changed_absences(spans_of(before), spans_of(after))
    changes = list(enumerate(zip(before, after, strict=True)))
    assert times(proven) == [
        number for number, (one, other) in changes if one is not ABSENT and other is ABSENT
    ]
    assert times(disproven) == [
        number for number, (one, other) in changes if one is ABSENT and other not in (ABSENT, GONE)
    ]


@given(STATES, STATES)
def test_ranges_less_others_are_what_is_left(
    one: list[CoverageState | None], other: list[CoverageState | None]
) -> None:
    left, right = ranges_of(spans_of(one), ABSENT), ranges_of(spans_of(other), ABSENT)
    assert times(without(left, right)) == sorted(set(times(left)) - set(times(right)))
    assert merged(sorted([*left, *right])) == merged(
        (ts, ts + 1) for ts in sorted({*times(left), *times(right)})
    )


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(1, 200)), max_size=5),
    st.sampled_from(["1m", "5m", "1h"]),
    st.integers(0, 30),
)
def test_a_bar_is_absent_where_all_of_it_is(
    parts: list[tuple[int, int]], name: str, offset: int
) -> None:
    grid, offset_ms = interval(name), offset * M
    ranges = merged(sorted((start * M, (start + length) * M) for start, length in parts))
    expected = []
    opened = grid.floor(0, offset_ms)
    while opened < 800 * M:
        if any(start <= opened and grid.next(opened) <= end for start, end in ranges):
            expected.append(opened)
        opened = grid.next(opened)
    assert absent_opens(ranges, grid, offset_ms).tolist() == expected


def row(number: int) -> KlineRow:
    price = Decimal(100 + number % 7)
    return KlineRow(
        number * M, price, price + 1, price - 1, price, Decimal(number % 5), Decimal(1), 3
    )


# The first run loads Arrow.
@settings(deadline=None)
@given(MINUTES)
def test_an_hour_is_made_of_the_minutes_that_exist(states: list[CoverageState]) -> None:
    rows = [row(number) for number, state in enumerate(states) if state is PRESENT]
    absent = ranges_of(spans_of(list(states), M), ABSENT)
    for name in ("5m", "1h", "4h"):
        grid = interval(name)
        expected = []
        for opened in range(0, len(states) * M, grid.length_ms):
            inside = states[opened // M : grid.next(opened) // M]
            parts = [each for each in rows if opened <= each.open_ts < grid.next(opened)]
            if parts and len(inside) == grid.length_ms // M and PENDING not in inside:
                expected.append(
                    KlineRow(
                        opened,
                        parts[0].open,
                        max(each.high for each in parts),
                        min(each.low for each in parts),
                        parts[-1].close,
                        sum((each.volume for each in parts), Decimal(0)),
                        Decimal(len(parts)),
                        3 * len(parts),
                    )
                )
        made = resample_rows(rows, "1m", name, absent=absent)
        assert made.bars == expected
        columns = resample_columns(KlineColumns.of_rows(rows), "1m", name, absent=absent)
        assert list(columns.bars.rows()) == expected
        frame = resample(KlineFrame.from_rows("", "", "1m", rows), name, absent=absent)
        assert frame.bars.open_ts.tolist() == [each.open_ts for each in expected]
        assert frame.bars.volume.tolist() == [float(each.volume) for each in expected]
        assert made.incomplete == columns.incomplete == frame.incomplete


@given(MINUTES)
def test_what_is_made_in_two_steps_is_what_is_made_in_one(states: list[CoverageState]) -> None:
    rows = [row(number) for number, state in enumerate(states) if state is PRESENT]
    absent = ranges_of(spans_of(list(states), M), ABSENT)
    hours = resample_rows(rows, "1m", "1h", absent=absent).bars
    at_once = resample_rows(rows, "1m", "4h", absent=absent).bars
    assert resample_rows(hours, "1h", "4h", absent=absent).bars == at_once


def test_a_bar_that_is_there_counts_once_though_it_is_said_to_be_missing() -> None:
    rows = [row(number) for number in range(59)]
    assert resample_rows(rows, "1m", "1h", absent=[(0, 30 * M)]).bars == []
    assert len(resample_rows(rows, "1m", "1h", absent=[(0, HOUR_MS)]).bars) == 1
