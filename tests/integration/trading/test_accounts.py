"""Accounts are opened and valued; the schedule runs each slot once."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import Conflict, InvalidInput, NotFound, TidemarkError, Unavailable
from app.core.exchanges.trading import BinanceSpotTrade
from app.core.orders.types import OrderStatus, Side
from app.core.strategies.signal import Signal, SignalAction
from tests.support.api import container_in
from tests.support.installation import EXCHANGE, SYMBOL, Installation

D = Decimal


def fresh_name() -> str:
    """A name that no account at the simulator has yet: it outlives the test."""
    return f"named {uuid.uuid4().hex[:12]}"


BUY = Signal(SYMBOL, Side.BUY, SignalAction.ENTER, quantity=D("0.01"))


def test_an_account_takes_over_what_the_exchange_holds(anywhere: Installation) -> None:
    here = anywhere
    account = here.account(USDT="1000.5", BTC="0.25")
    assert (account.kind, account.account_type, account.status) == ("simulated", "spot", "active")
    assert here.balance(account, "USDT") == (D("1000.5"), D(0))
    assert here.balance(account, "BTC") == (D("0.25"), D(0))
    assert here.parts.accounts.positions(account.id) == []
    assert here.bus.on("system.account.")[-1]["account_id"] == account.id
    assert here.parts.accounts.get(account.name).id == account.id
    assert "secret" not in account.sealed_credentials
    here.check(account)


@pytest.mark.parametrize(
    ("name", "balances", "says"),
    [
        ("", {"USDT": D(1)}, "must begin with a letter or digit"),
        ("../etc", {"USDT": D(1)}, "must begin with a letter or digit"),
        ("ok", {}, "at least one balance above 0, such as USDT=10000"),
        ("ok", {"USDT": D(0)}, "at least one balance above 0"),
        ("ok", {"USDT": D(-5)}, "at least one balance above 0"),
        ("ok", {"USDT": D("NaN")}, "at least one balance above 0"),
        ("ok", {"USDT": D(10) ** 20}, "digits"),
        ("ok", {"NOPE": D(1)}, "NOPE"),
    ],
)
def test_what_cannot_be_an_account_is_refused_and_says_why(
    here: Installation, name: str, balances: dict[str, Decimal], says: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        here.parts.accounts.add_simulated(name, EXCHANGE, balances)
    assert says in caught.value.message
    assert here.parts.accounts.all() == []


def test_an_account_at_no_known_exchange_is_refused(here: Installation) -> None:
    with pytest.raises(TidemarkError, match="nowhere"):
        here.parts.accounts.add_simulated("ok", "nowhere", {"USDT": D(1)})
    assert here.parts.accounts.all() == []


def test_a_name_that_is_taken_is_a_conflict(here: Installation) -> None:
    account = here.account()
    with pytest.raises(Conflict, match="exists already"):
        here.parts.accounts.add_simulated(account.name, EXCHANGE, {"USDT": D(1)})
    with pytest.raises(NotFound, match="nobody"):
        here.parts.accounts.get("nobody")


def test_an_account_whose_balances_could_not_be_read_says_why_and_is_opened_later(
    anywhere: Installation,
) -> None:
    here = anywhere
    here.venue.add_fault(action="error_before", path="/api/v3/account", count=2)
    added = here.parts.accounts.add_simulated(fresh_name(), EXCHANGE, {"USDT": D(500)})
    here.settle()
    opening = here.parts.accounts.get(added.name)
    assert opening.status == "opening"
    assert (opening.sync_failures, EXCHANGE in (opening.sync_error or "")) == (1, True)
    decision, order = here.submit(opening, "buy", "0.001")
    assert (order, decision.reason) == (None, "ACCOUNT_NOT_ACTIVE")
    here.run("orders.open_account", opening.id)
    assert here.parts.accounts.get(opening.id).sync_failures == 1, "not before its pause is over"
    here.wait(1_000)
    assert here.parts.accounts.get(opening.id).sync_failures == 2
    here.wait(2_000)
    opened = here.parts.accounts.get(opening.id)
    assert (opened.status, opened.sync_error) == ("active", None)
    assert here.balance(opened, "USDT") == (D(500), D(0))
    # Told once; the relay may send an event twice.
    told = {(each["account_id"], each["at"]) for each in here.alarms("account-not-opened")}
    assert [account_id for account_id, _ in told] == [opening.id]
    here.check(opened)


@pytest.mark.parametrize("trades", [1, 2, 5])
def test_a_trade_while_an_account_is_opened_is_posted_once(
    anywhere: Installation, monkeypatch: pytest.MonkeyPatch, trades: int
) -> None:
    """Somebody buys between two looks at the balances: once, twice, and without an end."""
    here = anywhere
    added = here.parts.accounts.add_simulated(fresh_name(), EXCHANGE, {"USDT": D(5000)})
    here.queue.waiting.clear()
    looks: list[int] = []
    original = BinanceSpotTrade.get_balance

    def while_trading(adapter: BinanceSpotTrade) -> Any:
        held = original(adapter)
        looks.append(1)
        if len(looks) <= trades:
            here.by_hand(added).create_order(SYMBOL, "market", "buy", 0.01)
        return held

    monkeypatch.setattr(BinanceSpotTrade, "get_balance", while_trading)
    here.parts.opener.open(added.id)
    monkeypatch.undo()
    if trades == 5:
        account = here.parts.accounts.get(added.id)
        assert (account.status, "balances move" in str(account.sync_error)) == ("opening", True)
        here.clock.advance(60_000)
        here.parts.opener.open(added.id)
    account = here.parts.accounts.get(added.id)
    here.reconcile(account, times=2)
    assert here.alarms("reconciliation-difference") == []
    assert here.parts.locks.locks(account.id) == []
    here.check(account)


def test_an_opening_is_driven_on_by_the_sweeper_and_by_adding_it_again(here: Installation) -> None:
    here.queue.losing = True
    lost = here.parts.accounts.add_simulated(fresh_name(), EXCHANGE, {"USDT": D(500)})
    here.queue.losing = False
    here.settle()
    assert here.parts.accounts.get(lost.id).status == "opening"
    here.wait(1_000)
    assert here.parts.accounts.get(lost.id).status == "active"

    here.venue.add_fault(action="error_before", path="/api/v3/account", count=1)
    name = fresh_name()
    failed = here.parts.accounts.add_simulated(name, EXCHANGE, {"USDT": D(500)})
    here.settle()
    again = here.parts.accounts.add_simulated(name, EXCHANGE, {"USDT": D(500)})
    here.settle()
    assert again.id == failed.id
    assert here.parts.accounts.wait_until_opened(again.id, 0).status == "active"


def test_keys_that_the_venue_refuses_are_not_tried_again_and_again(here: Installation) -> None:
    added = here.parts.accounts.add_simulated(fresh_name(), EXCHANGE, {"USDT": D(500)})
    with here.parts.units.write() as unit:
        wrong = here.parts.vault.seal(added.id, {"apiKey": "nobody", "secret": "none"})
        unit.accounts.lock(added.id).sealed_credentials = wrong
    here.settle()
    for _ in range(5):
        here.wait(60_000)
    refused = here.parts.accounts.get(added.id)
    assert (refused.status, refused.sync_failures) == ("opening", 1)
    assert refused.sync_error


def test_two_workers_that_open_one_account_take_its_balances_over_once(
    anywhere: Installation,
) -> None:
    here = anywhere
    added = here.parts.accounts.add_simulated(fresh_name(), EXCHANGE, {"USDT": D(500)})
    here.parts.desks.open(added.id)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: here.parts.opener.open(added.id), range(4)))
    opened = here.parts.accounts.get(added.id)
    assert here.balance(opened, "USDT") == (D(500), D(0))
    here.check(opened)


def test_without_a_simulator_there_are_no_simulated_accounts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with container_in(tmp_path_factory.mktemp("none")) as parts:
        with pytest.raises(Unavailable, match="tidemark up"):
            parts.accounts.add_simulated("ok", EXCHANGE, {"USDT": D(1)})
        assert parts.accounts.all() == []


# -- worth -----------------------------------------------------------------------------------


def test_a_snapshot_holds_capital_profit_and_fees_and_is_written_once_a_minute(
    here: Installation,
) -> None:
    account = here.account()
    instance = here.instance(account, "holder", capital=D(5_000))
    here.emit(instance, BUY)
    here.settle()
    here.market(by_ms=600_000)
    assert here.parts.accounts.snapshot_equity() == 1
    assert here.parts.accounts.snapshot_equity() == 0
    (snapshot,) = here.parts.queries.equity(instance.id, 10)
    position = here.position(instance)
    assert position is not None
    assert position.average_price is not None
    gain = (here.price() - position.average_price) * position.quantity
    assert snapshot.unrealized_pnl == gain
    assert snapshot.equity == 5_000 + gain - position.fees
    assert (snapshot.incomplete, snapshot.currency) == (False, "USDT")
    assert snapshot.ts % 60_000 == 0


def test_without_a_price_a_snapshot_is_incomplete_and_never_zero(here: Installation) -> None:
    account = here.account()
    instance = here.instance(account, "holder", capital=D(5_000))
    here.emit(instance, BUY)
    here.settle()
    here.restart()
    here.market(by_ms=600_000)
    here.venue.add_fault(action="error_before", path="/api/v3/*")
    here.parts.accounts.snapshot_equity()
    (snapshot,) = here.parts.queries.equity(instance.id, 10)
    assert (snapshot.equity, snapshot.unrealized_pnl, snapshot.incomplete) == (None, None, True)
    (view,) = here.parts.accounts.positions(account.id)
    assert (view.price, view.unrealized_pnl) == (None, None)


def test_equity_in_another_quote_currency_is_converted(here: Installation) -> None:
    """1 BTC of capital on ETH/BTC is worth what a bitcoin costs in USDT."""
    account = here.account(BTC="2")
    instance = here.instance(account, "holder", capital=D(1), symbols=("ETH/BTC",))
    here.parts.accounts.snapshot_equity()
    (snapshot,) = here.parts.queries.equity(instance.id, 1)
    assert (snapshot.currency, snapshot.incomplete) == ("USDT", False)
    assert snapshot.equity == here.price()


def test_positions_are_shown_with_their_worth_and_flat_ones_when_asked(here: Installation) -> None:
    account = here.account()
    here.order(account, "buy", "0.01")
    (view,) = here.parts.accounts.positions(account.name)
    assert view.instance.kind == "manual"
    assert view.price == here.price()
    here.order(account, "sell", "0.00999")
    assert here.parts.accounts.positions(account.id) == []
    (flat,) = here.parts.accounts.positions(account.id, flat=True)
    assert flat.unrealized_pnl == 0
    assert len(here.parts.accounts.fills(account.id, 10, None).rows) >= 2


# -- schedule --------------------------------------------------------------------------------


def test_of_many_schedulers_one_runs_each_slot(anywhere: Installation) -> None:
    here = anywhere
    schedule = here.parts.schedule
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            wins = list(pool.map(lambda _: schedule.take("maintenance.sweep"), range(8)))
        assert wins.count(True) == 1
        here.clock.advance(1_000)
    with pytest.raises(KeyError):
        schedule.take("maintenance.nothing")


def test_the_loser_of_a_slot_does_nothing(here: Installation) -> None:
    account = here.account()
    here.clock.advance(60_000 - here.clock.now_ms() % 60_000)
    _, order = here.submit(account, "buy", "0.01", here.away("buy"))
    assert order is not None
    here.queue.waiting.clear()
    assert here.parts.schedule.take("maintenance.sweep")
    here.run("maintenance.sweep")
    assert here.row(order).status == OrderStatus.NEW
    here.wait(1_000)
    assert here.row(order).status == OrderStatus.ACKNOWLEDGED
    here.clock.advance(25 * 3_600_000)
    here.run("maintenance.prune")
    with here.parts.units.read() as unit:
        assert list(unit.system.last_runs()) == ["maintenance.prune"]


def test_every_periodic_task_finds_its_work(here: Installation) -> None:
    account = here.account(USDT="50000")
    here.plan()
    instance = here.instance(account, "counter")
    here.market(by_ms=60_000)
    for task in ("follow_plans", "evaluate_running", "sync_accounts", "snapshot_equity"):
        here.run(f"maintenance.{task}")
    assert len(here.parts.instances.get(instance.id).state["bars"]) == 1
    assert here.orders_of(instance)[0].status == OrderStatus.FILLED
    assert len(here.parts.queries.equity(instance.id, 5)) == 1
