"""The drill: a record is lost in mid-trade, restored from a backup, and trades on."""

from __future__ import annotations

import uuid
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from app.core.orders.types import OrderStatus, Side
from app.core.strategies.signal import Signal, SignalAction
from app.models import AccountRow, OrderRow, SignalRow, StrategyInstanceRow
from tests.integration.trading.backups import brought_back, desk, saved
from tests.support.installation import SYMBOL, Installation
from tests.support.servers import Databases
from tests.support.simulator import SimulatorProcess

D = Decimal
BUY = Signal(SYMBOL, Side.BUY, SignalAction.ENTER, quantity=D("0.01"))
NewDatabase = Callable[[], str]


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewDatabase]:
    """Makes empty databases of the kind that the parameter says."""
    made: list[str] = []
    server: Databases | None = None
    if request.param == "mysql":
        server = request.getfixturevalue("databases")

    def make() -> str:
        name = f"test_{uuid.uuid4().hex}"
        made.append(name)
        return server.create_database(name) if server else f"sqlite:///{tmp_path / name}.db"

    yield make
    for name in made if server else ():
        assert server is not None
        server.drop_database(name)


BOTH = pytest.mark.parametrize(
    "new_database", ["sqlite", pytest.param("mysql", marks=pytest.mark.mysql)], indirect=True
)


def venue_ids(here: Installation, account: AccountRow) -> Tally[str]:
    """How many orders the venue has of each client order id."""
    return Tally(each["client_order_id"] for each in here.at_venue(account))


@dataclass(frozen=True)
class Known:
    """What the backup knows of: three orders that were sent, and two that were judged alone."""

    account: AccountRow
    instance: StrategyInstanceRow
    bought: OrderRow
    resting: OrderRow
    doomed: OrderRow
    unsent: OrderRow
    unsent_resting: OrderRow


@dataclass(frozen=True)
class Lost:
    """What it does not know of, and the venue as it was when the record was lost."""

    later: OrderRow
    price_of_later_resting: str
    signal: SignalRow
    at_venue: Tally[str]
    market_ms: int


def trade(here: Installation) -> Known:
    """Trade, and end in the middle of it: two orders are judged and not yet sent."""
    account = here.account(USDT="100000")
    instance = here.instance(account, "holder")
    here.emit(instance, BUY)
    here.settle()
    bought = here.order(account, "buy", "0.02")
    resting = here.order(account, "buy", "0.01", here.away("buy"))
    doomed = here.order(account, "buy", "0.01", here.away("buy", "0.2"))
    _, unsent = here.submit(account, "buy", "0.03", key="unsent")
    _, unsent_resting = here.submit(account, "buy", "0.04", here.away("buy"), key="resting")
    assert unsent is not None
    assert unsent_resting is not None
    return Known(account, instance, bought, resting, doomed, unsent, unsent_resting)


def trade_on_unsaved(here: Installation, known: Known) -> Lost:
    """What was judged is sent, an order is cancelled, and new ones come: by hand and by signal."""
    account = known.account
    here.settle()
    assert here.row(known.unsent).status == OrderStatus.FILLED
    here.parts.canceller.request(known.doomed.order_id)
    later = here.order(account, "buy", "0.05", key="later")
    later_resting = here.order(account, "buy", "0.06", here.away("buy"), key="later resting")
    (signal,) = here.emit(known.instance, BUY, cause="bar:again")
    here.settle()
    here.check(account)
    at_venue = venue_ids(here, account)
    return Lost(later, str(later_resting.price), signal, at_venue, here.market_ms)


def nothing_passes_before_a_person_has_looked(
    here: Installation, account: AccountRow, known: Known
) -> None:
    assert here.row(known.unsent).status == OrderStatus.UNKNOWN
    here.parts.gate.require_reconciliation("the processes were started")
    decision, _ = here.submit(account, "buy", "0.01", key="while halted")
    assert "HALT" in decision.reason


def the_account_is_compared_until_it_is_trusted(here: Installation, account: AccountRow) -> None:
    for _ in range(8):
        here.catch_up()
        here.wait(2_000)
        here.reconcile(account)
    assert here.parts.gate.state(account.id).is_trusted


