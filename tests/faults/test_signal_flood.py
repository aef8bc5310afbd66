"""Row 52: a strategy that floods the desk with signals fails; the others never notice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.market.klines import KlineData
from app.core.orders.types import OrderStatus
from app.core.strategies.base import Answer, BaseStrategy
from app.core.strategies.parameters import IntParameter
from app.core.strategies.updates import OrderUpdate
from app.models import AccountRow, StrategyInstanceRow
from tests.support.installation import Installation, installed
from tests.support.simulator import SimulatorProcess
from tests.support.world import World

LIMIT = 20
SOURCE = '''
from tidemark import BaseStrategy


class Torrent(BaseStrategy):
    """Ten thousand orders from one bar."""

    def on_kline(self, kline):
        return [each for _ in range(10_000) for each in self.buy("0.001")]
'''


class Flood(BaseStrategy):
    """Answers a bar with as many resting orders as it was told to."""

    orders = IntParameter(1, low=1, high=1_000)

    def on_kline(self, kline: KlineData) -> Answer:
        """All at once."""
        price = kline.close / 2
        made = (self.buy("0.001", "limit", limit=price) for _ in range(self.orders))
        return [signal for each in made for signal in each]


class Echo(BaseStrategy):
    """Answers each of its fills with another order, without end."""

    def on_kline(self, kline: KlineData) -> Answer:
        """Begin."""
        return self.buy("0.001")

    def on_order_update(self, update: OrderUpdate) -> Answer:
        """And go on."""
        if update.status != "filled":
            return None
        return self.sell("0.0009") if update.side == "buy" else self.buy("0.001")


class Steady(BaseStrategy):
    """One order a bar."""

    def on_kline(self, kline: KlineData) -> Answer:
        """Buy a little."""
        return self.buy("0.001")


@pytest.fixture
def here(
    exchange: SimulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """An installation with a strategy that floods, one that echoes, and a decent one."""
    monkeypatch.setenv("TIDEMARK_MAX_SIGNALS_PER_BAR", str(LIMIT))
    strategies = {"flood": Flood, "echo": Echo, "steady": Steady}
    with installed(exchange, tmp_path, strategies=strategies) as installation:
        yield installation


def beside(
    here: Installation, strategy: str, **params: int
) -> tuple[AccountRow, StrategyInstanceRow, StrategyInstanceRow]:
    """An account on which a strategy runs beside a decent one."""
    account = here.account()
    here.sync(account)
    steady = here.instance(account, "steady")
    return account, here.instance(account, strategy, params=params), steady


def assert_only_it_failed(
    here: Installation,
    account: AccountRow,
    flooding: StrategyInstanceRow,
    steady: StrategyInstanceRow,
    *,
    said: str,
) -> None:
    """It has failed with its sentence, told once; the other trades on, and so does the venue."""
    failed = here.parts.instances.get(flooding.id)
    assert failed.status == "failed"
    assert said in (failed.error or "")
    (alarm,) = here.told("strategy-failed")
    assert alarm["instance_id"] == flooding.id
    traded = len(here.orders_of(steady))
    here.bars(2)
    assert len(here.orders_of(steady)) == traded + 2
    assert {each.status for each in here.orders_of(steady)} == {OrderStatus.FILLED}
    assert len(here.told("strategy-failed")) == 1
    here.reconcile(account, times=2)
    world = World(here.parts, here.venue, carried=True)
    assert world.breaches(expected=("strategy-failed", "denied")) == []


def test_ten_thousand_signals_from_one_bar_reach_neither_the_record_nor_the_venue(
    here: Installation,
) -> None:
    here.parts.catalogue.add_file("torrent", SOURCE)
    account, torrent, steady = beside(here, "torrent")
    here.bars()
    assert here.signals_of(torrent) == []
    assert here.orders_of(torrent) == []
    assert len(here.at_venue(account)) == 1, "the decent one's"
    said = "10000 signals at once; at most 1000"
    assert_only_it_failed(here, account, torrent, steady, said=said)


def test_one_signal_more_than_a_bar_may_have_and_none_of_them_is_taken(
    here: Installation,
) -> None:
    account, flood, steady = beside(here, "flood", orders=LIMIT + 1)
    here.bars()
    assert here.signals_of(flood) == []
    said = f"emitted {LIMIT + 1} signals on the bar of"
    assert_only_it_failed(here, account, flood, steady, said=said)


def test_as_many_signals_as_a_bar_may_have_are_taken_on_every_bar(here: Installation) -> None:
    account, flood, _ = beside(here, "flood", orders=LIMIT)
    here.bars(2)
    assert here.parts.instances.get(flood.id).status == "running"
    assert len(here.orders_of(flood)) == 2 * LIMIT
    assert {each.status for each in here.orders_of(flood)} == {OrderStatus.ACKNOWLEDGED}
    here.parts.instances.stop(flood.id)
    here.settle()
    assert {each.status for each in here.orders_of(flood)} == {OrderStatus.CANCELLED}
    here.check(account)


def test_a_strategy_that_answers_its_own_fills_without_end_is_stopped_within_the_bar(
    here: Installation,
) -> None:
    account, echo, steady = beside(here, "echo")
    here.bars()
    sent = here.venue.requests(
        method="POST", path="/api/v3/order", account=here.venue_name(account)
    )
    assert len(sent) == LIMIT + 1, "its own up to the limit, and the decent one's"
    said = f"emitted {LIMIT + 1} signals on the bar of"
    assert_only_it_failed(here, account, echo, steady, said=said)
