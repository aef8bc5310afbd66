"""A simulated account is the simulator's alone: without one, nothing is asked of any venue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from app.core.errors import Unavailable, WrongWorld
from app.core.orders.types import OrderStatus
from app.models import AccountRow, RecordWorldRow
from app.repositories.unit import Unit
from app.services.streams.wanted import wanted
from app.wiring import Container
from tests.support.installation import EXCHANGE, SYMBOL, Installation
from tests.support.parts import Line
from tests.support.streaming import streaming

_MANY = 12


@contextmanager
def another(here: Installation, **changes: object) -> Iterator[Container]:
    """Another process on the record of an installation, with other settings."""
    parts = Container(here.parts.settings.model_copy(update=changes), Line())
    try:
        yield parts
    finally:
        parts.close()


def forget_world(here: Installation) -> None:
    """Make the record that of an older release, which had no word for its world."""

    def work(unit: Unit) -> None:
        unit.session.query(RecordWorldRow).delete()

    here.parts.units.run(work)


def alarms(here: Installation, kind: str) -> int:
    """How often something was told."""
    return len(here.told(kind))


def due(here: Installation, account: AccountRow) -> None:
    """Let the pause pass after which the account is compared again."""

    def work(unit: Unit) -> None:
        unit.accounts.lock(account.id).sync_not_before = 0

    here.parts.units.run(work)


def test_nothing_of_a_simulated_account_is_sent_to_a_real_exchange(here: Installation) -> None:
    """That no host was reached for is what every test is held to (``tests/conftest.py``)."""
    account = here.account()
    here.sync(account)
    _, order = here.submit(account, "buy", "0.01")
    assert order is not None
    forget_world(here)
    with another(here, simulator_url="") as real:
        with pytest.raises(Unavailable, match="is simulated, and no simulated exchange"):
            real.desks.open(account.id)
        assert real.sender.send(order.order_id) == OrderStatus.NEW
        for _ in range(_MANY):
            due(here, account)
            assert real.account_sync.sync(account.id) == 0
    row = here.row(order)
    assert (row.attempt, row.request_ts) == (0, None)
    assert row.reason is not None
    assert "start with the simulator (tidemark up)" in row.reason
    # One clear state, told once; it is what `tidemark account show` shows.
    assert "no simulated exchange is configured" in str(here.parts.gate.state(account.id).error)
    assert alarms(here, "account-not-comparable") == 1
    assert here.sends(order) == []


def test_an_account_that_is_being_opened_waits_for_its_simulator(here: Installation) -> None:
    added = here.parts.accounts.add_simulated("waits", EXCHANGE, {"USDT": Decimal(1)})
    forget_world(here)
    with another(here, simulator_url="") as real:
        real.opener.open(added.id)
    row = here.parts.accounts.get(added.id)
    assert row.status == "opening"
    assert "no simulated exchange is configured" in str(row.sync_error)


def test_it_has_no_user_data_stream_either(here: Installation) -> None:
    account = here.account()
    forget_world(here)
    with another(here, simulator_url="") as real:
        with streaming(real, ready=lambda _service: True) as streams:
            found, _ = streams.service._ask()
            assert streams.service.held == []
        assert found.accounts == {}
        with pytest.raises(Unavailable, match="no simulated exchange is configured"):
            real.streams._parts.keys(account.id)
    with here.parts.units.read() as unit:
        ours = wanted(unit, frozenset({EXCHANGE}), here.parts.world.account_kinds)
    assert list(ours.accounts.values()) == [account.id]


def test_an_account_of_the_real_exchange_is_not_opened_at_the_simulator(
    here: Installation,
) -> None:
    account = here.account()

    def work(unit: Unit) -> None:
        unit.accounts.lock(account.id).kind = "live"

    here.parts.units.run(work)
    with another(here) as simulated, pytest.raises(Unavailable, match="start with --no-simulator"):
        simulated.desks.open(account.id)
    with here.parts.units.read() as unit:
        found = wanted(unit, frozenset({EXCHANGE}), here.parts.world.account_kinds)
    assert found.accounts == {}


def test_a_record_of_the_simulated_market_asks_the_real_one_nothing(here: Installation) -> None:
    account = here.account()
    here.plan()
    with another(here, simulator_url="") as real:
        with pytest.raises(WrongWorld, match="holds the market of the simulated exchange"):
            real.market(EXCHANGE)
        with pytest.raises(WrongWorld):
            real.market("kraken")  # not one that is ever simulated
        with pytest.raises(WrongWorld):
            real.market_clock.now_ms(EXCHANGE)
        with pytest.raises(WrongWorld):
            asyncio.run(real.streams._parts.venues[EXCHANGE].market())
        real.collection.follow_all()
        real.account_sync.sync(account.id)
        # What needs no exchange goes on: the account is shown, without a price of another world.
        assert real.market_data.reference(EXCHANGE, SYMBOL) is None


def test_a_record_of_the_real_market_opens_no_simulated_account(here: Installation) -> None:
    forget_world(here)
    with another(here, simulator_url="") as real:
        real.world.require()
    with another(here) as simulated, pytest.raises(WrongWorld, match="market of the real"):
        simulated.accounts.add_simulated("late", EXCHANGE, {"USDT": Decimal(1)})


def test_an_account_that_cannot_be_added_decides_nothing(here: Installation) -> None:
    forget_world(here)
    with another(here, simulator_url="") as real:
        with pytest.raises(Unavailable):
            real.accounts.add_simulated("none", EXCHANGE, {"USDT": Decimal(1)})
        assert real.world.recorded() is None
