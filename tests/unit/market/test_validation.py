"""Which bars may be stored."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.market.intervals import HOUR_MS, MINUTE_MS, interval
from app.core.market.klines import KlineRow
from app.core.market.validation import CheckedKlines, as_text, check_klines, kline_fault

M = MINUTE_MS
ONE_MINUTE = interval("1m")
T = 1_772_323_200_000


def bar(minute: float = 0, **changed: object) -> KlineRow:
    """A good bar, some of it changed; prices and volumes as text."""
    values = {"open": "100", "high": "110", "low": "90", "close": "105", "volume": "7"}
    values |= {name: str(value) for name, value in changed.items()}
    numbers: dict[str, Any] = {name: Decimal(value) for name, value in values.items()}
    return KlineRow(T + int(minute * M), **numbers)


def checked(*rows: KlineRow, closed_by: int = T + HOUR_MS) -> CheckedKlines:
    return check_klines(rows, ONE_MINUTE, start=T, end=T + HOUR_MS, closed_by=closed_by)


def test_good_bars_pass_unchanged() -> None:
    rows = [bar(0), bar(1, volume=0), bar(2, open=90, close=110)]
    found = checked(*rows)
    assert (found.good, found.bad, found.unfinished) == (rows, [], 0)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (bar(0.5), "its open time is not on the grid of 1m"),
        (bar(open="NaN"), "amount was NaN, which is not a finite number"),
        (bar(high="Infinity"), "amount was Infinity, which is not a finite number"),
        (bar(high="1e308"), "amount was 1E+308, which has more than 18 digits"),
        (bar(low="0.0000000000000000001"), "more than 18 decimals"),
        (bar(low=0), "a price is not above 0"),
        (bar(low=-90), "a price is not above 0"),
        (bar(volume=-1), "a volume or the trade count is negative"),
        (bar(volume="-Infinity"), "not a finite number"),
        (bar(quote_volume=-1), "a volume or the trade count is negative"),
        (bar()._replace(trade_count=-1), "a volume or the trade count is negative"),
        (bar(low=101), "open and close are not between low and high"),
        (bar(high=104), "open and close are not between low and high"),
        (bar(low=120, high=80), "open and close are not between low and high"),
    ],
)
def test_a_bar_that_cannot_be_goes_to_quarantine_alone(row: KlineRow, reason: str) -> None:
    found = checked(row, bar(3))
    assert found.good == [bar(3)]
    assert reason in found.bad[0].reason
    assert found.bad[0].row == as_text(row)
    assert len(found.bad[0].reason) <= 200


def test_bars_outside_the_range_that_was_asked_for_are_not_taken() -> None:
    found = checked(bar(-1), bar(0), bar(60), bar(60 * 24 * 365))
    assert found.good == [bar(0)]
    assert {entry.reason for entry in found.bad} == {"opens outside the range that was asked for"}


def test_the_open_bar_is_left_out_and_is_no_fault() -> None:
    found = checked(bar(0), bar(1), bar(2), closed_by=T + 2 * M + M // 2)
    assert (found.good, found.bad, found.unfinished) == ([bar(0), bar(1)], [], 1)


def test_a_bar_is_closed_at_its_close_and_not_a_millisecond_before() -> None:
    assert checked(bar(0), closed_by=T + M).good == [bar(0)]
    assert checked(bar(0), closed_by=T + M - 1).unfinished == 1


def test_a_second_bar_of_one_time_and_a_step_back_are_refused() -> None:
    found = checked(bar(0), bar(2), bar(2, close=106), bar(1), bar(3))
    assert found.good == [bar(0), bar(2), bar(3)]
    assert [entry.open_ts for entry in found.bad] == [T + 2 * M, T + M]


PRICES = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True),
    st.sampled_from([Decimal(text) for text in ("0", "-1", "1e18", "1e-19", "sNaN", "100")]),
)


@given(
    st.lists(
        st.builds(
            KlineRow,
            st.integers(-3, 70).map(lambda minute: T + minute * M // 2),
            PRICES,
            PRICES,
            PRICES,
            PRICES,
            PRICES,
        ),
        max_size=12,
    )
)
def test_whatever_comes_only_good_bars_are_good(rows: list[KlineRow]) -> None:
    found = checked(*rows)
    times = [row.open_ts for row in found.good]
    assert times == sorted(set(times))
    assert not any(kline_fault(row, ONE_MINUTE) for row in found.good)
    assert len(found.good) + len(found.bad) + found.unfinished == len(rows)
