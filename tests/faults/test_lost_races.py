"""Rows 17 and 18: who loses a race for a lock runs its whole transaction again.

MariaDB ends the loser's transaction at a deadlock (1213). After a lock wait (1205) it may undo
the last statement alone, so that going on would commit half of the work.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from app.core.errors import Unavailable
from app.core.orders.identity import manual_intent
from app.core.orders.types import OrderStatus
from app.models import AccountRow
from app.repositories import database
from app.repositories.unit import Unit
from tests.support.installation import Installation, installed
from tests.support.rival import DEADLOCK, LOCK_WAIT, Races, rival
from tests.support.servers import Databases
from tests.support.simulator import SimulatorProcess
from tests.support.stories import STRATEGIES
from tests.support.waiting import until
from tests.support.world import World

# What `Units.run` promises.
MOST_TRIES = 4
# As short as InnoDB allows; three seconds in production.
LOCK_WAIT_S = 1


@pytest.fixture(scope="module")
def here(
    exchange: SimulatorProcess,
    databases: Databases,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """An installation on MariaDB that waits for a lock for a second; each story has an account."""
    name = f"races_{uuid.uuid4().hex}"
    given = {"database_url": databases.create_database(name), "strategies": STRATEGIES}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "_LOCK_WAIT_S", LOCK_WAIT_S)
        with installed(exchange, tmp_path_factory.mktemp("races"), **given) as installation:
            yield installation
    databases.drop_database(name)


@pytest.fixture
def account(here: Installation) -> AccountRow:
    row = here.account(USDT="5000")
    here.sync(row)
    return row


@pytest.fixture
def races(here: Installation) -> Iterator[Races]:
    with Races(here.parts) as watched:
        yield watched


def crossed(races: Races, lock: Callable[[], object]) -> None:
    """The rival wants what we hold while we want what it holds."""
    lock()
    until(lambda: races.lost, what="a race was lost")
    assert races.lost == [DEADLOCK]


def waited_for(races: Races, lock: Callable[[], object]) -> None:
    """The rival keeps what we want for longer than we wait."""
    until(lambda: races.lost, what="a race was lost")
    assert races.lost == [LOCK_WAIT]


LOSSES = pytest.mark.parametrize("lose", [crossed, waited_for], ids=["deadlock", "lock wait"])
Lose = Callable[[Races, Callable[[], object]], None]


def sound(here: Installation) -> bool:
    return World(here.parts, here.venue, carried=True).breaches() == []


@LOSSES
def test_nothing_of_a_lost_try_stays(
    here: Installation, account: AccountRow, races: Races, lose: Lose
) -> None:
    """A row, an event and a hint that were written before the race was lost."""
    tries: list[int] = []
    topic = f"system.rehearsal.{account.id}"

    def ours(unit: Unit) -> None:
        tries.append(len(tries) + 1)
        unit.accounts.move(
            unit.accounts.lock_balances(account.id, ["BTC"])["BTC"], free=Decimal(0), at=tries[-1]
        )
        unit.emit(topic, {"try": tries[-1]})
        unit.enqueue("orders.sync_account", account.id)
        unit.flush()
        unit.accounts.lock_balances(account.id, ["USDT"])

    here.parts.units.run(lambda unit: unit.accounts.lock_balances(account.id, ["BTC"]))
    with rival(here.parts) as theirs:
        theirs.accounts.lock_balances(account.id, ["USDT"])
        done = races.begin(here.parts.units.run, ours, until_it_locks="USDT")
        lose(races, lambda: theirs.accounts.lock_balances(account.id, ["BTC"]))
        assert here.bus.on(topic) == []
    done.result(30)

    assert tries == [1, 2]
    assert here.bus.on(topic) == [{"try": 2}]
    assert list(here.queue.waiting) == [("orders.sync_account", (account.id,))]
    with here.parts.units.read() as unit:
        events = unit.outbox.unsent(2**53, 1_000)
        times = {row.asset: row.updated_at for row in unit.accounts.balances(account.id)}
    assert [row.body for row in events if row.topic == topic] == [{"try": 2}]
    assert times["BTC"] == 2
    assert sound(here)


@LOSSES
def test_a_fill_that_loses_a_race_is_posted_once(
    here: Installation, account: AccountRow, races: Races, lose: Lose
) -> None:
    _, order = here.submit(account, "buy", "0.01")
    assert order is not None
    with rival(here.parts) as theirs:
        theirs.accounts.lock_balances(account.id, ["USDT"])
        sent = races.begin(here.parts.sender.send, order.order_id, until_it_locks="USDT")
        lose(races, lambda: theirs.orders.lock(order.order_id))
    assert sent.result(30) == OrderStatus.FILLED
    assert len(here.fills(order)) == 1
    assert len(here.sends(order)) == 1
    assert here.life(order) == ["new", "sending", "filled"]
    assert sound(here)


@LOSSES
def test_an_order_that_loses_a_race_at_the_gate_is_judged_once(
    here: Installation, account: AccountRow, races: Races, lose: Lose
) -> None:
    manual = here.manual(account)
    with rival(here.parts) as theirs:
        theirs.accounts.lock_balances(account.id, ["USDT"])
        asked = races.begin(here.submit, account, "buy", "0.01", until_it_locks="USDT")
        lose(races, lambda: theirs.instances.lock_quota(manual.id))
    decision, order = asked.result(30)
    assert decision.passed
    assert order is not None
    assert here.quota(manual).orders_today == 1
    here.settle()
    assert here.row(order).status == OrderStatus.FILLED
    assert sound(here)


def test_a_lock_that_is_never_given_back_is_four_tries_and_a_clear_error(
    here: Installation, account: AccountRow, races: Races
) -> None:
    """No order and no reservation is left of it, and the same key makes one order later."""
    free = here.balance(account, "USDT")
    with rival(here.parts) as theirs:
        theirs.accounts.lock_balances(account.id, ["USDT"])
        with pytest.raises(Unavailable, match="stayed locked; try again, and look for a long"):
            here.submit(account, "buy", "0.01", key="one intent")
    assert races.lost == [LOCK_WAIT] * MOST_TRIES
    assert here.balance(account, "USDT") == free
    with here.parts.units.read() as unit:
        assert unit.risk.decision_of(account.id, manual_intent("one intent")) is None
        assert unit.orders.live(account.id) == []
    assert list(here.queue.waiting) == []

    order = here.order(account, "buy", "0.01", key="one intent")
    assert order.status == OrderStatus.FILLED
    assert sound(here)


def test_a_fill_that_can_never_be_posted_is_asked_for_again(
    here: Installation, account: AccountRow, races: Races
) -> None:
    """The order was sent, its answer could not be kept: it stays SENDING until it is resolved."""
    _, order = here.submit(account, "buy", "0.01")
    assert order is not None
    with rival(here.parts) as theirs:
        theirs.accounts.lock_balances(account.id, ["USDT"])
        with pytest.raises(Unavailable, match="stayed locked"):
            here.parts.sender.send(order.order_id)
        assert here.row(order).status == OrderStatus.SENDING
    assert races.lost == [LOCK_WAIT] * MOST_TRIES
    for _ in range(3):
        here.wait(7_000)
    assert here.row(order).status == OrderStatus.FILLED
    assert len(here.sends(order)) == 1
    assert sound(here)
