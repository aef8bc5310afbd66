"""Which bars are expected: what a plan wants, and stored history with the holes in it."""

from __future__ import annotations

import pytest

from app.core.market.coverage import CoverageState, Span
from app.core.market.expected import Range, count_in, expected_ranges, within
from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS, interval

MINUTES = interval("1m")


def stored(start: int, end: int) -> Span:
    return Span(start, end, CoverageState.PRESENT)


@pytest.mark.parametrize(
    ("name", "hole", "found"),
    [
        ("1m", DAY_MS, [(0, DAY_MS + 2 * MINUTE_MS)]),
        ("1m", DAY_MS + 1, [(0, MINUTE_MS), (DAY_MS + MINUTE_MS + 1, DAY_MS + 2 * MINUTE_MS + 1)]),
        ("1h", 100 * HOUR_MS, [(0, 102 * HOUR_MS)]),
        ("1h", 101 * HOUR_MS, [(0, HOUR_MS), (102 * HOUR_MS, 103 * HOUR_MS)]),
    ],
)
def test_a_hole_belongs_to_history_unless_it_is_long(
    name: str, hole: int, found: list[Range]
) -> None:
    bar = interval(name).length_ms
    spans = [stored(0, bar), stored(bar + hole, 2 * bar + hole)]
    assert expected_ranges(spans, None, interval(name)) == found


def test_what_lies_between_history_and_a_plan_is_nobodys() -> None:
    old = stored(0, 2 * MINUTE_MS)
    assert expected_ranges([old], (HOUR_MS, 2 * HOUR_MS), MINUTES) == [
        (0, 2 * MINUTE_MS),
        (HOUR_MS, 2 * HOUR_MS),
    ]
    assert expected_ranges([old], (MINUTE_MS, HOUR_MS), MINUTES) == [(0, HOUR_MS)]
    assert expected_ranges([], (HOUR_MS, HOUR_MS), MINUTES) == []


def test_a_part_of_what_is_known_is_judged_by_what_lies_beside_it() -> None:
    before, after = stored(0, MINUTE_MS), stored(HOUR_MS, HOUR_MS + MINUTE_MS)
    ranges = expected_ranges([], None, MINUTES, before=before, after=after)
    assert within(ranges, 5 * MINUTE_MS, 9 * MINUTE_MS) == [(5 * MINUTE_MS, 9 * MINUTE_MS)]
    assert within(ranges, -5, 0) == []
    assert expected_ranges([before], None, MINUTES, edges=[-HOUR_MS, -DAY_MS - HOUR_MS - 1]) == [
        (-HOUR_MS, MINUTE_MS),
    ]
    counts = count_in([before, after], MINUTES, [(0, 2 * MINUTE_MS), (HOUR_MS, HOUR_MS + 1)])
    assert (counts[CoverageState.PRESENT], counts[CoverageState.PENDING]) == (2, 1)
