"""Beat dead or silent is told once, whoever watches; and so is its return."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.repositories.unit import Units
from app.services.schedule import Schedule, ScheduleWatch
from tests.support.record import ManualClock, record, units_over


class Hosts:
    """Several processes that watch one schedule, and the beat that they watch."""

    def __init__(self, units: Units, clock: ManualClock) -> None:
        self.units = units
        self.clock = clock
        self.watches = [ScheduleWatch(units, clock) for _ in range(3)]
        self.beats = True

    def pass_time(self, seconds: int) -> None:
        """Beat ticks each second; everyone looks each fifth, all at once."""
        for second in range(1, seconds + 1):
            self.clock.advance(1_000)
            if self.beats:
                Schedule(self.units, self.clock, "worker").take("maintenance.sweep")
            if second % 5 == 0:
                with ThreadPoolExecutor(len(self.watches)) as pool:
                    list(pool.map(lambda watch: watch.look(), self.watches))

    def told(self) -> list[str]:
        """What was told so far."""
        with self.units.read() as unit:
            rows = unit.outbox.unsent(self.clock.now_ms() + 1)
        return [row.topic for row in rows if row.topic.startswith("system.schedule.")]


@pytest.fixture
def hosts(database_url: str) -> Iterator[Hosts]:
    """Three of them."""
    clock = ManualClock()
    with record(database_url) as engine:
        yield Hosts(units_over(engine, clock), clock)


def test_a_silence_is_told_once_within_30_seconds_and_its_end_once(hosts: Hosts) -> None:
    hosts.pass_time(60)
    assert hosts.told() == []
    hosts.beats = False
    hosts.pass_time(10)
    assert hosts.told() == [], "a slow tick is no silence"
    hosts.pass_time(20)
    assert hosts.told() == ["system.schedule.silent"]
    hosts.pass_time(300)
    assert hosts.told() == ["system.schedule.silent"]
    hosts.beats = True
    hosts.pass_time(10)
    assert hosts.told() == ["system.schedule.silent", "system.schedule.back"]
    hosts.beats = False
    hosts.pass_time(30)
    assert hosts.told()[2:] == ["system.schedule.silent"], "another silence is told again"


def test_a_silence_goes_on_over_a_restart_of_those_who_watch(hosts: Hosts) -> None:
    hosts.pass_time(20)
    hosts.beats = False
    hosts.pass_time(30)
    hosts.watches = [ScheduleWatch(hosts.units, hosts.clock) for _ in range(3)]
    hosts.pass_time(120)
    assert hosts.told() == ["system.schedule.silent"]
    hosts.watches = [ScheduleWatch(hosts.units, hosts.clock)]
    hosts.beats = True
    hosts.pass_time(10)
    assert hosts.told() == ["system.schedule.silent", "system.schedule.back"]


def test_a_stack_that_starts_after_a_night_is_not_silent_and_one_without_beat_is(
    hosts: Hosts,
) -> None:
    hosts.pass_time(20)
    hosts.clock.advance(8 * 3_600_000)
    hosts.watches = [ScheduleWatch(hosts.units, hosts.clock)]
    hosts.beats = False
    hosts.pass_time(40)
    assert hosts.told() == []
    hosts.pass_time(40)
    assert hosts.told() == ["system.schedule.silent"]


def test_a_clock_that_is_corrected_is_no_silence(hosts: Hosts) -> None:
    hosts.pass_time(20)
    hosts.clock.now += 3_600_000
    hosts.pass_time(20)
    assert hosts.told() == []
