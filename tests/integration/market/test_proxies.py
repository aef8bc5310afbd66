"""Market data by several addresses, over real proxies to the simulated exchange."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from app.adapters.celery_queue import NoQueue
from app.cli.probes import everything
from app.config import Environment, Settings
from app.core.exchanges.errors import ProxyUnreachable
from app.core.exchanges.session import VenueSession
from app.core.exchanges.trading import trade_adapter
from app.core.market.intervals import DAY_MS, MINUTE_MS
from app.core.ports import OWN
from app.services.doctor import examine
from app.wiring import Container
from tests.support.forward_proxy import ForwardProxy
from tests.support.schema import make_tables
from tests.support.simulator import SimulatorProcess

#: 2026-03-01T00:00Z.
NOW: Final = 1_772_323_200_000
KLINES: Final = "/api/v3/klines"


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        seed=7, start="2026-03-01T00:00:00Z", clock="stepped", weight_limit=0
    ) as process:
        yield process


class World:
    """An installation with two proxies in front of the simulated exchange.

    Attributes:
        heard: bodies of events by their topic.
    """

    def __init__(self, simulator: SimulatorProcess, data_dir: Path) -> None:
        self.simulator = simulator
        self.one, self.two = ForwardProxy(), ForwardProxy()
        settings = Settings(
            environment=Environment.TESTING,
            data_dir=data_dir,
            simulator_url=simulator.url,
            proxies=f"http://u:s3cret@{self.one.address}, http://{self.two.address}#two",
        )
        self.parts = Container(settings, NoQueue())
        make_tables(self.parts.engine)
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.parts.bus.subscribe("#", lambda topic, body: self.heard.append((topic, body)))
        self.parts.market_data.sync_instruments("binance")
        self._before = self._klines_served()

    def collect(self, symbol: str, days: int) -> None:
        """A back-fill of minutes, and whether all of them came."""
        service = self.parts.collection
        since = NOW - days * DAY_MS
        name = symbol.partition("/")[0]
        plan = service.plans.create(name, "binance", [symbol], ["1m"], since)
        (job,) = service.start(plan.id)
        while (state := service.run_job(job.id)) == "queued":
            with self.parts.units.read() as unit:
                assert unit.jobs.get(job.id).error is None, "the job was put off"
        assert state == "succeeded"
        with self.parts.units.read() as unit:
            series = unit.klines.find_series("binance", symbol, "1m", "trade")
            assert series is not None
            rows = unit.klines.read_exact(series.id, since, NOW)
        assert [row.open_ts for row in rows] == list(range(since, NOW, MINUTE_MS))

    def klines_by_address(self) -> tuple[int, int, int]:
        """Requests for klines that the venue had, by the own address and by each proxy."""
        passed = [sum(KLINES in url for url, _ in proxy.passed) for proxy in (self.one, self.two)]
        return self._klines_served() - self._before - sum(passed), passed[0], passed[1]

    def told(self, topic: str) -> list[dict[str, Any]]:
        """Events of a topic so far."""
        return [body for found, body in self.heard if found == topic]

    def _klines_served(self) -> int:
        return len(self.simulator.control.requests(path=KLINES))

    def close(self) -> None:
        """End everything."""
        self.parts.close()
        self.one.kill()
        self.two.kill()


@pytest.fixture
def world(simulator: SimulatorProcess, tmp_path: Path) -> Iterator[World]:
    made = World(simulator, tmp_path)
    yield made
    made.close()


def test_a_back_fill_is_spread_evenly_over_three_addresses(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is used is that of the present minute, and a new one may begin before it is asked for.
    stands = world.parts.clock.now_ms()
    monkeypatch.setattr(world.parts.clock, "now_ms", lambda: stands)
    world.collect("BTC/USDT", 10)
    by_address = world.klines_by_address()
    assert sum(by_address) == 15
    assert min(by_address) >= 4
    usage = world.parts.budget.usage("binance", world.parts.addresses.all())
    assert usage.limit == 3 * 6_000
    assert usage.used >= 15 * 2, "a page weighs 2"
    # The first proxy asks for a password.
    assert all("Proxy-Authorization" in headers for _, headers in world.one.passed)


def test_a_418_that_came_by_one_proxy_stops_that_one_alone(world: World) -> None:
    end = world.parts.clock.now_ms() + 120_000
    text = f"Way too much request weight used; IP banned until {end}."
    world.one.answer = (418, orjson.dumps({"code": -1003, "msg": text}))
    world.collect("BTC/USDT", 5)
    own, one, two = world.klines_by_address()
    assert one == 0
    assert own + two == 8
    assert min(own, two) >= 3
    budget = world.parts.budget
    assert budget.banned_until("binance", world.one.address) == end
    assert [budget.banned_until("binance", name) for name in (OWN, "two")] == [None, None]
    assert budget.usage("binance", world.parts.addresses.all()).banned_until is None
    (event,) = world.told("system.ban.binance")
    assert (event["address"], event["until"]) == (world.one.address, end)
    found = {each.component: each for each in examine(everything(world.parts))}
    assert "binance has banned it until 20" in found[f"address {world.one.address}"].detail


def test_a_killed_proxy_is_set_aside_and_the_job_ends_complete(world: World) -> None:
    world.collect("BTC/USDT", 2)
    world.two.kill()
    world.collect("ETH/USDT", 5)
    assert "two" not in world.parts.addresses.offered()
    (alarm,) = world.told("risk.alert.warning")
    assert (alarm["kind"], alarm["proxy"]) == ("proxy-away", "two")
    found = {each.component: each for each in examine(everything(world.parts))}
    assert not found["address two"].ok
    assert found["address own"].ok
    assert not any("s3cret" in each.component + each.detail for each in found.values())
    assert "s3cret" not in str(world.heard)
    world.one.kill()  # and with none of them, the own address goes on
    world.collect("SOL/USDT", 1)


def test_what_is_signed_passes_no_proxy(world: World) -> None:
    account = world.simulator.control.create_account("alice", {"USDT": "10000"})
    keys = {"apiKey": account.api_key, "secret": account.api_secret}
    trade = trade_adapter(
        "binance",
        keys,
        world.parts.budget,
        world.parts.clock,
        base_url=world.simulator.url,
    )
    before = [len(proxy.passed) for proxy in (world.one, world.two)]
    for _ in range(4):
        assert trade.get_balance()
        assert trade.open_orders("BTC/USDT") == []
        # The clock by which requests are signed is measured on the way that they take.
        world.parts.market("binance").server_time_ms()
    assert [len(proxy.passed) for proxy in (world.one, world.two)] == before
    world.collect("BTC/USDT", 1)
    for url, headers in world.one.passed + world.two.passed:
        assert "signature" not in url
        assert "X-MBX-APIKEY" not in headers
    with pytest.raises(ValueError, match="passes no proxy"):
        VenueSession(
            "binance",
            world.parts.budget,
            world.parts.clock,
            credentials=keys,
            addresses=world.parts.addresses,
        )


def test_the_error_of_a_proxy_holds_no_password(world: World) -> None:
    world.one.kill()
    session = world.parts.market("binance")._session  # type: ignore[attr-defined]
    session._local.address, session._local.limit = world.one.address, 1_000
    with pytest.raises(ProxyUnreachable) as refused:
        session._client().fetch("https://api.binance.com/api/v3/time")
    assert refused.value.__cause__ is None
    assert "s3cret" not in str(refused.value)
    assert world.one.address not in world.parts.addresses.offered()
