"""Market time of each venue, and the latest prices."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from app.adapters.market_clock import SimulatorTime, VenueClocks
from app.adapters.prices import InProcessPriceCache
from app.core.errors import Unavailable
from app.core.market.quotes import MarketData
from tests.support.record import START_MS, ManualClock


class Simulator:
    """Answers ``/control/clock``; counts how often it was asked."""

    def __init__(self) -> None:
        self.market_ms: object = 1_000
        self.asked: list[str] = []

    def get(self, url: str) -> bytes:
        self.asked.append(url)
        if self.market_ms is None:
            raise ConnectionRefusedError
        return json.dumps({"market_ms": self.market_ms, "mode": "stepped"}).encode()


def test_the_simulators_clock_is_asked_at_most_every_50_ms() -> None:
    simulator, clock = Simulator(), ManualClock()
    time = SimulatorTime("http://127.0.0.1:1/", clock, simulator.get)
    assert time.now_ms() == 1_000
    simulator.market_ms = 2_000
    clock.advance(50)
    assert time.now_ms() == 1_000
    clock.advance(1)
    assert time.now_ms() == 2_000
    assert simulator.asked == ["http://127.0.0.1:1/control/clock"] * 2


def test_after_a_step_the_clock_is_read_anew() -> None:
    simulator, clock = Simulator(), ManualClock()
    clocks = VenueClocks({"binance": SimulatorTime("http://127.0.0.1:1", clock, simulator.get)})
    assert clocks.now_ms("binance") == 1_000
    simulator.market_ms = 61_000
    clocks.refresh("binance")
    assert clocks.now_ms("binance") == 61_000


@pytest.mark.parametrize("answer", [None, "1000", 1.5, -1, 2**60, True, [1]])
def test_a_clock_that_makes_no_sense_is_unavailable(answer: object) -> None:
    simulator = Simulator()
    simulator.market_ms = answer
    time = SimulatorTime("http://127.0.0.1:1", ManualClock(), simulator.get)
    with pytest.raises(Unavailable, match="simulator"):
        time.now_ms()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"{}", b"\xff"])
def test_a_clock_that_answers_something_else_is_unavailable(body: bytes) -> None:
    time = SimulatorTime("http://127.0.0.1:1", ManualClock(), lambda _: body)
    with pytest.raises(Unavailable):
        time.now_ms()


def test_a_venue_that_is_not_set_up_has_no_time() -> None:
    with pytest.raises(Unavailable, match="kraken"):
        VenueClocks({}).now_ms("kraken")


def price(timestamp: int, value: str, symbol: str = "BTC/USDT") -> MarketData:
    return MarketData("binance", symbol, timestamp, Decimal(value), None, None, None)


def test_an_older_price_does_not_replace_a_newer_one() -> None:
    cache = InProcessPriceCache()
    assert cache.get("binance", "BTC/USDT") is None
    cache.put(price(START_MS, "100"))
    cache.put(price(START_MS - 1, "99"))
    assert cache.get("binance", "BTC/USDT") == price(START_MS, "100")
    cache.put(price(START_MS, "101"))
    assert cache.get("binance", "BTC/USDT") == price(START_MS, "101")
    assert cache.get("binance", "ETH/USDT") is None
    assert cache.get("okx", "BTC/USDT") is None


def test_a_price_of_next_year_gives_way_after_ten_seconds() -> None:
    now = [0.0]
    cache = InProcessPriceCache(lambda: now[0])
    cache.put(price(START_MS + 365 * 86_400_000, "1.23"))
    now[0] = 9.9
    cache.put(price(START_MS, "100"))
    assert cache.get("binance", "BTC/USDT") == price(START_MS + 365 * 86_400_000, "1.23")
    now[0] = 10
    cache.put(price(START_MS, "100"))
    assert cache.get("binance", "BTC/USDT") == price(START_MS, "100")


def test_the_clock_of_a_venue_is_made_when_it_is_asked_for() -> None:
    made: list[str] = []

    class Time:
        def now_ms(self) -> int:
            return 7

        def refresh(self) -> None:
            """Nothing is kept."""

    def make(exchange: str) -> Time:
        made.append(exchange)
        return Time()

    clocks = VenueClocks({}, make)
    assert made == []
    assert [clocks.now_ms("kraken"), clocks.now_ms("kraken"), clocks.now_ms("okx")] == [7, 7, 7]
    assert made == ["kraken", "okx"]
