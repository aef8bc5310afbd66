"""One budget over several addresses, shared by processes over a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import redis

from app.adapters.redis_budget import RedisBudget
from app.core.exchanges.errors import BudgetExhausted
from app.core.ports import OWN, Purpose
from tests.support.budget_cases import (
    DATA,
    BudgetCases,
    BudgetWorld,
    WorldMaker,
    any_sequence,
    check_sequence,
)
from tests.support.record import START_MS
from tests.support.servers import RedisServer


@pytest.fixture
def make_world(redis_server: RedisServer) -> Iterator[WorldMaker]:
    redis_server.start()
    made: list[RedisBudget] = []

    def budget(*args: object, **options: object) -> RedisBudget:
        made.append(RedisBudget(redis_server.url, *args, **options))  # type: ignore[arg-type]
        return made[-1]

    def world(polite: tuple[str, ...] = ()) -> BudgetWorld:
        with redis.Redis.from_url(redis_server.url) as client:
            client.flushall()
        return BudgetWorld(budget, polite)

    yield world
    for each in made:
        each.close()
    redis_server.start()


class TestOverRedis(BudgetCases):
    """The cases, over Redis."""


@any_sequence
def test_no_sequence_takes_more_than_a_minute_or_a_short_window_holds(
    make_world: WorldMaker,
    offset: int,
    steps: list[tuple[int, int, Purpose]],
    addresses: tuple[str, ...],
) -> None:
    check_sequence(make_world(), offset, steps, addresses)


def test_processes_share_the_pace_of_each_address(make_world: WorldMaker) -> None:
    world = make_world(("gate",))
    other = world.another()
    world.take(4, exchange="okx", addresses=("one",))
    assert other.take("okx", 4, DATA, "one") is not None
    assert other.take("okx", 4, DATA, "two") is None
    world.take(exchange="gate", addresses=(OWN,))
    wait = other.take("gate", 1, DATA)
    assert wait is not None
    assert wait.ready_at == START_MS + 3_000
    # Whoever asks with nothing to send leaves the marks where they are.
    other.correct("okx", 4, "one")
    other.correct("gate", 1)
    assert other.take("okx", 4, DATA, "one") is not None
    assert other.take("gate", 1, DATA) is not None


def test_without_redis_an_address_that_was_banned_stays_polite(
    make_world: WorldMaker, redis_server: RedisServer
) -> None:
    world = make_world()
    world.budget.ban("binance", START_MS + 1_000, "HTTP 418", "one")
    world.clock.advance(2_000)
    redis_server.kill9()
    ask = partial(world.take, exchange="binance", addresses=("one",))
    assert ask() == "one"
    with pytest.raises(BudgetExhausted) as refused:
        ask()
    assert refused.value.retry_after_ms == 30_000
    world.take(addresses=("two",))
    world.take(addresses=("two",))
