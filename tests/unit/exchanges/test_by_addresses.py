"""A request for data that one address is refused is sent by another; what is signed is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.adapters.budget import InProcessBudget
from app.core.exchanges.errors import (
    BadVenueAnswer,
    ProxyUnreachable,
    RateLimited,
    VenueBanned,
    VenueRejected,
)
from app.core.exchanges.factory import market_adapter
from app.core.exchanges.markets.generic import GenericMarket
from app.core.exchanges.unified import UnifiedSession
from app.core.ports import OWN
from tests.support.forward_proxy import ForwardProxy
from tests.support.market_edge import Bans
from tests.support.record import START_MS, ManualClock
from tests.support.stub_venue import Reply, StubVenue

TURNOVER = "/api/v3/ticker/24hr"
GOOD = Reply([{"symbol": "BTCUSDT", "quoteVolume": "5"}])
BANNED = Reply({"code": -1003, "msg": "banned"}, 418, {"Retry-After": "120"})
LIMITED = Reply({"code": -1003, "msg": "slow down"}, 429, {"Retry-After": "7"})


class Direct:
    """Three addresses that all lead straight to the venue."""

    def __init__(self) -> None:
        self.names = [OWN, "one", "two"]
        self.worked_by: list[str] = []

    def offered(self) -> list[str]:
        return self.names

    def url(self, address: str) -> str | None:
        return None

    def failed(self, address: str, *, was_reached: bool) -> None:
        raise AssertionError("every address reaches the venue")

    def worked(self, address: str) -> None:
        self.worked_by.append(address)


class Edge:
    """Binance over three addresses."""

    def __init__(self, stub: StubVenue) -> None:
        self.stub = stub
        self.clock = ManualClock()
        self.bans = Bans()
        self.addresses = Direct()
        self.budget = InProcessBudget(self.clock, self.bans, sleep=self._sleep)
        self.market = market_adapter(
            "binance", self.budget, self.clock, base_url=stub.url, addresses=self.addresses
        )

    def turnover(self, *replies: Reply) -> Any:
        """Ask, where the venue gives these answers in order."""
        self.stub.asked.clear()
        self.stub.on("GET", TURNOVER, *replies)
        return self.market.turnover()

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(max(1, round(seconds * 1000)))


@pytest.fixture
def edge() -> Iterator[Edge]:
    with StubVenue() as stub:
        yield Edge(stub)


def test_what_one_is_refused_another_asks_for(edge: Edge) -> None:
    assert edge.turnover(BANNED, LIMITED, GOOD)
    assert len(edge.stub.asked) == 3
    assert edge.bans.saved == [("binance", START_MS + 120_000, "HTTP 418 banned")]
    assert edge.turnover(GOOD)
    assert edge.addresses.worked_by == ["one", "two", "two"]
    edge.clock.advance(7_000)
    edge.turnover(GOOD)
    assert edge.addresses.worked_by[-1] == "one"


def test_when_every_one_is_refused_the_earliest_end_is_told(edge: Edge) -> None:
    later = Reply({"code": -1003, "msg": "banned"}, 418, {"Retry-After": "600"})
    with pytest.raises(VenueBanned) as refused:
        edge.turnover(later, BANNED, later)
    assert len(edge.stub.asked) == 3
    assert refused.value.until_ms == START_MS + 120_000
    scopes = [scope for scope, _, _ in edge.bans.saved]
    assert scopes == ["binance", "binance@one", "binance@two"]


def test_an_address_that_is_asked_to_wait_longest_does_not_hold_the_others(edge: Edge) -> None:
    short = Reply({"code": -1003, "msg": "slow down"}, 429, {"Retry-After": "2"})
    assert edge.turnover(short, BANNED, BANNED, GOOD)
    assert edge.clock.now >= START_MS + 2_000
    assert len(edge.stub.asked) == 4


def test_a_venue_that_goes_on_refusing_is_left_alone(edge: Edge) -> None:
    with pytest.raises(RateLimited):
        edge.turnover(Reply({"code": -1003, "msg": "slow down"}, 429, {"Retry-After": "1"}))
    assert len(edge.stub.asked) <= 4


def test_an_answer_without_sense_is_asked_for_three_times_at_most(edge: Edge) -> None:
    page = Reply(b"<html>who are you?</html>")
    assert edge.turnover(page, page, GOOD)
    with pytest.raises(BadVenueAnswer):
        edge.turnover(page)
    assert len(edge.stub.asked) == 3


def test_a_request_that_is_wrong_is_not_sent_again(edge: Edge) -> None:
    with pytest.raises(VenueRejected):
        edge.turnover(Reply({"code": -1121, "msg": "Invalid symbol."}, 400))
    assert len(edge.stub.asked) == 1


def test_the_venues_clock_is_asked_for_by_the_own_address(edge: Edge) -> None:
    edge.stub.on("GET", "/api/v3/time", Reply({"serverTime": 5}))
    edge.budget.correct("binance", 1_000)
    assert edge.market.server_time_ms() == 5
    assert edge.addresses.worked_by == []


def test_the_venues_count_is_learned_for_the_address_that_asked(edge: Edge) -> None:
    counted = Reply(GOOD.body, headers={"X-MBX-USED-WEIGHT-1M": "900"})
    edge.turnover(counted)
    edge.turnover(GOOD)
    used = [edge.budget.used("binance", name) for name in edge.addresses.names]
    assert used == [900, 80, 0]


def test_the_real_venue_is_reached_through_a_tunnel_of_the_proxy_and_not_past_it() -> None:
    """This proxy makes no tunnels: it is as good as away, and nothing was sent."""
    proxy, failed = ForwardProxy(), []

    class ByProxy(Direct):
        def offered(self) -> list[str]:
            return ["one"]

        def url(self, address: str) -> str | None:
            return f"http://u:s3cret@{proxy.address}"

        def failed(self, address: str, *, was_reached: bool) -> None:
            failed.append((address, was_reached))

    budget = InProcessBudget(ManualClock(), Bans())
    market = market_adapter("binance", budget, ManualClock(), addresses=ByProxy())
    for _ in range(2):  # a tunnel that is refused, then nobody who could refuse it
        with pytest.raises(ProxyUnreachable) as refused:
            market.turnover()
        assert "s3cret" not in str(refused.value)
        proxy.kill()
    assert failed == [("one", False)] * 2
    assert proxy.passed == []


def test_where_ccxt_reads_the_answers_another_asks_as_well(edge: Edge) -> None:
    """Kraken refuses with HTTP 200; only ccxt knows what its words mean."""

    def bind(client: Any) -> None:
        slash = {name: "/" * url.endswith("/") for name, url in client.urls["api"].items()}
        client.urls["api"] = {name: edge.stub.url + end for name, end in slash.items()}

    session = UnifiedSession(
        "kraken", edge.budget, edge.clock, bind=bind, timeout_s=5.0, addresses=edge.addresses
    )
    limited = Reply({"error": ["EAPI:Rate limit exceeded"], "result": {}})
    good = Reply({"error": [], "result": {"unixtime": START_MS // 1000}})
    edge.stub.on("GET", "/0/public/AssetPairs", limited, Reply({"error": [], "result": {}}))
    assert GenericMarket(session).instruments() == []
    assert edge.addresses.worked_by == ["one"]
    edge.clock.advance(60_000)
    edge.stub.on("GET", "/0/public/Time", good)
    assert GenericMarket(session).server_time_ms() == START_MS
    assert edge.addresses.worked_by == ["one"]
