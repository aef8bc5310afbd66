"""The algebra of coverage: no bar twice, none forgotten, nothing learned twice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.market.coverage import (
    CoverageState,
    Span,
    account,
    asked_in_vain,
    before_listing,
    can_be_asked_for,
    count_bars,
    gaps,
    lay,
    lay_apart,
    missing,
    observed_absent,
    present_runs,
    refused,
)
from app.core.market.files.findings import present_spans
from app.core.market.intervals import HOUR_MS, MINUTE_MS, interval

M = MINUTE_MS
ONE_MINUTE = interval("1m")
PRESENT, PENDING = CoverageState.PRESENT, CoverageState.PENDING
EXCHANGE_SIDE = CoverageState.EXCHANGE_SIDE
BEFORE_LISTING = CoverageState.BEFORE_LISTING
NOW = 1_772_323_200_000

PROOFS = st.sampled_from([{}, {"first": NOW, "last": NOW, "looks": 1}])


@st.composite
def new_spans(draw: st.DrawFn) -> Span:
    start = draw(st.integers(0, 40))
    end = draw(st.integers(start + 1, 41))
    return Span(start * M, end * M, draw(st.sampled_from(CoverageState)), draw(PROOFS))


LAYERS = st.lists(new_spans(), max_size=12)


def told(spans: list[Span]) -> dict[int, tuple[CoverageState, str]]:
    """What is known of each minute, one by one: the model that the algebra must equal."""
    known = {}
    for span in spans:
        for minute in range(span.start // M, span.end // M):
            known[minute] = (span.state, str(sorted(span.proof.items())))
    return known


@given(LAYERS)
def test_spans_never_overlap_ascend_and_touch_only_where_they_differ(layers: list[Span]) -> None:
    spans = lay([], *layers)
    for before, after in pairwise(spans):
        assert before.end <= after.start
        assert before.end < after.start or not before.same_kind(after)


@given(LAYERS)
def test_the_latest_word_on_each_bar_counts(layers: list[Span]) -> None:
    assert told(lay([], *layers)) == told(layers)


@given(LAYERS, new_spans())
def test_laying_twice_is_laying_once(layers: list[Span], new: Span) -> None:
    once = lay(lay([], *layers), new)
    assert lay(once, new) == once


@given(LAYERS, LAYERS)
def test_many_spans_that_are_apart_are_laid_at_once_as_one_after_the_other(
    known: list[Span], layers: list[Span]
) -> None:
    new = lay([], *layers)
    assert lay_apart(lay([], *known), new) == lay(lay([], *known), *new)


@given(st.sets(st.integers(0, 60)))
def test_runs_of_a_column_are_those_of_its_times(minutes: set[int]) -> None:
    times = sorted(minute * M for minute in minutes)
    column = np.array(times, dtype=np.int64)
    assert present_spans(column, ONE_MINUTE) == present_runs(times, ONE_MINUTE)


@given(LAYERS, st.integers(0, 40), st.integers(1, 45))
def test_every_expected_bar_is_accounted_for_once(
    layers: list[Span], first: int, bars: int
) -> None:
    start, end = first * M, (first + bars) * M
    spans = lay([], *layers)
    parts = account(spans, start, end)
    assert [parts[0].start, parts[-1].end] == [start, end]
    assert all(before.end == after.start for before, after in pairwise(parts))
    counts = count_bars(spans, ONE_MINUTE, start, end)
    assert sum(counts.values()) == bars


@given(st.integers(1, 39))
def test_an_empty_range_has_nothing_to_account_for(minute: int) -> None:
    """Also inside a span, where a job asks whose last page was stored before it was killed."""
    known = [Span(0, 40 * M, PRESENT)]
    assert account(known, minute * M, minute * M) == []
    assert account(known, (minute + 1) * M, minute * M) == []
    assert missing(known, minute * M, minute * M, NOW) == []


@given(LAYERS)
def test_what_is_missing_is_what_is_pending_and_due_and_a_listing_after_a_bar(
    layers: list[Span],
) -> None:
    spans = lay([], *layers)
    known = {minute: state for minute, (state, _) in told(spans).items()}
    oldest = min((minute for minute, state in known.items() if state is PRESENT), default=99)
    settled = {
        minute
        for minute, state in known.items()
        if state is not PENDING and not (state is BEFORE_LISTING and minute > oldest)
    }
    asked = {
        minute
        for start, end in missing(spans, 0, 45 * M, NOW + M)
        for minute in range(start // M, end // M)
    }
    assert asked == set(range(45)) - settled


@given(st.sets(st.integers(0, 60)))
def test_runs_of_present_bars_hold_these_bars_and_no_others(minutes: set[int]) -> None:
    runs = present_runs(sorted(minute * M for minute in minutes), ONE_MINUTE)
    assert set(told(runs)) == minutes
    assert all(before.end < after.start for before, after in pairwise(runs))


def test_a_gap_is_the_exchanges_own_only_after_three_looks_over_an_hour() -> None:
    spans = lay([], Span(0, 10 * M, PRESENT), Span(12 * M, 20 * M, PRESENT))
    states = []
    for minutes in (0, 1, 2, 32, 62):
        spans = lay(spans, *observed_absent(spans, 10 * M, 12 * M, NOW + minutes * M))
        states.append(account(spans, 10 * M, 12 * M)[0].state)
    assert states == [PENDING, PENDING, PENDING, PENDING, EXCHANGE_SIDE]
    proof = account(spans, 10 * M, 12 * M)[0].proof
    assert proof == {"first": NOW, "last": NOW + 62 * M, "looks": 5}


def test_looks_of_several_plans_at_the_same_time_are_one() -> None:
    """However many plans want a bar that is late, their rounds ask once in half a minute."""
    spans: list[Span] = []
    due = []
    for seconds in (0, 0, 1, 2, 31, 31, 32):
        now = NOW + seconds * 1_000
        due.append(missing(spans, 0, M, now, by_rounds=True) == [(0, M)])
        assert missing(spans, 0, M, now) == [(0, M)], "a person need not wait"
        spans = lay(spans, *observed_absent(spans, 0, M, now))
    assert due == [True, False, False, False, True, False, False]
    assert spans[0].proof == {"first": NOW, "last": NOW + 31_000, "looks": 2}


def test_two_looks_prove_nothing_however_far_apart() -> None:
    spans: list[Span] = []
    for hours in (0, 20):
        spans = lay(spans, *observed_absent(spans, 0, M, NOW + hours * HOUR_MS))
    assert spans[0].state is PENDING


def test_later_looks_are_spaced_and_a_proven_gap_is_left_alone() -> None:
    spans: list[Span] = []
    for minutes in (0, 1, 2):
        assert missing(spans, 0, M, NOW + minutes * M) == [(0, M)]
        spans = lay(spans, *observed_absent(spans, 0, M, NOW + minutes * M))
    assert missing(spans, 0, M, NOW + 31 * M) == []
    assert missing(spans, 0, M, NOW + 32 * M) == [(0, M)]
    spans = lay(spans, *observed_absent(spans, 0, M, NOW + 62 * M))
    assert missing(spans, 0, M, NOW + 1000 * HOUR_MS) == []


def test_a_look_that_seems_to_be_of_an_hour_ahead_puts_no_other_off() -> None:
    spans: list[Span] = []
    for minutes in (0, 1, 2):
        spans = lay(spans, *observed_absent(spans, 0, M, NOW + minutes * M))
    assert missing(spans, 0, M, NOW + 2 * M - HOUR_MS) == [(0, M)]


def test_a_bar_that_comes_after_all_heals_the_gap() -> None:
    spans = lay([], *observed_absent([], 0, 2 * M, NOW))
    spans = lay(spans, *present_runs([0], ONE_MINUTE))
    assert gaps(spans, 0, 2 * M) == [Span(M, 2 * M, PENDING)]


def test_a_present_bar_is_not_unmade_by_a_venue_that_forgets_it() -> None:
    spans = [Span(0, 10 * M, PRESENT)]
    assert observed_absent(spans, 0, 10 * M, NOW) == []
    assert refused(spans, 0, M, "a price is not above 0", NOW) == []


def test_a_refused_bar_stays_pending_and_is_asked_for_once_a_day() -> None:
    spans: list[Span] = []
    for minutes in (0, 1, 2, 32, 62):
        spans = lay(spans, *refused(spans, 0, M, "a price is not above 0", NOW + minutes * M))
    assert spans[0].state is PENDING
    assert spans[0].proof["quarantined"] == "a price is not above 0"
    last = NOW + 62 * M
    assert missing(spans, 0, M, last + 23 * HOUR_MS) == []
    assert missing(spans, 0, M, last + 24 * HOUR_MS) == [(0, M)]


def test_gaps_of_one_state_that_touch_are_one_gap() -> None:
    spans = lay([], *observed_absent([], 0, M, NOW), *observed_absent([], M, 3 * M, NOW + M))
    assert gaps(spans, 0, 5 * M) == [Span(0, 5 * M, PENDING)]


def test_an_empty_span_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Span(M, M, PRESENT)


def test_what_was_asked_for_in_vain_is_never_proven_however_often() -> None:
    spans: list[Span] = []
    for hours in range(50):
        spans = lay(spans, *asked_in_vain(spans, 0, M, NOW + hours * HOUR_MS))
    (gap,) = spans
    assert (gap.state, gap.proof["asked"]) == (PENDING, 50)
    # It is asked for once a day by then, and the looks that prove it begin with the first of them.
    assert missing(spans, 0, M, NOW + 50 * HOUR_MS) == []
    for hours in (80, 81, 82):
        spans = lay(spans, *observed_absent(spans, 0, M, NOW + hours * HOUR_MS))
    assert (spans[0].state, spans[0].proof["looks"]) == (EXCHANGE_SIDE, 3)


def test_a_neighbour_that_is_older_than_a_listing_opens_it_and_its_looks_do_not_count() -> None:
    spans: list[Span] = []
    for days in range(3):
        spans = lay(spans, *before_listing(spans, 0, 9 * M, 9 * M, NOW + days * 24 * HOUR_MS))
    assert (spans[0].state, spans[0].proof["looks"]) == (BEFORE_LISTING, 3)
    spans = lay(spans, *observed_absent(spans, 5 * M, 9 * M, NOW + 72 * HOUR_MS))
    assert [span.state for span in spans] == [BEFORE_LISTING, PENDING]
    assert spans[1].proof["looks"] == 1


def test_a_first_bar_that_lies_later_than_it_did_opens_what_was_before_it() -> None:
    spans = before_listing([], 0, 9 * M, 9 * M, NOW)
    spans = lay(spans, *before_listing(spans, 0, 9 * M, 20 * M, NOW + 24 * HOUR_MS))
    assert (spans[0].state, spans[0].proof["asked"]) == (PENDING, 1)


def test_a_listing_that_an_earlier_release_noted_is_looked_at_again() -> None:
    old = Span(0, 9 * M, BEFORE_LISTING, {"earliest": 9 * M, "seen_at": NOW})
    assert missing([old], 0, 9 * M, NOW + 23 * HOUR_MS) == []
    assert missing([old], 0, 9 * M, NOW + 24 * HOUR_MS) == [(0, 9 * M)]
    (found,) = before_listing([old], 0, 9 * M, 9 * M, NOW + 24 * HOUR_MS)
    assert (found.proof["first"], found.proof["looks"]) == (NOW, 2)


def test_one_who_heals_may_ask_for_all_that_is_open_to_doubt() -> None:
    spans = [Span(0, M, BEFORE_LISTING), Span(M, 2 * M, PRESENT), Span(2 * M, 3 * M, EXCHANGE_SIDE)]
    assert can_be_asked_for(spans, 0, 3 * M)
    assert not can_be_asked_for(spans, M, 3 * M)
    assert can_be_asked_for(spans, M, 4 * M)
