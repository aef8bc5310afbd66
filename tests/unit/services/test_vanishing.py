"""When an order that its venue does not know has been looked for long enough."""

from __future__ import annotations

from app.services.orders.vanishing import GONE_AFTER_MS, Absences

MINUTE = 60_000
# 2026-03-01T00:00Z
T = 1_772_323_200_000


def looks(absences: Absences, order_id: str, *minutes: int) -> list[bool]:
    """The verdict after each look, at these minutes."""
    return [absences.has_ended(order_id, T + minute * MINUTE) for minute in minutes]


def test_ten_minutes_of_looks_end_an_order() -> None:
    assert GONE_AFTER_MS == 10 * MINUTE
    assert looks(Absences(), "a", *range(11)) == [False] * 10 + [True]


def test_hours_without_a_look_count_for_a_minute_at_most() -> None:
    assert looks(Absences(), "a", 0, 30, 59) == [False] * 3


def test_a_clock_that_is_set_back_counts_for_nothing() -> None:
    assert looks(Absences(), "a", 0, 5, 1, 6, 2) == [False] * 5


def test_an_order_that_was_found_begins_anew() -> None:
    absences = Absences()
    looks(absences, "a", *range(10))
    absences.forget("a")
    assert looks(absences, "a", *range(10, 20)) == [False] * 10


def test_an_order_that_ended_in_another_way_is_forgotten_after_an_hour() -> None:
    absences = Absences()
    looks(absences, "a", *range(10))
    looks(absences, "b", *range(10, 71))
    assert looks(absences, "a", 71) == [False]
