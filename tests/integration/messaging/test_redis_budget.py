"""One request budget for all processes of an address, over a real Redis."""

from __future__ import annotations

import multiprocessing
import os
import queue
import random
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import redis

from app.adapters.redis_budget import RedisBudget
from app.core.exchanges.errors import BudgetExhausted, RateLimited, VenueBanned
from app.core.ports import Purpose
from tests.support.record import START_MS, ManualClock
from tests.support.servers import RedisServer
from tests.support.waiting import until

DATA, ORDER, CANCEL = Purpose.DATA, Purpose.ORDER, Purpose.CANCEL
MINUTE = 60_000
WEIGHTS = {"binance": 100}


class Rows:
    """Bans as rows have them; the database may be away."""

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}
        self.away = False

    def bans(self) -> Mapping[str, int]:
        if self.away:
            raise ConnectionError("the database is away")
        return dict(self.kept)

    def save_ban(self, exchange: str, until_ms: int, reason: str) -> None:
        self.kept[exchange] = until_ms


@pytest.fixture
def server(redis_server: RedisServer) -> Iterator[RedisServer]:
    redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield redis_server
    redis_server.start()


@pytest.fixture
def raw(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client


class World:
    """Some processes behind one address, on one clock and one database."""

    def __init__(self, server: RedisServer, processes: int = 2) -> None:
        self.clock = ManualClock()
        self.rows = Rows()
        self.server = server
        self.budgets = [self.another() for _ in range(processes)]

    def another(self) -> RedisBudget:
        return RedisBudget(
            self.server.url, self.clock, self.rows, weights=WEIGHTS, sleep=self._sleep
        )

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(max(1, round(seconds * 1000)))

    def take(self, process: int, weight: int, purpose: Purpose, timeout: float = 0.0) -> None:
        self.budgets[process].acquire("binance", weight, purpose, timeout)


@pytest.fixture
def world(server: RedisServer) -> Iterator[World]:
    made = World(server)
    yield made
    for budget in made.budgets:
        budget.close()


def test_what_one_process_takes_is_gone_for_the_others(world: World) -> None:
    world.take(0, 30, DATA)
    world.take(1, 30, DATA)
    for process in (0, 1):
        with pytest.raises(BudgetExhausted) as refused:
            world.take(process, 1, DATA)
        assert refused.value.retry_at == START_MS + MINUTE
    world.take(0, 20, ORDER)
    with pytest.raises(BudgetExhausted):
        world.take(1, 1, ORDER)
    world.take(1, 20, CANCEL)
    with pytest.raises(BudgetExhausted):
        world.take(0, 1, CANCEL)
    world.take(0, 10, DATA, timeout=60.0)
    assert world.clock.now >= START_MS + MINUTE


def test_a_request_heavier_than_its_share_passes_in_an_unused_minute(world: World) -> None:
    world.take(0, 80, DATA)
    with pytest.raises(BudgetExhausted):
        world.take(1, 1, ORDER)


def test_the_venues_own_count_is_known_to_all(world: World) -> None:
    world.budgets[0].correct("binance", 60)
    with pytest.raises(BudgetExhausted):
        world.take(1, 1, DATA)
    world.budgets[1].correct("binance", 2)  # requests are on their way: not believed
    with pytest.raises(BudgetExhausted):
        world.take(0, 1, DATA)


def test_a_429_of_one_holds_all(world: World) -> None:
    world.budgets[0].back_off("binance", START_MS + 3_000)
    for purpose in Purpose:
        with pytest.raises(RateLimited) as refused:
            world.take(1, 1, purpose)
        assert refused.value.retry_after_ms == 3_000
    world.clock.advance(3_000)
    world.take(1, 1, DATA)


def test_a_clock_that_is_set_back_prolongs_no_pause_and_no_ban_ends_early(world: World) -> None:
    world.budgets[0].back_off("binance", START_MS + 5_000)
    world.clock.step(-3_600_000)
    for process in (0, 1, 0):
        with pytest.raises(RateLimited):
            world.take(process, 1, CANCEL)
    world.clock.advance(5_000)
    world.take(0, 1, CANCEL)
    world.take(1, 1, CANCEL)
    world.budgets[0].ban("binance", world.clock.now_ms() + 120_000, "HTTP 418")
    world.clock.step(-3_600_000)
    world.clock.advance(121_000)
    with pytest.raises(VenueBanned):
        world.take(1, 1, CANCEL)


def test_a_ban_of_one_stops_all_at_once(world: World) -> None:
    world.take(1, 1, DATA)
    world.budgets[0].ban("binance", START_MS + 120_000, "HTTP 418")
    for process in (0, 1):
        with pytest.raises(VenueBanned) as refused:
            world.take(process, 1, CANCEL, timeout=600.0)
        assert refused.value.until_ms == START_MS + 120_000
    assert world.rows.kept == {"binance": START_MS + 120_000}
    world.budgets[1].ban("binance", START_MS + 60_000, "shorter")
    assert world.rows.kept == {"binance": START_MS + 120_000}
    world.clock.advance(120_000)
    assert world.budgets[1].banned_until("binance") is None
    world.take(0, 1, DATA)


def test_a_ban_survives_a_flush_a_dead_redis_and_a_restart(world: World, raw: redis.Redis) -> None:
    """Another process had it written; Redis never heard of it, or forgot."""
    world.take(0, 1, DATA)
    world.rows.save_ban("binance", START_MS + 120_000, "HTTP 418")
    raw.flushall()
    world.clock.advance(1_000)
    with pytest.raises(VenueBanned):
        world.take(0, 1, ORDER)
    restarted = world.another()
    with pytest.raises(VenueBanned):
        restarted.acquire("binance", 1, ORDER, 0.0)
    world.server.kill9()
    world.clock.advance(1_000)
    world.rows.away = True  # what is known goes on
    for budget in (*world.budgets, restarted):
        if budget is not world.budgets[1]:
            with pytest.raises(VenueBanned):
                budget.acquire("binance", 1, CANCEL, 0.0)
    with pytest.raises(ConnectionError):
        world.take(1, 1, ORDER)  # it knows nothing yet, and sends nothing
    restarted.close()


def test_a_flush_hands_out_no_fresh_minute(world: World, raw: redis.Redis) -> None:
    world.take(0, 60, DATA)
    raw.flushall()
    with pytest.raises(BudgetExhausted):
        world.take(0, 1, DATA)
    with pytest.raises(BudgetExhausted):
        world.take(1, 1, DATA)


@pytest.mark.parametrize(
    "garbage",
    [
        {"used": "nonsense", "minute": "x"},
        {"used": "1e300", "back_off": "1e300", "ban": "inf", "minute": "nan"},
        {"used": "-5", "ban": "9999999999999999"},
    ],
)
def test_garbage_in_redis_blocks_nobody(
    world: World, raw: redis.Redis, garbage: dict[str, str]
) -> None:
    raw.hset("budget:binance", mapping=garbage)  # type: ignore[arg-type]
    world.take(0, 30, DATA)
    raw.delete("budget:binance")
    raw.set("budget:binance", "a string")
    world.take(1, 30, DATA)
    with pytest.raises(BudgetExhausted):
        world.take(0, 31, DATA)


def test_clocks_that_differ_by_a_second_share_a_minute(world: World) -> None:
    world.clock.now += MINUTE - 500
    world.take(0, 60, DATA)
    world.clock.now += 1_000
    world.take(0, 60, DATA)  # the next minute, for the process whose clock is ahead
    world.clock.now -= 1_000
    with pytest.raises(BudgetExhausted):
        world.take(1, 1, DATA)


def test_without_redis_orders_and_cancels_go_on_and_data_slow_down(
    world: World, server: RedisServer
) -> None:
    """Data have used up their share when Redis dies, in the middle of the minute."""
    world.take(0, 60, DATA)
    server.kill9()
    for _ in range(20):
        world.take(0, 1, ORDER)
        world.take(1, 1, ORDER)
    for _ in range(20):
        world.take(0, 1, CANCEL)
    with pytest.raises(BudgetExhausted):
        world.take(0, 1, DATA)
    world.clock.advance(MINUTE)
    world.take(0, 10, DATA)
    with pytest.raises(BudgetExhausted):
        world.take(0, 1, DATA)
    server.start()

    def shared() -> bool:
        world.take(0, 0, CANCEL)
        with redis.Redis.from_url(server.url) as client:
            return client.hget("budget:binance", "used") == b"10"

    until(shared, what="Redis has the count again")
    world.take(1, 50, DATA)
    with pytest.raises(BudgetExhausted):
        world.take(0, 1, DATA)


def test_a_frozen_redis_holds_an_order_for_a_moment_only(world: World, server: RedisServer) -> None:
    world.take(0, 1, ORDER)
    os.kill(server.pid, signal.SIGSTOP)
    done = threading.Event()

    def orders() -> None:
        for _ in range(40):
            world.take(0, 1, ORDER)
        done.set()

    try:
        threading.Thread(target=orders, daemon=True).start()
        assert done.wait(10), "forty orders passed while Redis slept"
    finally:
        os.kill(server.pid, signal.SIGCONT)


def _spend(url: str, seed: int, results: Any) -> None:
    """One of many that share an address: takes what it can get within a minute."""
    dice = random.Random(seed)
    clock = ManualClock()
    budget = RedisBudget(url, clock, Rows(), weights=WEIGHTS, sleep=lambda _s: None)
    taken = []
    for _ in range(60):
        clock.now = START_MS + dice.randrange(MINUTE)
        purpose, weight = dice.choice(list(Purpose)), dice.randint(1, 7)
        try:
            budget.acquire("binance", weight, purpose, 0.0)
        except BudgetExhausted:
            continue
        taken.append((purpose.value, weight))
    budget.close()
    results.put(taken)


def _all_spent(server: RedisServer, results: Any, count: int) -> None:
    taken = [each for _ in range(count) for each in results.get(timeout=100)]
    total = sum(weight for _, weight in taken)
    assert 94 <= total <= 100
    assert sum(weight for purpose, weight in taken if purpose == DATA.value) <= 60
    with redis.Redis.from_url(server.url) as client:
        assert int(client.hget("budget:binance", "used")) == total  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(8))
def test_many_together_never_take_more_than_there_is(server: RedisServer, seed: int) -> None:
    """Budgets that share Redis alone: the sum is bounded for any interleaving, and used up."""
    results: queue.Queue[Any] = queue.Queue()
    spenders = [
        threading.Thread(target=_spend, args=(server.url, seed * 100 + number, results))
        for number in range(6)
    ]
    for each in spenders:
        each.start()
    _all_spent(server, results, len(spenders))
    for each in spenders:
        each.join(20)


@pytest.mark.slow
def test_so_do_real_processes(server: RedisServer) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    spenders = [context.Process(target=_spend, args=(server.url, seed, results)) for seed in (1, 2)]
    for each in spenders:
        each.start()
    _all_spent(server, results, len(spenders))
    for each in spenders:
        each.join(20)
