"""A process of the full stack: what it shares with others, how it ends, and what a fork takes."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import kombu
import pytest

from app.adapters.celery_queue import CeleryQueue, NoQueue, make_celery
from app.adapters.rabbit_dead_letters import RabbitDeadLetters
from app.cli.main import run
from app.config import Settings
from app.core.market.quotes import MarketData
from app.repositories.migrating import upgrade
from app.wiring import Container
from tests.integration.messaging.conftest import ProvisionedRabbitMQ
from tests.support.servers import RedisServer
from tests.support.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.redis, pytest.mark.slow]
PRICE = MarketData("binance", "BTC/USDT", 1_772_323_200_000, Decimal(65_000), None, None, None)


@pytest.fixture
def settings(broker: ProvisionedRabbitMQ, redis_server: RedisServer, tmp_path: Path) -> Settings:
    redis_server.start()
    return Settings(
        environment="testing",
        data_dir=tmp_path,
        broker_url=broker.url,
        redis_url=redis_server.url,
    )


def build(settings: Settings) -> Container:
    return Container(settings, CeleryQueue(make_celery(settings.broker_url)))


@pytest.fixture
def parts(settings: Settings) -> Iterator[Container]:
    container = build(settings)
    upgrade(container.engine)
    yield container
    container.close()


def test_two_processes_share_events_prices_and_budget(settings: Settings, parts: Container) -> None:
    other = build(settings)
    heard: list[str] = []
    other.bus.subscribe("system.#", lambda topic, _body: heard.append(topic))
    parts.units.run(lambda unit: unit.emit("system.test.x", {"schema": "test.v1"}))
    until(lambda: heard == ["system.test.x"])
    parts.prices.put(PRICE)
    until(lambda: other.prices.get("binance", "BTC/USDT") == PRICE)
    until_ms = parts.clock.now_ms() + 60_000
    parts.budget.ban("okx", until_ms, "418")
    assert other.budget.banned_until("okx") == until_ms
    other.close()


def test_closing_marks_what_was_sent_and_leaves_no_thread(settings: Settings) -> None:
    before = set(threading.enumerate())
    container = build(settings)
    upgrade(container.engine)
    container.start_background()
    container.bus.subscribe("#", lambda _topic, _body: None)
    container.prices.subscribe("binance", "BTC/USDT", lambda _price: None)
    container.prices.put(PRICE)
    assert container.queue.publish("alerts.nothing", "1")
    container.units.run(lambda unit: unit.emit("system.test.x", {"schema": "test.v1"}))
    container.close()
    until(lambda: set(threading.enumerate()) <= before, 10, "its threads have ended")
    again = build(settings)
    with again.units.read() as unit:
        assert unit.outbox.backlog() == 0
    again.close()
    with kombu.Connection(settings.broker_url) as connection:
        connection.default_channel.queue_purge("alerts")


def _child(container: Container, path: Path) -> None:
    """What a prefork child does that was handed its parent's parts."""
    told = container.queue.publish("alerts.nothing", "child")
    container.bus.publish("system.test.child", {"schema": "test.v1"})
    path.write_text(str(told))
    os._exit(0)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(
    settings: Settings, parts: Container, tmp_path: Path
) -> None:
    heard: list[str] = []
    parts.bus.subscribe("system.#", lambda topic, _body: heard.append(topic))
    assert parts.queue.publish("alerts.nothing", "parent")
    parts.bus.publish("system.test.parent", {"schema": "test.v1"})
    path = tmp_path / "told"
    child = multiprocessing.get_context("fork").Process(target=_child, args=(parts, path))
    child.start()
    child.join(30)
    assert path.read_text() == "True"
    assert parts.queue.publish("alerts.nothing", "parent")
    parts.bus.publish("system.test.later", {"schema": "test.v1"})
    until(lambda: heard == ["system.test.parent", "system.test.child", "system.test.later"])
    with kombu.Connection(settings.broker_url) as connection:
        connection.default_channel.queue_purge("alerts")


def _cli(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(["system", "dead-letters", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_dead_letters_from_the_command_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    letters = RabbitDeadLetters(settings.broker_url)
    letters.drop({letter.id for letter in letters.all()})
    for name in ("environment", "data_dir", "broker_url"):
        monkeypatch.setenv(f"TIDEMARK_{name.upper()}", str(getattr(settings, name)))
    assert "No dead letters" in _cli(capsys, "list")[1]
    with kombu.Connection(settings.broker_url) as connection:
        for order in ("order-1", "order-2"):
            connection.Producer().publish(
                json.dumps([[order], {}, {}]).encode(),
                exchange="tidemark.dead",
                routing_key="alerts",
                content_type="application/json",
                content_encoding="utf-8",
                headers={"task": "alerts.send", "id": order},
            )
    until(lambda: len(letters.all()) == 2)
    code, out, _ = _cli(capsys, "list", "--json")
    first, second = json.loads(out)["data"]
    assert code == 0
    assert (first["task"], first["ids"], first["queue"]) == ("alerts.send", ["order-1"], "alerts")
    assert "order-2" in _cli(capsys, "list")[1]
    assert _cli(capsys, "drop")[0] == 2
    assert _cli(capsys, "drop", "--all")[0] == 2
    assert _cli(capsys, "drop", first["id"], "unheard-of")[0] == 2
    assert len(letters.all()) == 2, "nothing was done"
    code, out, _ = _cli(capsys, "requeue", first["id"], "--json")
    assert (code, json.loads(out)) == (0, {"requeued": [first["id"]]})
    with kombu.Connection(settings.broker_url) as connection:
        back = until(lambda: connection.default_channel.basic_get("alerts", no_ack=True))
    assert json.loads(back.body)[0] == ["order-1"]
    code, out, _ = _cli(capsys, "drop", "--all", "--yes", "--json")
    assert (code, json.loads(out)) == (0, {"dropped": [second["id"]]})
    assert letters.all() == []


def test_an_embedded_installation_says_that_it_keeps_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEMARK_DATA_DIR", str(tmp_path))
    assert "embedded queue keeps no dead letters" in _cli(capsys, "list")[1]
    code, _, err = _cli(capsys, "requeue", "--all")
    assert code == 1
    assert "embedded queue keeps no dead letters" in err
    assert Container(Settings(data_dir=tmp_path), NoQueue()).dead_letters.all() == []
