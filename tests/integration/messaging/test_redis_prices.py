"""Live prices over a real Redis: newest wins, and Redis may do what it likes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import redis

from app.adapters.prices import InProcessPriceCache
from app.adapters.redis_prices import RedisPrices, text_of
from app.core.market.quotes import MarketData
from tests.support.servers import RedisServer
from tests.support.waiting import until

KEY = "price:binance:BTC/USDT"
NOW = 1_772_323_200_000


def price(at: int, last: str = "65000.10000000", symbol: str = "BTC/USDT") -> MarketData:
    return MarketData(
        exchange="binance",
        symbol=symbol,
        timestamp=NOW + at,
        price=Decimal(last),
        bid=Decimal("64999.99"),
        ask=None,
        volume_24h=Decimal("0.000000010000000001"),
    )


@pytest.fixture
def server(redis_server: RedisServer) -> Iterator[RedisServer]:
    redis_server.start()
    yield redis_server
    redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()


@pytest.fixture
def raw(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
def processes(server: RedisServer) -> Iterator[tuple[RedisPrices, RedisPrices]]:
    """Two that share a Redis and nothing else."""
    both = RedisPrices(server.url), RedisPrices(server.url)
    yield both
    for each in both:
        each.close()


Both = tuple[RedisPrices, RedisPrices]


def test_a_price_reaches_the_other_process_exactly(processes: Both, raw: redis.Redis) -> None:
    here, there = processes
    assert there.get("binance", "BTC/USDT") is None
    here.put(price(0))
    assert until(lambda: there.get("binance", "BTC/USDT")) == price(0)
    assert 0 < int(raw.pttl(KEY)) <= 300_000  # type: ignore[arg-type]
    assert b'"65000.10000000"' in raw.get(KEY)  # type: ignore[operator]


def test_a_late_writer_never_moves_a_price_back(processes: Both, raw: redis.Redis) -> None:
    here, there = processes
    here.put(price(1_000, "2"))
    until(lambda: raw.get(KEY))
    there.put(price(999, "1"))  # it does not know of the newer one
    there.put(price(0, "7", "ETH/USDT"))  # written after it, on the same thread
    until(lambda: raw.get("price:binance:ETH/USDT"))
    assert b'"2"' in raw.get(KEY)  # type: ignore[operator]
    assert until(lambda: there.get("binance", "BTC/USDT") == price(1_000, "2"))


def test_ticks_reach_who_listens_once_and_in_order(processes: Both) -> None:
    here, there = processes
    heard: list[MarketData] = []
    failed = threading.Event()

    def fail(_price: MarketData) -> None:
        failed.set()
        raise RuntimeError("a listener of somebody else")

    there.subscribe("binance", "BTC/USDT", fail)
    stop = there.subscribe("binance", "BTC/USDT", heard.append)
    for at in range(50):
        here.put(price(at, str(at + 1)))
        here.put(price(at, "5", "ETH/USDT"))
    until(lambda: heard and heard[-1] == price(49, "50"))
    stamps = [each.timestamp for each in heard]
    assert stamps == sorted(set(stamps)), "conflated, never doubled or back"
    assert {each.symbol for each in heard} == {"BTC/USDT"}
    assert failed.is_set()
    stop()
    count = len(heard)
    here.put(price(100, "100"))
    until(lambda: there.get("binance", "BTC/USDT") == price(100, "100"))
    assert len(heard) == count


def test_a_listener_hears_its_own_process_without_redis(server: RedisServer) -> None:
    alone: Any
    for alone in (RedisPrices(server.url), InProcessPriceCache()):
        server.kill9()
        heard: list[MarketData] = []
        alone.subscribe("binance", "BTC/USDT", heard.append)
        alone.put(price(5))
        alone.put(price(4))
        assert heard == [price(5)]
        if isinstance(alone, RedisPrices):
            alone.close()


def test_listening_goes_on_after_redis_was_killed(processes: Both, server: RedisServer) -> None:
    here, there = processes
    heard: list[MarketData] = []
    there.subscribe("binance", "BTC/USDT", heard.append)
    server.kill9()
    server.start()
    at = iter(range(1, 100_000))

    def ticked() -> bool:
        here.put(price(next(at)))
        return bool(heard)

    until(ticked, what="a tick after the restart")


@pytest.mark.parametrize(
    "garbage",
    [
        b"garbage",
        b"[]",
        b"\xff\xfe",
        b'{"exchange": "binance"}',
        b'{"exchange":"binance","symbol":"BTC/USDT","timestamp":1,"price":"NaN",'
        b'"bid":null,"ask":null,"volume_24h":null}',
        b'{"exchange":"binance","symbol":"BTC/USDT","timestamp":1,"price":1.5,'
        b'"bid":null,"ask":null,"volume_24h":null}',
        b'{"exchange":"binance","symbol":"ETH/USDT","timestamp":1,"price":"1",'
        b'"bid":null,"ask":null,"volume_24h":null}',
        b"[" * 100_000,
    ],
)
def test_garbage_is_a_miss_and_the_next_price_replaces_it(
    processes: Both, raw: redis.Redis, garbage: bytes
) -> None:
    here, there = processes
    raw.set(KEY, garbage)
    assert there.get("binance", "BTC/USDT") is None
    here.put(price(0))
    assert until(lambda: there.get("binance", "BTC/USDT")) == price(0)


def test_a_price_of_next_year_gives_way_to_the_present_one(
    server: RedisServer, raw: redis.Redis
) -> None:
    """Well formed, so nobody can tell it from one that is early; ten seconds later anybody can."""
    now = [100.0]
    here = RedisPrices(server.url, lambda: now[0])
    try:
        here.put(price(365 * 86_400_000, "1.23"))
        until(lambda: raw.get(KEY))
        here.put(price(0, "2"))
        assert here.get("binance", "BTC/USDT") == price(365 * 86_400_000, "1.23")
        now[0] += 10
        raw.pexpire(KEY, 289_000)  # as after the same time
        here.put(price(1, "3"))
        assert here.get("binance", "BTC/USDT") == price(1, "3")
        until(lambda: b'"3"' in (raw.get(KEY) or b""))  # type: ignore[operator]
    finally:
        here.close()


def test_what_redis_holds_of_long_ago_takes_no_later_price_s_place(
    server: RedisServer, raw: redis.Redis
) -> None:
    now = [100.0]
    here = RedisPrices(server.url, lambda: now[0])
    try:
        here.put(price(1_000, "2"))
        until(lambda: raw.get(KEY))
        raw.set(KEY, text_of(price(0, "1")))
        now[0] += 60
        assert here.get("binance", "BTC/USDT") == price(1_000, "2")
    finally:
        here.close()


def test_a_key_of_another_type_is_replaced(processes: Both, raw: redis.Redis) -> None:
    here, there = processes
    raw.lpush(KEY, "x")
    assert there.get("binance", "BTC/USDT") is None
    here.put(price(0))
    assert until(lambda: there.get("binance", "BTC/USDT")) == price(0)


def test_a_flush_loses_nothing_that_a_process_saw(processes: Both, raw: redis.Redis) -> None:
    here, _ = processes
    here.put(price(0))
    until(lambda: raw.get(KEY))
    raw.flushall()
    for _ in range(15):  # beyond the moment in which Redis is not asked
        assert here.get("binance", "BTC/USDT") == price(0)
        time.sleep(0.02)


def _slowest(prices: RedisPrices, symbol: str, seconds: float) -> float:
    """The longest of many reads within some time."""
    end, longest = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        begun = time.monotonic()
        prices.get("binance", symbol)
        longest = max(longest, time.monotonic() - begun)
        time.sleep(0.01)
    return longest


@pytest.mark.parametrize("trouble", ["frozen", "killed", "read-only"])
def test_a_redis_in_trouble_costs_a_moment_and_no_price(
    processes: Both, server: RedisServer, raw: redis.Redis, trouble: str
) -> None:
    here, there = processes
    here.put(price(0))
    until(lambda: there.get("binance", "BTC/USDT"))
    if trouble == "frozen":
        os.kill(server.pid, signal.SIGSTOP)
    elif trouble == "killed":
        server.kill9()
    else:
        raw.replicaof("127.0.0.1", "1")
    try:
        # The machine's own noise is in it: one step of 40 ms, and not the seconds of a hang.
        assert _slowest(there, "BTC/USDT", 1.5) < 0.5
        assert _slowest(there, "never seen", 0.5) < 0.5
        begun = time.monotonic()
        for at in range(100):
            here.put(price(1_000 + at))
        assert time.monotonic() - begun < 0.5, "a put never waits"
        assert here.get("binance", "BTC/USDT") == price(1_099)
        assert there.get("binance", "BTC/USDT") is not None
    finally:
        if trouble == "frozen":
            os.kill(server.pid, signal.SIGCONT)
        elif trouble == "killed":
            server.start()
        else:
            raw.replicaof("NO", "ONE")
    at = iter(range(2_000, 1_000_000))

    def shared() -> bool:
        here.put(price(next(at)))
        found = there.get("binance", "BTC/USDT")
        return found is not None and found.timestamp >= NOW + 2_000

    until(shared, what="prices are shared again")


def _put_in_child(prices: RedisPrices, at: int) -> None:
    prices.put(price(at))
    prices.close()


def test_a_forked_child_writes_and_its_parent_goes_on(processes: Both) -> None:
    here, there = processes
    here.put(price(0))
    until(lambda: there.get("binance", "BTC/USDT"))
    child = multiprocessing.get_context("fork").Process(target=_put_in_child, args=(here, 50))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    until(lambda: there.get("binance", "BTC/USDT") == price(50))
    here.put(price(60))
    until(lambda: there.get("binance", "BTC/USDT") == price(60))
