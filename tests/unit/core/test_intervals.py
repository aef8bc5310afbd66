"""Grids of intervals."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import UnknownName
from app.core.market.intervals import INTERVALS, interval

TIMES = st.integers(min_value=0, max_value=4_102_444_800_000)


def ms(*when: int) -> int:
    """Milliseconds of a UTC date."""
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type]


@given(TIMES, st.sampled_from(sorted(INTERVALS)))
def test_every_moment_is_in_exactly_one_bar(ts: int, name: str) -> None:
    grid = interval(name)
    opened = grid.floor(ts)
    assert opened <= ts < grid.next(opened)
    assert grid.floor(opened) == opened
    assert grid.ceil(ts) in (opened, grid.next(opened))
    assert grid.expected(opened, grid.next(opened)) == 1


def test_weeks_open_on_monday_and_months_on_the_first() -> None:
    assert interval("1w").floor(ms(2026, 3, 4)) == ms(2026, 3, 2)
    assert interval("1M").floor(ms(2026, 2, 28, 23)) == ms(2026, 2, 1)
    assert interval("1M").next(ms(2026, 1, 1)) == ms(2026, 2, 1)
    assert interval("1M").next(ms(2026, 12, 1)) == ms(2027, 1, 1)
    assert interval("1M").expected(ms(2024, 1, 15), ms(2025, 1, 15)) == 12


def test_a_minute_is_not_a_month() -> None:
    assert interval("1m") != interval("1M")
    with pytest.raises(UnknownName, match="use one of 1m"):
        interval("1H")
