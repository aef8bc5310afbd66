"""RabbitMQ dead, frozen, or blocking its publishers: nobody waits, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kombu
import pytest
from sqlalchemy import Engine

from app.adapters.celery_queue import CeleryQueue, make_celery
from app.adapters.rabbit_bus import RabbitBus
from app.core.errors import InvalidInput, Unavailable
from app.core.events import topic
from app.repositories.unit import Units
from app.services.outbox import OutboxPublisher, OutboxRelay
from tests.integration.messaging.conftest import ProvisionedRabbitMQ, worker
from tests.support.freezing import frozen
from tests.support.record import Hints, ManualClock, record
from tests.support.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
# One caller may wait two seconds for a confirm; the rest is this machine's noise.
ONE_WAIT_S = 4.0


@pytest.fixture(scope="module")
def broken() -> Iterator[ProvisionedRabbitMQ]:
    """A broker that these stories may break, with its queues long declared.

    RabbitMQ 3.10 cannot read a quorum queue again that it made less than some seconds before
    it was killed.
    """
    with ProvisionedRabbitMQ() as server:
        queue = CeleryQueue(make_celery(server.url))
        assert queue.publish("orders.send", "first")
        queue.close()
        time.sleep(6)
        yield server


@contextmanager
def trouble(server: ProvisionedRabbitMQ, kind: str) -> Iterator[None]:
    """The broker in trouble, and well again."""
    if kind == "frozen":
        with frozen(server.pid):
            yield
        return
    if kind == "killed":
        server.kill9()
    elif kind == "disk alarm":
        server.control("set_disk_free_limit", "900000GB")
    else:
        server.control("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        yield
    finally:
        if kind == "killed":
            server.start()
        elif kind == "disk alarm":
            server.control("set_disk_free_limit", "50MB")
        else:
            server.control("set_vm_memory_high_watermark", "0.6")


TROUBLES = ("killed", "frozen", "disk alarm", "memory alarm")


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the seconds it took."""
    begun = time.monotonic()
    result = work()
    return result, time.monotonic() - begun


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_broker_in_trouble_costs_one_wait_and_then_nothing(
    broken: ProvisionedRabbitMQ, kind: str
) -> None:
    queue = CeleryQueue(make_celery(broken.url))
    until(lambda: queue.publish("orders.send", "before"))
    with trouble(broken, kind):

        def noticed() -> bool:
            taken, seconds = timed(lambda: queue.publish("orders.send", "during"))
            assert seconds < ONE_WAIT_S
            return not taken

        # An alarm is known to the broker's connections a moment after it was raised.
        until(noticed, what="the first refusal")
        results = [timed(lambda: queue.publish("orders.send", "during")) for _ in range(50)]
        assert not any(taken for taken, _ in results)
        assert sum(seconds for _, seconds in results) < ONE_WAIT_S, "fifty refusals cost nothing"
    until(lambda: queue.publish("orders.send", "after"), 60, "hints are taken again")
    queue.close()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with record(database_url) as made:
        yield made


def _unsent(units: Units) -> int:
    with units.read() as unit:
        return unit.outbox.backlog()


def _emit(units: Units, numbers: range) -> None:
    for number in numbers:
        with units.write() as unit:
            unit.emit(topic("orders", "new", "binance"), {"schema": "t.v1", "number": number})


def test_every_event_of_a_committed_unit_is_heard_though_the_broker_was_killed(
    broken: ProvisionedRabbitMQ, engine: Engine
) -> None:
    """Straight after commit where the broker takes it, by the relay where it did not."""
    bus, clock = RabbitBus(broken.url), ManualClock()
    publisher = OutboxPublisher(bus)
    units = Units(engine, clock, Hints(), publisher)
    relay = OutboxRelay(units, bus, clock, "relay-1")
    heard: list[int] = []
    bus.subscribe("orders.#", lambda _topic, body: heard.append(body["number"]))
    _emit(units, range(100))
    until(lambda: heard == list(range(100)), what="a hundred events in order")
    until(lambda: publisher.pending() == 100)
    publisher.flush(units)
    assert _unsent(units) == 0

    with trouble(broken, "killed"):
        _, seconds = timed(lambda: _emit(units, range(100, 150)))
        assert seconds < 20, "a commit does not wait for the bus"
        clock.advance(5_000)
        assert relay.relay() == 0
        publisher.flush(units)
        assert _unsent(units) == 50

    def heard_again() -> bool:  # the listener has a new queue
        _emit(units, range(1_000, 1_001))
        return 1_000 in heard

    until(heard_again, 60, "the listener is back")

    def relayed() -> bool:
        publisher.flush(units)
        clock.advance(2_000)
        relay.relay()
        return _unsent(units) == 0

    until(relayed, what="everything was relayed")
    until(lambda: set(range(150)) <= set(heard), what="the fifty are heard")
    bus.close()


