"""The outbox: every committed event is offered until the bus has it, by one relay at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import Engine

from app.core.errors import InvalidInput, Unavailable
from app.repositories.unit import Units
from app.services.outbox import OutboxPublisher, OutboxRelay
from tests.support.record import Events, ManualClock, record, units_over


class Bus:
    """A bus that takes what it is told to, and says so at once or later."""

    def __init__(self) -> None:
        self.away = False
        self.refuses: set[int] = set()
        self.too_large: set[int] = set()
        self.mute = False
        self.got: list[int] = []
        self.gate: threading.Event | None = None
        self.inside = threading.Event()

    def publish(self, topic: str, body: Mapping[str, Any]) -> None:
        self.offer(topic, body, lambda: None)

    def offer(self, topic: str, body: Mapping[str, Any], taken: Callable[[], None]) -> None:
        self.inside.set()
        if self.gate is not None:
            assert self.gate.wait(20)
        number = body["number"]
        if number in self.too_large:
            raise InvalidInput("it is beyond what a bus is given")
        if self.away or number in self.refuses:
            raise Unavailable("the bus is away")
        self.got.append(number)
        if not self.mute:
            taken()

    def subscribe(self, pattern: str, handler: Any) -> Callable[[], None]:
        raise NotImplementedError


class World:
    def __init__(self, engine: Engine) -> None:
        self.bus = Bus()
        self.clock = ManualClock()
        self.units = units_over(engine, self.clock, events=Events())
        self.relay = self.another("relay-1")

    def another(self, owner: str) -> OutboxRelay:
        return OutboxRelay(self.units, self.bus, self.clock, owner)

    def emit(self, *numbers: int, units: Units | None = None) -> None:
        with (units or self.units).write() as unit:
            for number in numbers:
                unit.emit("system.test.x", {"schema": "test.v1", "number": number})

    @property
    def unsent(self) -> int:
        with self.units.read() as unit:
            return unit.outbox.backlog()


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    with record(database_url) as engine:
        yield World(engine)


def test_rows_are_relayed_in_order_once_their_writer_had_its_time(world: World) -> None:
    world.emit(*range(1_200))
    assert world.relay.relay() == 0, "their writer may still be sending them"
    world.clock.advance(1_500)
    assert world.relay.relay() == 1_200
    assert world.bus.got == list(range(1_200))
    assert world.relay.relay() == 0
    assert world.unsent == 0


def test_a_row_counts_as_sent_only_when_the_bus_says_that_it_has_it(world: World) -> None:
    world.bus.mute = True
    publisher = OutboxPublisher(world.bus)
    publisher.publish([(1, "system.test.x", {"number": 1})])
    assert publisher.pending() == 0
    world.emit(7)
    world.clock.advance(1_500)
    assert world.relay.relay() == 0
    assert world.unsent == 1
    world.bus.mute = False
    assert world.relay.relay() == 1
    assert world.unsent == 0


def test_one_row_that_the_bus_cannot_take_holds_up_no_other(world: World) -> None:
    world.emit(*range(5))
    world.bus.refuses = {1}
    world.clock.advance(1_500)
    assert world.relay.relay() == 4
    assert world.bus.got == [0, 2, 3, 4]
    assert world.unsent == 1


def test_rows_that_no_bus_will_ever_take_are_given_up_and_hold_up_no_other(world: World) -> None:
    """More of them than refusals after which a bus counts as away, and the oldest of all."""
    world.bus.too_large = set(range(6))
    publisher = OutboxPublisher(world.bus)
    publisher.publish([(number, "system.test.x", {"number": number}) for number in range(8)])
    assert world.bus.got == [6, 7]
    world.bus.got.clear()
    world.emit(*range(8))
    world.clock.advance(1_500)
    world.relay.relay()
    assert world.bus.got == [6, 7]
    assert world.unsent == 0


def test_a_bus_that_is_away_is_not_asked_for_each_row(world: World) -> None:
    world.emit(*range(100))
    world.bus.away = True
    world.clock.advance(1_500)
    assert world.relay.relay() == 0
    assert world.unsent == 100
    world.bus.away = False
    assert world.relay.relay() == 100


def test_of_two_relays_one_works_and_nothing_is_locked_meanwhile(world: World) -> None:
    world.emit(1, 2)
    world.clock.advance(1_500)
    world.bus.gate = threading.Event()
    first = threading.Thread(target=world.relay.relay)
    first.start()
    assert world.bus.inside.wait(20)
    assert world.another("relay-2").relay() == 0
    assert world.relay.relay() == 0, "nor does a second thread of the same process"
    world.emit(3)  # the record can be written while the bus keeps the relay waiting
    world.bus.gate.set()
    first.join(20)
    assert world.bus.got == [1, 2]
    world.clock.advance(1_500)
    assert world.another("relay-2").relay() == 1


def test_rows_of_a_relay_that_died_are_sent_by_the_next(world: World) -> None:
    world.emit(1)
    world.clock.advance(1_500)
    with world.units.write() as unit:
        assert unit.system.take_lease("outbox-relay", "dead", unit.now_ms, 20_000)
    assert world.relay.relay() == 0
    world.clock.advance(20_001)
    assert world.relay.relay() == 1
