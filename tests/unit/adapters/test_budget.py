"""One budget for all that talk to a venue."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from app.adapters.budget import InProcessBudget
from app.core.exchanges.errors import BudgetExhausted, RateLimited, VenueBanned
from app.core.ports import Purpose
from tests.support.record import START_MS, ManualClock

DATA, ORDER, CANCEL = Purpose.DATA, Purpose.ORDER, Purpose.CANCEL
MINUTE = 60_000


class Bans:
    """Bans that outlive a budget, as rows do."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[int, str]] = {}

    def bans(self) -> Mapping[str, int]:
        return {exchange: until for exchange, (until, _) in self.kept.items()}

    def save_ban(self, exchange: str, until_ms: int, reason: str) -> None:
        self.kept[exchange] = (until_ms, reason)


class World:
    """A budget of 100 a minute, whose waits move the clock."""

    def __init__(self, bans: Bans | None = None) -> None:
        self.clock = ManualClock()
        self.bans = bans or Bans()
        self.naps: list[float] = []
        self.budget = InProcessBudget(
            self.clock, self.bans, weights={"binance": 100}, sleep=self._sleep
        )

    def _sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.clock.advance(max(1, round(seconds * 1000)))

    def take(self, weight: int, purpose: Purpose, timeout: float = 0.0) -> None:
        self.budget.acquire("binance", weight, purpose, timeout)


@pytest.fixture
def world() -> World:
    return World()


def test_data_leaves_room_for_orders_and_both_leave_room_for_cancels(world: World) -> None:
    world.take(60, DATA)
    with pytest.raises(BudgetExhausted):
        world.take(1, DATA)
    world.take(20, ORDER)
    with pytest.raises(BudgetExhausted):
        world.take(1, ORDER)
    world.take(20, CANCEL)
    with pytest.raises(BudgetExhausted) as refused:
        world.take(1, CANCEL)
    assert refused.value.retry_at == START_MS + MINUTE
    assert refused.value.retry_after_ms == MINUTE


def test_a_new_minute_brings_new_weight(world: World) -> None:
    world.take(60, DATA)
    world.clock.advance(MINUTE)
    world.take(60, DATA)
    assert world.budget.used("binance") == 60


def test_whoever_may_wait_waits_for_the_next_minute(world: World) -> None:
    world.clock.advance(MINUTE - 2_500)
    world.take(60, DATA)
    world.take(10, DATA, timeout=5.0)
    assert world.clock.now == START_MS + MINUTE
    assert sum(world.naps) == pytest.approx(2.5)


def test_nobody_waits_longer_than_it_may(world: World) -> None:
    world.take(60, DATA)
    with pytest.raises(BudgetExhausted):
        world.take(10, DATA, timeout=59.0)
    assert world.naps == []


def test_the_venues_own_count_wins_where_it_is_higher(world: World) -> None:
    world.take(10, DATA)
    world.budget.correct("binance", 59)
    world.take(1, DATA)
    with pytest.raises(BudgetExhausted):
        world.take(1, DATA)


def test_a_lower_count_is_not_believed_while_requests_are_on_their_way(world: World) -> None:
    world.take(60, DATA)
    world.budget.correct("binance", 2)
    with pytest.raises(BudgetExhausted):
        world.take(1, DATA)


def test_a_request_heavier_than_its_share_passes_in_an_unused_minute(world: World) -> None:
    world.take(80, DATA)
    with pytest.raises(BudgetExhausted):
        world.take(1, ORDER)


def test_after_a_429_nothing_goes_out_not_even_a_cancel(world: World) -> None:
    world.budget.back_off("binance", START_MS + 3_000)
    for purpose in Purpose:
        with pytest.raises(RateLimited) as refused:
            world.take(1, purpose)
        assert refused.value.retry_after_ms == 3_000
    world.clock.advance(3_000)
    world.take(1, DATA)


def test_a_ban_stops_everything_until_its_end_and_survives_a_restart() -> None:
    bans = Bans()
    before = World(bans)
    before.budget.ban("binance", START_MS + 120_000, "HTTP 418")
    assert bans.kept == {"binance": (START_MS + 120_000, "HTTP 418")}
    after = World(bans)
    for world in (before, after):
        assert world.budget.banned_until("binance") == START_MS + 120_000
        with pytest.raises(VenueBanned) as refused:
            world.take(1, CANCEL, timeout=600.0)
        assert refused.value.until_ms == START_MS + 120_000
        world.clock.advance(120_000)
        assert world.budget.banned_until("binance") is None
        world.take(1, DATA)


def test_a_shorter_ban_does_not_cut_a_longer_one_short(world: World) -> None:
    world.budget.ban("binance", START_MS + 120_000, "long")
    world.budget.ban("binance", START_MS + 60_000, "short")
    assert world.bans.kept["binance"] == (START_MS + 120_000, "long")


def test_one_venues_trouble_is_not_anothers(world: World) -> None:
    world.budget.ban("binance", START_MS + 120_000, "")
    world.budget.acquire("okx", 100, DATA, 0.0)


def test_a_clock_set_back_a_second_hands_out_no_fresh_minute(world: World) -> None:
    world.take(60, DATA)
    world.clock.now -= 1_000
    with pytest.raises(BudgetExhausted):
        world.take(1, DATA)


def test_a_clock_that_was_an_hour_ahead_does_not_block_for_an_hour(world: World) -> None:
    world.clock.now += 60 * MINUTE
    world.take(60, DATA)
    world.clock.now -= 60 * MINUTE
    world.take(60, DATA)


def test_eight_threads_together_take_no_more_than_there_is(world: World) -> None:
    taken: list[int] = []

    def work() -> None:
        for _ in range(20):
            try:
                world.take(1, DATA)
            except BudgetExhausted:
                return
            taken.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 60


def test_a_clock_that_is_set_back_prolongs_no_pause(world: World) -> None:
    world.budget.back_off("binance", START_MS + 5_000)
    world.clock.step(-3_600_000)
    with pytest.raises(RateLimited):
        world.take(1, CANCEL)
    world.clock.advance(5_000)
    world.take(1, CANCEL)
