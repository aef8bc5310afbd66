"""What a budget over several addresses must do, in one process or over Redis.

A test file makes a ``make_world`` fixture, subclasses ``BudgetCases`` and checks any sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.adapters.pacing import Paces, ShortWindow
from app.adapters.waiting import WaitingBudget
from app.core.exchanges.errors import BudgetExhausted, RateLimited, VenueBanned
from app.core.ports import ALWAYS, OWN, Purpose
from tests.support.record import START_MS, ManualClock

DATA, ORDER, CANCEL = Purpose.DATA, Purpose.ORDER, Purpose.CANCEL
MINUTE, DAY = 60_000, 86_400_000
POOL: Final = (OWN, "one", "two")
#: Of a minute at each venue, by each address; a window of OKX's length, and a venue of many.
WEIGHTS: Final = {"binance": 100, "okx": 200, "gate": 10**6}
SHORT: Final = {"okx": ShortWindow(2_000, 40)}


class KeptBans:
    """Bans as rows keep them."""

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}

    def bans(self) -> Mapping[str, int]:
        """By scope."""
        return dict(self.kept)

    def save_ban(self, scope: str, until_ms: int, reason: str) -> None:
        """Keep it."""
        self.kept[scope] = until_ms


Maker = Callable[..., WaitingBudget]


class BudgetWorld:
    """Budgets of one installation, on one clock and one database; waits move the clock.

    Args:
        make: builds a budget from a clock, a ban store, and keywords.
    """

    def __init__(self, make: Maker, polite: tuple[str, ...] = ()) -> None:
        self.clock = ManualClock()
        self.rows = KeptBans()
        self._make = make
        self._polite = polite
        self.budget = self.another()

    def another(self) -> Any:
        """The budget of another process, or of one that was started again."""
        paces = Paces(SHORT, self._polite)
        return self._make(self.clock, self.rows, weights=WEIGHTS, paces=paces, sleep=self._sleep)

    def take(
        self,
        weight: int = 1,
        purpose: Purpose = DATA,
        timeout: float = 0.0,
        exchange: str = "binance",
        addresses: tuple[str, ...] = POOL,
    ) -> str:
        """The address that paid."""
        paid: str = self.budget.acquire(exchange, weight, purpose, timeout, addresses)
        return paid

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(max(1, round(seconds * 1000)))


WorldMaker = Callable[..., BudgetWorld]
#: Pause in ms, weight, purpose: bursts, and pauses of all lengths.
STEPS = st.lists(
    st.tuples(
        st.just(0) | st.integers(0, 400) | st.integers(0, 5_000),
        st.integers(1, 12),
        st.sampled_from(Purpose),
    ),
    min_size=40,
    max_size=150,
)


class BudgetCases:
    """The cases."""

    def test_requests_go_by_the_address_with_the_most_room(self, make_world: WorldMaker) -> None:
        world = make_world()
        assert [world.take(10) for _ in range(6)] == [*POOL, *POOL]
        world.budget.correct("binance", 90, "one")
        assert [world.take(10) for _ in range(4)] == [OWN, "two", OWN, "two"]
        usage = world.budget.usage("binance", POOL)
        assert (usage.used, usage.limit, usage.banned_until) == (170, 300, None)

    def test_only_when_all_are_used_up_the_next_minute_is_waited_for(
        self, make_world: WorldMaker
    ) -> None:
        world = make_world()
        for _ in range(9):
            world.take(20)
        with pytest.raises(BudgetExhausted) as refused:
            world.take(1)
        assert refused.value.retry_at == START_MS + MINUTE
        assert world.take(1, ORDER, addresses=(OWN,)) == OWN
        world.take(60, timeout=60.0)
        assert world.clock.now >= START_MS + MINUTE

    def test_a_ban_that_came_by_one_address_stops_that_one(self, make_world: WorldMaker) -> None:
        world = make_world()
        world.budget.ban("binance", START_MS + 2 * MINUTE, "HTTP 418", "one")
        assert world.rows.kept == {"binance@one": START_MS + 2 * MINUTE}
        assert {world.take() for _ in range(10)} == {OWN, "two"}
        assert world.budget.banned_until("binance") is None
        assert world.budget.banned_until("binance", "one") == START_MS + 2 * MINUTE
        world.budget.acquire("okx", 1, DATA, 0.0, ("one",))  # the ban is of one venue

    def test_the_pool_is_banned_when_all_its_addresses_are(self, make_world: WorldMaker) -> None:
        world = make_world()
        for minutes, address in ((5, OWN), (2, "one"), (9, "two")):
            usage = world.budget.usage("binance", POOL)
            assert (usage.banned_until, usage.polite_until) == (None, None)
            world.budget.ban("binance", START_MS + minutes * MINUTE, "HTTP 418", address)
        with pytest.raises(VenueBanned) as refused:
            world.take(timeout=600.0)
        assert refused.value.until_ms == START_MS + 2 * MINUTE
        usage = world.budget.usage("binance", POOL)
        assert usage.banned_until == START_MS + 2 * MINUTE
        assert usage.polite_until == START_MS + 2 * MINUTE + DAY
        world.clock.advance(2 * MINUTE)
        assert world.take() == "one"

    def test_bans_of_proxies_survive_a_restart(self, make_world: WorldMaker) -> None:
        world = make_world()
        world.rows.save_ban("binance@two", START_MS + MINUTE, "HTTP 403")
        world.budget = world.another()
        assert {world.take() for _ in range(10)} == {OWN, "one"}

    def test_a_429_pauses_the_address_that_it_came_by(self, make_world: WorldMaker) -> None:
        world = make_world()
        world.budget.back_off("binance", START_MS + 3_000, "one")
        assert {world.take() for _ in range(10)} == {OWN, "two"}
        world.budget.back_off("binance", START_MS + 9_000, OWN)
        world.budget.back_off("binance", START_MS + 6_000, "two")
        with pytest.raises(RateLimited) as refused:
            world.take()
        assert refused.value.retry_after_ms == 3_000
        assert world.take(timeout=5.0) == "one"

    def test_a_polite_venue_is_asked_once_in_three_seconds_and_rests_after_twenty(
        self, make_world: WorldMaker
    ) -> None:
        world = make_world(("gate",))
        times = []
        for _ in range(42):
            world.take(timeout=60.0, exchange="gate", addresses=(OWN,))
            times.append(world.clock.now)
        gaps = [after - before for before, after in pairwise(times)]
        assert gaps == [3_000] * 19 + [30_000] + [3_000] * 19 + [30_000] + [3_000]
        with pytest.raises(BudgetExhausted, match="treated gently") as refused:
            world.take(exchange="gate", addresses=(OWN,))
        assert refused.value.is_polite
        assert world.budget.usage("gate", POOL).polite_until == ALWAYS
        for purpose in (ORDER, CANCEL):
            world.take(purpose=purpose, exchange="gate", addresses=(OWN,))
        world.take(exchange="binance", addresses=(OWN,))

    def test_each_address_is_polite_by_itself(self, make_world: WorldMaker) -> None:
        world = make_world(("all",))
        assert {world.take(exchange="gate") for _ in range(3)} == set(POOL)
        with pytest.raises(BudgetExhausted) as refused:
            world.take(exchange="gate")
        assert refused.value.retry_after_ms == 3_000

    def test_an_address_that_was_banned_is_polite_for_a_day(self, make_world: WorldMaker) -> None:
        world = make_world()
        end = START_MS + MINUTE
        world.budget.ban("binance", end, "HTTP 418", "one")
        for since_ms, is_gentle in ((0, True), (DAY - 1, True), (DAY, False)):
            world.clock.advance(end + since_ms - world.clock.now)
            for budget in (world.budget, world.another()):
                budget.take("binance", 1, DATA, "two")
                budget.take("binance", 1, DATA, "two")
                taken = [budget.take("binance", 1, DATA, "one") for _ in range(2)]
                assert (taken[1] is not None) is is_gentle
                assert budget.take("binance", 1, ORDER, "one") is None

    def test_a_clock_that_is_set_back_prolongs_no_pace(self, make_world: WorldMaker) -> None:
        world = make_world(("gate",))
        for exchange in ("gate", "okx"):
            world.take(10, exchange=exchange, addresses=(OWN,))
        world.clock.step(-3_600_000)
        for exchange in ("gate", "okx"):
            world.take(10, exchange=exchange, addresses=(OWN,))

    def test_a_burst_waits_for_the_short_window(self, make_world: WorldMaker) -> None:
        world = make_world()
        began = world.clock.now
        for _ in range(30):
            world.take(2, timeout=5.0, exchange="okx", addresses=(OWN,))
        # 60 at 15 a second, less the four that went at once.
        assert 3_600 <= world.clock.now - began <= 4_100
        assert world.take(4, ORDER, exchange="okx", addresses=(OWN,)) == OWN
        with pytest.raises(BudgetExhausted, match="short window"):
            world.take(4, exchange="okx", addresses=(OWN,))


def any_sequence(test: Callable[..., None]) -> Callable[..., None]:
    """Give a test sequences of requests: ``offset``, ``steps`` and ``addresses``."""
    given_them = given(
        offset=st.integers(0, MINUTE),
        steps=STEPS,
        addresses=st.sampled_from([POOL, (OWN,), ("one", "two")]),
    )
    as_they_are = settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    return as_they_are(given_them(test))


def check_sequence(
    world: BudgetWorld,
    offset: int,
    steps: list[tuple[int, int, Purpose]],
    addresses: tuple[str, ...],
) -> None:
    """No address takes more than its minute or its short window holds."""
    world.clock.advance(offset)
    taken: dict[str, list[tuple[int, int]]] = {address: [] for address in POOL}
    for pause_ms, weight, purpose in steps:
        world.clock.advance(pause_ms)
        try:
            paid = world.take(weight, purpose, exchange="okx", addresses=addresses)
        except BudgetExhausted:
            continue
        taken[paid].append((world.clock.now, weight))
    for spent in taken.values():
        for at, _ in spent:
            minute = [weight for then, weight in spent if then // MINUTE == at // MINUTE]
            assert sum(minute) <= 200
            assert sum(weight for then, weight in spent if at <= then < at + 2_000) <= 40
