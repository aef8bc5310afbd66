"""Times at the edge, and pages of klines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.core.market.intervals import INTERVALS, interval
from app.schemas.times import LATEST_MS, parse_time, rfc3339
from app.services.kline_pages import kline_page

MINUTE = 60_000


@given(st.integers(min_value=0, max_value=LATEST_MS))
def test_a_time_comes_back_as_it_went(ms: int) -> None:
    assert parse_time(rfc3339(ms)) == ms
    assert parse_time(str(ms)) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-03-01", 1_772_323_200_000),
        ("2026-03-01T00:00:00Z", 1_772_323_200_000),
        ("2026-03-01T08:00:00+08:00", 1_772_323_200_000),
        ("2026-03-01t00:00:00.123456z", 1_772_323_200_123),
        ("0", 0),
    ],
)
def test_a_time_is_written_in_one_of_three_ways(text: str, ms: int) -> None:
    assert parse_time(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-03-01T00:00:00",
        "2026-02-30",
        "2026-03-01T25:00:00Z",
        "-1",
        "1.5",
        "1969-12-31",
        "2201-01-01",
        "9" * 14,
        "٢٠٢٦-٠٣-٠١",
    ],
)
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_time(text)
    assert caught.value.error_code == "invalid-time"


def test_a_page_begins_where_it_was_asked_to_and_says_where_the_next_begins() -> None:
    grid, stored = interval("1m"), (0, 100 * MINUTE)
    first = kline_page(grid, stored, 0, None, 30)
    assert first is not None
    assert (first.start, first.end, first.following) == (0, 30 * MINUTE, 30 * MINUTE)
    last = kline_page(grid, stored, 90 * MINUTE, None, 30)
    assert last is not None
    assert (last.end, last.following) == (100 * MINUTE, None)
    assert kline_page(grid, stored, 100 * MINUTE, None, 30) is None


def test_without_a_start_the_page_is_the_latest() -> None:
    page = kline_page(interval("1m"), (0, 100 * MINUTE), None, 50 * MINUTE, 10)
    assert page is not None
    assert (page.start, page.end, page.following) == (40 * MINUTE, 50 * MINUTE, None)


def test_the_latest_bars_are_whole_ones() -> None:
    """Minutes are stored up to half past one: the hour in which they end is no bar yet."""
    hours, stored = interval("1h"), (0, 90 * MINUTE)
    latest = kline_page(hours, stored, None, None, 1)
    assert latest is not None
    assert (latest.start, latest.end, latest.following) == (0, 60 * MINUTE, None)
    assert kline_page(hours, stored, 60 * MINUTE, None, 1) is None
    cut = kline_page(hours, (0, 150 * MINUTE), None, 90 * MINUTE, 1)
    assert cut is not None
    assert (cut.start, cut.end) == (60 * MINUTE, 120 * MINUTE)


@given(
    name=st.sampled_from(list(INTERVALS)),
    start=st.integers(min_value=0, max_value=10**12),
    length=st.integers(min_value=1, max_value=10**11),
    limit=st.integers(min_value=1, max_value=50),
)
def test_pages_cover_a_range_once_and_hold_no_more_bars_than_asked(
    name: str, start: int, length: int, limit: int
) -> None:
    grid = interval(name)
    stored = (grid.floor(start), grid.floor(start) + length)
    position: int | None = start
    for _ in range(5):
        assert position is not None
        page = kline_page(grid, stored, position, None, limit)
        if page is None:
            break
        assert page.start >= position
        assert 0 < grid.expected(page.start, page.end) <= limit
        if page.following is None:
            break
        assert page.following == page.end
        position = page.following
