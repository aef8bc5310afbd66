"""Which payments and observations lack, by the distances of those that are there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.market.coverage import CoverageState, Span
from app.core.market.intervals import HOUR_MS, interval
from app.core.market.point_gaps import (
    Hole,
    as_json,
    first_step,
    head,
    holes,
    last_step,
    opened_behind,
    spans_of,
)
from app.services.collection.point_learning import Look, Stored, learned

# 2026-03-01T00:00Z.
T = 1_772_323_200_000


def at(*hours: float) -> list[int]:
    """Times so many hours after the start, each some milliseconds late."""
    return [T + round(hour * HOUR_MS) + number * 7 % 13 for number, hour in enumerate(hours)]


def lacking(times: list[int], every_ms: int | None = None) -> list[tuple[float, float, int]]:
    """Holes as (first hour, hour of the next one that is there, how many)."""
    return [
        ((hole.start - T) / HOUR_MS, (hole.end - T) / HOUR_MS, hole.count)
        for hole in holes(times, every_ms)
    ]


@pytest.mark.parametrize(
    ("times", "gaps"),
    [
        ([0, 8, 16, 24, 32], []),
        ([0, 8, 16, 32, 40, 48], [(24, 32, 1)]),
        # Two lack, one after the other, and two with a payment between.
        ([0, 8, 16, 40, 48, 56], [(24, 40, 2)]),
        ([0, 8, 16, 32, 48, 56, 64, 72], [(24, 32, 1), (40, 48, 1)]),
        # The venue pays every four hours from some time on, and then every hour.
        ([0, 8, 16, 24, 28, 32, 36, 40, 41, 42, 43, 44], []),
        # And less often again.
        ([0, 1, 2, 3, 4, 8, 12, 16, 20, 28, 36, 44], []),
        ([0, 4, 8, 12, 20, 24, 28], [(16, 20, 1)]),
        # Nothing says how far apart one or two are.
        ([], []),
        ([5], []),
        ([0, 16], []),
    ],
)
def test_payments_that_lack_are_told_by_those_around(
    times: list[float], gaps: list[tuple[float, float, int]]
) -> None:
    assert lacking(at(*times)) == gaps


def test_observations_lack_by_their_interval() -> None:
    hour = interval("1h").length_ms
    assert lacking(at(0, 1, 2, 5, 6), hour) == [(3, 5, 2)]
    assert lacking(at(0, 24), hour) == [(1, 24, 23)]


def test_a_hole_is_cut_to_the_points_that_belong_in_a_range() -> None:
    hole = Hole(T, T + 24 * HOUR_MS, 3)
    assert hole.cut(T, T + 24 * HOUR_MS) == hole
    assert hole.cut(0, T + 1) == Hole(T, T + 8 * HOUR_MS, 1)
    assert hole.cut(T + 1, T + 90 * HOUR_MS) == Hole(T + 8 * HOUR_MS, T + 24 * HOUR_MS, 2)
    assert hole.cut(T + 17 * HOUR_MS, T + 90 * HOUR_MS) is None
    assert hole.cut(0, T) is None


def test_how_far_apart_payments_are_now() -> None:
    assert last_step(at(0, 8, 16, 24, 28, 32, 36)) == 4 * HOUR_MS
    assert last_step(at(0)) is None
    assert last_step(at(0), HOUR_MS) == HOUR_MS


def test_what_is_wanted_before_the_first_payment_lacks_where_one_belongs_there() -> None:
    times = at(24, 32, 40)
    eight = first_step(times)
    assert eight == 8 * HOUR_MS
    assert head(times, T, eight) == (T, T + 24 * HOUR_MS)
    assert head(times, T + 16 * HOUR_MS, eight) == (T + 16 * HOUR_MS, T + 24 * HOUR_MS)
    # Wanted from some time between two payments on: none belongs there.
    assert head(times, T + 17 * HOUR_MS, eight) is None
    assert head(times, T + 90 * HOUR_MS, eight) is None
    # One payment does not say how far apart they are.
    assert head(at(24), T + 17 * HOUR_MS, None) == (T + 17 * HOUR_MS, T + 24 * HOUR_MS)
    assert head([], T, None) is None


def test_nothing_behind_a_point_is_before_the_listing() -> None:
    old = Span(T, T + 24 * HOUR_MS, CoverageState.BEFORE_LISTING, {"earliest": T + 24 * HOUR_MS})
    found = opened_behind([old], T + 8 * HOUR_MS)
    assert [(span.start, span.state.value) for span in found] == [
        (T, "before_listing"),
        (T + 8 * HOUR_MS, "pending"),
    ]
    # Not by what a venue is late with its first one.
    assert opened_behind([old], T + 24 * HOUR_MS - 5) == [old]


def test_a_gap_of_the_venues_own_stays_so_when_a_range_around_it_is_asked_for() -> None:
    times = at(0, 8, 16, 32, 40, 48)
    gap = Span(T + 24 * HOUR_MS, T + 32 * HOUR_MS, CoverageState.EXCHANGE_SIDE, {"looks": 3})
    stored = Stored(T, times, times, None)
    for came in (times, []):
        assert learned([gap], Look(T, T + 49 * HOUR_MS, came), stored, now_ms=T) == [gap]


@given(st.sets(st.integers(1, 98), max_size=30))
def test_whatever_lacks_of_a_day_of_minutes_is_counted_once(gone: set[int]) -> None:
    minute = interval("1m").length_ms
    times = [T + number * minute for number in range(100) if number not in gone]
    found = holes(times, minute)
    assert sum(hole.count for hole in found) == len(gone)
    told = {(ts - T) // minute for hole in found for ts in range(hole.start, hole.end, minute)}
    assert told == gone


def test_gaps_are_kept_in_a_row_as_they_are() -> None:
    spans = [Span(1, 5, CoverageState.PENDING, {"first": 1, "last": 2, "looks": 1})]
    assert spans_of(as_json(spans)) == spans
    assert as_json([]) is None
    assert spans_of(None) == []
    assert holes(at(0, 8, 16, 32, 40)) == [Hole(T + 24 * HOUR_MS, T + 32 * HOUR_MS, 1)]