def known_orders_are_as_at_the_venue(here: Installation, known: Known) -> None:
    """Sent after the backup by its own row: found by its id, and its fills are the owner's."""
    assert here.row(known.unsent).status == OrderStatus.FILLED
    assert here.row(known.unsent_resting).status == OrderStatus.ACKNOWLEDGED
    assert here.row(known.resting).status == OrderStatus.ACKNOWLEDGED
    assert here.row(known.doomed).status == OrderStatus.CANCELLED
    assert here.row(known.bought).status == OrderStatus.FILLED


def lost_orders_are_adopted(here: Installation, account: AccountRow) -> None:
    """Placed after the backup by rows that are gone: their fills are posted to external."""
    external = here.position(here.external(account))
    assert external is not None
    adopted = here.orders_of(here.external(account))
    assert sorted(row.quantity for row in adopted) == [D("0.01"), D("0.05"), D("0.06")]
    here.check(account)


def a_person_lets_it_trade(here: Installation, account: AccountRow) -> None:
    assert here.parts.risk.resume("global", "tests") == 1
    here.parts.locks.unlock(account.id, None, "tests")


def the_same_intents_are_not_sent_again(
    here: Installation, account: AccountRow, known: Known, lost: Lost
) -> None:
    """They come by hand with the same keys, and by the same signal."""
    assert here.market_ms == lost.market_ms
    _, again = here.submit(account, "buy", "0.05", key="later")
    _, again_resting = here.submit(
        account, "buy", "0.06", lost.price_of_later_resting, key="later resting"
    )
    (repeated,) = here.emit(known.instance, BUY, cause="bar:again")
    here.settle()
    assert again is not None
    assert again_resting is not None
    assert again.client_order_id == lost.later.client_order_id
    for row in (again, again_resting):
        assert here.row(row).status == OrderStatus.REJECTED
        assert "before the restore" in (here.row(row).reason or "")
    (from_signal,) = [r for r in here.orders_of(known.instance) if r.signal_id == repeated.id]
    assert from_signal.status == OrderStatus.REJECTED
    assert repeated.cause == lost.signal.cause
    assert venue_ids(here, account) == lost.at_venue, "an order was sent twice"
    assert set(lost.at_venue.values()) == {1}


def it_trades_on(here: Installation, account: AccountRow) -> None:
    fresh = here.order(account, "buy", "0.01", key="fresh")
    assert fresh.status == OrderStatus.FILLED
    here.reconcile(account, times=2)
    here.check(account)


@BOTH
def test_the_drill_loses_nothing_and_sends_nothing_twice(
    exchange: SimulatorProcess, tmp_path: Path, new_database: NewDatabase
) -> None:
    with desk(exchange, tmp_path / "old", new_database()) as here:
        known = trade(here)
        path = saved(here.parts, tmp_path / "backup.zip")
        lost = trade_on_unsaved(here, known)
    url = new_database()
    assert brought_back(tmp_path / "new", url, path) == "restored"
    with desk(exchange, tmp_path / "new", url) as here:
        account = here.parts.accounts.get(known.account.id)
        nothing_passes_before_a_person_has_looked(here, account, known)
        the_account_is_compared_until_it_is_trusted(here, account)
        known_orders_are_as_at_the_venue(here, known)
        lost_orders_are_adopted(here, account)
        a_person_lets_it_trade(here, account)
        the_same_intents_are_not_sent_again(here, account, known, lost)
        it_trades_on(here, account)


@BOTH
def test_an_order_that_was_never_sent_is_sent_once_after_the_restore(
    exchange: SimulatorProcess, tmp_path: Path, new_database: NewDatabase
) -> None:
    with desk(exchange, tmp_path / "old", new_database()) as here:
        account = here.account(USDT="100000")
        _, unsent = here.submit(account, "buy", "0.03", key="unsent")
        assert unsent is not None
        path = saved(here.parts, tmp_path / "backup.zip")
    url = new_database()
    brought_back(tmp_path / "new", url, path)
    with desk(exchange, tmp_path / "new", url) as here:
        here.parts.risk.resume("global", "tests")
        for _ in range(6):
            here.catch_up()
            here.wait(2_000)
            here.reconcile(account)
        assert here.row(unsent).status == OrderStatus.FILLED
        assert len(here.sends(unsent)) == 1
        here.check(account)
