"""Which bars are expected: what a plan wants, and stored history with the holes in it."""

from __future__ import annotations

import pytest

from app.core.market.coverage import CoverageState, Span
from app.core.market.expected import count_in, expected_ranges, within
from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS, interval

MINUTES = interval("1m")


def stored(start: int, end: int) -> Span:
    return Span(start, end, CoverageState.PRESENT)


@pytest.mark.parametrize("hole", [MINUTE_MS, 2 * DAY_MS, 3 * DAY_MS, 5 * 365 * DAY_MS])
def test_a_hole_in_history_is_a_gap_of_it_however_long_it_is(hole: int) -> None:
    spans = [stored(0, MINUTE_MS), stored(MINUTE_MS + hole, 2 * MINUTE_MS + hole)]
    assert expected_ranges(spans, None, MINUTES) == [(0, 2 * MINUTE_MS + hole)]
    late = (2 * MINUTE_MS + hole, 3 * MINUTE_MS + hole)
    assert expected_ranges(spans, late, MINUTES) == [(0, 3 * MINUTE_MS + hole)]


@pytest.mark.parametrize(
    ("name", "hole", "is_nobodys"),
    [
        ("1m", 2 * DAY_MS, False),
        ("1m", 2 * DAY_MS + 1, True),
        ("1h", 100 * HOUR_MS, False),
        ("1h", 101 * HOUR_MS, True),
    ],
)
def test_what_lies_between_history_and_a_plan_is_nobodys_unless_it_is_short(
    name: str, hole: int, is_nobodys: bool
) -> None:
    bar = interval(name).length_ms
    planned = (bar + hole, 9 * bar + hole)
    apart, joined = [(0, bar), planned], [(0, planned[1])]
    spans = [stored(0, bar)]
    assert expected_ranges(spans, planned, interval(name)) == (apart if is_nobodys else joined)
    collected = [*spans, stored(planned[0] + bar, planned[0] + 2 * bar)]
    assert expected_ranges(collected, planned, interval(name)) == (
        apart if is_nobodys else joined
    ), "whatever the plan has collected"


def test_a_plan_that_begins_behind_what_is_looked_at_parts_it_from_history_all_the_same() -> None:
    before, after = stored(0, MINUTE_MS), stored(9 * DAY_MS, 9 * DAY_MS + MINUTE_MS)
    looked_at = (9 * DAY_MS, 5 * DAY_MS)
    ranges = expected_ranges([], looked_at, MINUTES, before=before, after=after)
    assert within(ranges, 4 * DAY_MS, 5 * DAY_MS) == []


def test_nothing_is_expected_of_nothing() -> None:
    assert expected_ranges([], None, MINUTES) == []
    assert expected_ranges([], (HOUR_MS, HOUR_MS), MINUTES) == []
    assert expected_ranges([], (0, HOUR_MS), MINUTES) == [(0, HOUR_MS)]


def test_a_part_of_what_is_known_is_judged_by_what_lies_beside_it() -> None:
    before, after = stored(0, MINUTE_MS), stored(HOUR_MS, HOUR_MS + MINUTE_MS)
    ranges = expected_ranges([], None, MINUTES, before=before, after=after)
    assert within(ranges, 5 * MINUTE_MS, 9 * MINUTE_MS) == [(5 * MINUTE_MS, 9 * MINUTE_MS)]
    assert within(ranges, -5, 0) == []
    assert expected_ranges([before], None, MINUTES, edges=[-HOUR_MS]) == [(-HOUR_MS, MINUTE_MS)]
    counts = count_in([before, after], MINUTES, [(0, 2 * MINUTE_MS), (HOUR_MS, HOUR_MS + 1)])
    assert (counts[CoverageState.PRESENT], counts[CoverageState.PENDING]) == (2, 1)
