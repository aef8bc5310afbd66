"""A row that waits is hinted again soon enough, and not so often that the queue fills."""

from __future__ import annotations

from itertools import pairwise

from app.services.hinting import Hinter, Waiting
from tests.support.record import Hints, ManualClock


class Broker(Hints):
    """A queue that can be away."""

    away = False

    def publish(self, task: str, *ids: str) -> bool:
        return not self.away and super().publish(task, *ids)


def swept(hinter: Hinter, clock: ManualClock, row: Waiting, seconds: int) -> list[int]:
    """In which of these seconds the row was hinted, with a sweep in each."""
    found = []
    for second in range(seconds):
        if hinter.give([row]):
            found.append(second)
        clock.advance(1_000)
    return found


def test_an_hour_without_workers_leaves_some_hundred_hints_not_thousands() -> None:
    queue, clock = Broker(), ManualClock()
    found = swept(Hinter(queue, clock), clock, Waiting("orders.send", "1"), 3_600)
    assert found[:5] == [0, 2, 6, 14, 22]
    assert max(later - sooner for sooner, later in pairwise(found)) <= 10
    assert len(queue.sent) == len(found) < 460


def test_a_row_that_took_a_step_is_hinted_at_once() -> None:
    queue, clock = Broker(), ManualClock()
    hinter = Hinter(queue, clock)
    assert hinter.give([Waiting("orders.send", "1", mark=1)]) == 1
    assert hinter.give([Waiting("orders.send", "1", mark=1)]) == 0
    assert hinter.give([Waiting("orders.resolve", "1", mark=1)]) == 1
    assert hinter.give([Waiting("orders.resolve", "1", mark=2)]) == 1


def test_what_the_queue_does_not_take_is_due_again_at_once() -> None:
    queue, clock = Broker(), ManualClock()
    hinter = Hinter(queue, clock)
    queue.away = True
    assert swept(hinter, clock, Waiting("orders.send", "1"), 5) == []
    queue.away = False
    assert hinter.give([Waiting("orders.send", "1")]) == 1


def test_a_row_that_waits_no_more_is_forgotten() -> None:
    clock = ManualClock()
    hinter = Hinter(Broker(), clock)
    hinter.give([Waiting("orders.send", str(number)) for number in range(1_000)])
    hinter.give([])
    assert hinter.give([Waiting("orders.send", "5")]) == 1
