"""Which proxies are offered, and who is told when one goes away and comes back."""

from __future__ import annotations

from app.adapters.addresses import AddressPool
from app.core.ports import OWN
from tests.support.record import ManualClock


class Told:
    """Who is told; keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def went_away(self, name: str) -> None:
        self.heard.append(("away", name))

    def came_back(self, name: str) -> None:
        self.heard.append(("back", name))


class World:
    """A pool of two proxies."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.told = Told()
        proxies = {"one": "http://u:s3cret@127.0.0.1:1", "two": "http://127.0.0.1:2"}
        self.pool = AddressPool(proxies, self.clock, self.told)

    def heard(self) -> list[tuple[str, str]]:
        heard, self.told.heard = self.told.heard, []
        return heard


def test_a_proxy_that_cannot_be_reached_is_set_aside_longer_and_longer() -> None:
    world = World()
    assert world.pool.offered() == [OWN, "one", "two"]
    rests = []
    for _ in range(7):
        world.pool.failed("one", was_reached=False)
        rest = 0
        while "one" not in world.pool.offered():
            world.clock.advance(1_000)
            rest += 1
        rests.append(rest)
    assert rests == [30, 60, 120, 240, 480, 600, 600]
    assert set(world.heard()) == {("away", "one")}


def test_one_request_finds_out_whether_it_is_back() -> None:
    world = World()
    world.pool.failed("one", was_reached=False)
    world.clock.advance(30_000)
    assert "one" in world.pool.offered()
    assert "one" not in world.pool.offered()
    world.pool.worked("one")
    assert world.pool.offered() == [OWN, "one", "two"]
    assert world.heard() == [("away", "one"), ("back", "one")]
    world.pool.failed("one", was_reached=False)
    world.clock.advance(29_000)
    assert "one" not in world.pool.offered()
    world.clock.advance(1_000)
    assert "one" in world.pool.offered(), "a rest is short again after a proxy was back"


def test_a_request_that_never_left_is_no_trial() -> None:
    world = World()
    world.pool.failed("one", was_reached=False)
    world.clock.advance(30_000)
    assert "one" in world.pool.offered()
    world.clock.advance(20_000)
    assert "one" in world.pool.offered()


def test_many_that_fail_together_are_one_failure() -> None:
    world = World()
    for _ in range(8):
        world.pool.failed("one", was_reached=False)
    world.clock.advance(30_000)
    assert "one" in world.pool.offered()
    assert world.heard() == [("away", "one")]


def test_a_slow_venue_is_not_blamed_on_a_proxy_until_the_third_answer_in_a_row() -> None:
    world = World()
    for lost in range(5):
        world.pool.failed("two", was_reached=True)
        if lost == 1:
            world.pool.worked("two")
    assert world.pool.offered() == [OWN, "one"]
    assert world.heard() == [("back", "two"), ("away", "two")]


def test_without_proxies_the_own_address_goes_on() -> None:
    world = World()
    for name in ("one", "two"):
        world.pool.failed(name, was_reached=False)
    assert world.pool.offered() == [OWN]


def test_the_first_answer_ends_an_alarm_of_a_process_that_is_gone() -> None:
    world = World()
    for _ in range(3):
        world.pool.worked("two")
    assert world.heard() == [("back", "two")]
