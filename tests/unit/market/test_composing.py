"""Any set of series over any spans: each bar comes of the first one that holds all of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.core.market.composing import (
    FOREVER,
    Origin,
    Stretch,
    holes,
    same_to,
    stretches,
    whole_bars,
)
from app.core.market.intervals import HOUR_MS, MINUTE_MS, interval

TIMES = st.integers(0, 24)
SPANS = st.tuples(TIMES, TIMES).map(sorted).filter(lambda pair: pair[0] < pair[1]).map(tuple)
HELD = st.lists(st.one_of(st.none(), SPANS), max_size=6)


@given(HELD, TIMES, TIMES)
def test_each_bar_comes_of_the_first_series_that_holds_it(
    held: list[tuple[int, int] | None], start: int, end: int
) -> None:
    parts = stretches(held, start, end)
    expected = {
        ts: next(
            (place for place, each in enumerate(held) if each and each[0] <= ts < each[1]), None
        )
        for ts in range(start, end)
    }
    found = [(ts, part.place) for part in parts for ts in range(part.start, part.end)]
    assert found == [(ts, place) for ts, place in expected.items() if place is not None]
    assert all(part.start < part.end for part in parts)
    bare = [ts for one, other in holes(parts, start, end) for ts in range(one, other)]
    assert bare == [ts for ts, place in expected.items() if place is None]


def test_the_preferred_series_lies_between_parts_of_the_next() -> None:
    assert stretches([(10, 20), (0, 30)], 5, 40) == [
        Stretch(1, 5, 10),
        Stretch(0, 10, 20),
        Stretch(1, 20, 30),
    ]


@given(
    st.sampled_from(["5m", "1h", "4h", "1d", "1w", "1M"]),
    st.integers(0, 90 * 24 * 60),
    st.integers(0, 90 * 24 * 60),
    st.integers(0, 23),
)
def test_a_series_holds_the_bars_that_lie_wholly_in_it(
    name: str, first: int, length: int, offset: int
) -> None:
    wanted, offset_ms = interval(name), offset * HOUR_MS
    begin, stop = first * MINUTE_MS, (first + length) * MINUTE_MS
    inside = []
    opened = wanted.floor(begin, offset_ms)
    while opened < stop:
        if opened >= begin and wanted.next(opened) <= stop:
            inside.append(opened)
        opened = wanted.next(opened)
    held = whole_bars(wanted, begin, stop, offset_ms)
    assert held == ((inside[0], wanted.next(inside[-1])) if inside else None)


VERSIONS = st.lists(st.integers(0, 2), min_size=3, max_size=3)


@given(HELD.filter(lambda held: len(held) <= 3), HELD, VERSIONS, VERSIONS, TIMES)
def test_bars_said_to_be_the_same_come_of_the_same_past(
    before: list[tuple[int, int] | None],
    after: list[tuple[int, int] | None],
    old: list[int],
    new: list[int],
    start: int,
) -> None:
    def origins(held: list[tuple[int, int] | None], versions: list[int]) -> list[Origin]:
        parts = stretches(held[:3], start, 99)
        return [Origin(one.place, versions[one.place], one.start, one.end) for one in parts]

    def of(origins: list[Origin], ts: int) -> tuple[int, int] | None:
        return next((each[:2] for each in origins if each.start <= ts < each.end), None)

    one, other = origins(before, old), origins(after, new)
    same = same_to(one, other)
    assert all(of(one, ts) == of(other, ts) for ts in range(start, min(same, 99)))
    assert same_to(one, one) == FOREVER