def test_what_waits_for_a_confirm_raises_where_none_comes(broken: ProvisionedRabbitMQ) -> None:
    bus = RabbitBus(broken.url)
    bus.publish("system.test.a", {"schema": "t.v1"})
    with trouble(broken, "frozen"):
        with pytest.raises(Unavailable):
            bus.publish("system.test.a", {"schema": "t.v1"})
        with pytest.raises(Unavailable):
            bus.offer("system.test.a", {"schema": "t.v1"}, lambda: None)
    bus.close()


def test_an_event_too_big_for_the_broker_is_refused_and_harms_no_other(
    broken: ProvisionedRabbitMQ,
) -> None:
    bus = RabbitBus(broken.url)
    bus.publish("system.test.a", {"schema": "t.v1"})
    with pytest.raises(InvalidInput, match="beyond"):
        bus.publish("system.test.a", {"schema": "t.v1", "film": "x" * 2_000_000})
    with pytest.raises(InvalidInput, match="beyond"):
        bus.publish("system." + "x" * 300, {"schema": "t.v1"})
    bus.publish("system.test.a", {"schema": "t.v1"})
    bus.close()


def test_a_failing_handler_disturbs_nobody_and_garbage_is_left_out(
    broken: ProvisionedRabbitMQ,
) -> None:
    bus, other = RabbitBus(broken.url), RabbitBus(broken.url)
    heard: list[str] = []

    def fail(_topic: str, _body: dict[str, Any]) -> None:
        raise RuntimeError("a listener of somebody else")

    other.subscribe("#", fail)
    stop = other.subscribe("market.*.binance.#", lambda key, _body: heard.append(key))
    with kombu.Connection(broken.url) as connection:
        connection.Producer().publish(
            b"garbage",
            exchange="tidemark.events",
            routing_key="market.kline.binance.x",
            content_type="text/plain",
        )
    bus.publish(topic("market", "kline", "okx", "BTC/USDT"), {"schema": "t.v1"})
    bus.publish(topic("market", "kline", "binance", "BTC.X/USDT"), {"schema": "t.v1"})
    until(lambda: heard == ["market.kline.binance.BTC%2EX/USDT"])
    stop()
    bus.publish(topic("market", "kline", "binance", "A"), {"schema": "t.v1"})
    bus.close()
    other.close()
    assert len(heard) == 1


def test_a_worker_goes_on_after_its_broker_was_killed(
    broken: ProvisionedRabbitMQ, tmp_path: Path
) -> None:
    path = tmp_path / "runs"
    path.touch()
    queue = CeleryQueue(make_celery(broken.url))
    with worker(broken.url, path, "orders") as process:
        until(lambda: queue.publish("orders.send", "before"))
        until(lambda: "orders.send before" in path.read_text(), 60)
        with trouble(broken, "killed"):
            assert process.poll() is None
        until(lambda: queue.publish("orders.send", "after"), 60)
        until(lambda: "orders.send after" in path.read_text(), 90)
        assert process.poll() is None
    queue.close()


def test_a_worker_takes_what_waits_though_the_broker_blocks_its_publishers(
    broken: ProvisionedRabbitMQ, tmp_path: Path
) -> None:
    """Its own events, one each two seconds, wait for no word of a broker whose disk is full."""
    path = tmp_path / "runs"
    path.touch()
    queue = CeleryQueue(make_celery(broken.url))
    with worker(broken.url, path, "orders"):
        for number in range(6):
            until(lambda number=number: queue.publish("orders.slow", str(number)))  # type: ignore[misc]
        until(lambda: "begin" in path.read_text(), 60)
        with trouble(broken, "disk alarm"):
            # Three seconds each, two at a time: it goes on taking them for nine seconds.
            until(lambda: path.read_text().count("\nend ") == 6, 30, "what waits is done")
    queue.close()
