"""Strategy instances: created, started, stopped, failing; and what they may claim."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import Conflict, InvalidInput, NotFound, TidemarkError, UnknownName
from app.core.orders.types import OrderStatus, OrderType, Side
from app.core.strategies.signal import Signal, SignalAction
from app.models import AccountRow
from app.repositories.accounts import AccountRepository
from tests.support.installation import SYMBOL, Installation

D = Decimal
BUY = Signal(SYMBOL, Side.BUY, SignalAction.ENTER, quantity=D("0.01"))

RAISER = '''
from tidemark import BaseStrategy


class Raiser(BaseStrategy):
    """Fails on its first bar."""

    def on_kline(self, kline):
        wanted = {}
        return wanted["nothing"]
'''


def resting(here: Installation) -> Signal:
    price = D(here.away("buy"))
    return Signal(SYMBOL, Side.BUY, SignalAction.ENTER, OrderType.LIMIT, D("0.01"), price)


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"name": ""}, InvalidInput, "must begin with a letter or digit"),
        ({"name": "-x"}, InvalidInput, "must begin with a letter or digit"),
        ({"name": "x" * 64}, InvalidInput, "at most 63"),
        ({"name": "manual"}, Conflict, "has an instance named 'manual' already"),
        ({"symbols": ()}, InvalidInput, "at least one symbol"),
        ({"symbols": (SYMBOL, SYMBOL)}, InvalidInput, "each only once"),
        ({"symbols": ("NOPE/USDT",)}, UnknownName, "NOPE/USDT"),
        ({"symbols": (SYMBOL, "ETH/BTC")}, InvalidInput, "one quote currency"),
        ({"interval": "7m"}, UnknownName, "7m"),
        ({"capital": D(0)}, InvalidInput, "capital was 0; it must be above 0"),
        ({"capital": D("-1E+3")}, InvalidInput, "capital was -1000; it must be above 0"),
        ({"strategy": "nope"}, UnknownName, "tidemark strategy list"),
        ({"params": {"fast": 1}}, InvalidInput, "fast"),
        ({"params": {"fats": 5}}, InvalidInput, "fats"),
        ({"params": {"fast": 30, "slow": 10}}, TidemarkError, "must be below slow"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, dict) else "",
)
def test_what_cannot_be_an_instance_is_refused_and_says_what_is_wrong(
    here: Installation, given: dict[str, Any], kind: type[TidemarkError], says: str
) -> None:
    account = here.account()
    strategy = given.pop("strategy", "moving_average_cross")
    with pytest.raises(kind) as caught:
        here.instance(account, strategy, start=False, **given)
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert here.parts.instances.page(10, None).rows == []


def test_an_instance_of_no_account_is_refused(here: Installation) -> None:
    with pytest.raises(NotFound, match="nobody"):
        here.instance(AccountRow(id="nobody"), "holder")


def test_an_instance_does_nothing_before_its_start_and_runs_only_once(here: Installation) -> None:
    account = here.account()
    here.plan()
    created = here.instance(account, "counter", start=False)
    here.bars(2)
    assert here.signals_of(created) == []
    started = here.parts.instances.start(created.id)
    with pytest.raises(Conflict, match="running already"):
        here.parts.instances.start(created.id)
    assert here.parts.instances.get(created.id).run_id == started.run_id
    assert [each["status"] for each in here.bus.on("system.instance.")] == ["running"]


def test_the_capitals_of_running_instances_cannot_exceed_the_accounts_money(
    here: Installation,
) -> None:
    account = here.account(USDT="15000")
    first = here.instance(account, "holder")
    second = here.instance(account, "holder", start=False)
    with pytest.raises(Conflict) as caught:
        here.parts.instances.start(second.id)
    assert caught.value.error_code == "capital-exceeded"
    assert "would claim 20000 USDT, but the account holds 15000" in caught.value.message
    here.parts.instances.stop(first.id)
    assert here.parts.instances.start(second.id).status == "running"


def test_two_starts_at_the_same_moment_do_not_share_the_same_money(anywhere: Installation) -> None:
    here = anywhere
    account = here.account(USDT="15000")
    rows = [here.instance(account, "holder", start=False) for _ in range(4)]

    def start(instance_id: str) -> str:
        try:
            return here.parts.instances.start(instance_id).status
        except Conflict as error:
            return error.error_code

    with ThreadPoolExecutor(4) as pool:
        ends = sorted(pool.map(start, [row.id for row in rows]))
    assert ends == ["capital-exceeded"] * 3 + ["running"]


def test_a_stop_cancels_working_orders_and_keeps_the_position(anywhere: Installation) -> None:
    here = anywhere
    account = here.account()
    instance = here.instance(account, "holder")
    here.emit(instance, BUY)
    here.emit(instance, resting(here))
    here.settle()
    filled, working = here.orders_of(instance)
    assert here.parts.instances.stop(instance.id).status == "stopped"
    here.settle()
    assert here.row(filled).status == OrderStatus.FILLED
    assert here.row(working).status == OrderStatus.CANCELLED
    assert [each["status"] for each in here.at_venue(account)] == ["filled", "canceled"]
    position = here.position(instance)
    assert position is not None
    assert position.quantity == D("0.00999")
    assert here.parts.instances.stop(instance.id).status == "stopped"
    here.check(account)


def test_after_a_stop_no_signal_becomes_an_order(anywhere: Installation) -> None:
    here = anywhere
    account = here.account()
    instance = here.instance(account, "holder")
    here.emit(instance, BUY)
    here.parts.instances.stop(instance.id)
    here.settle()
    here.wait(3_000)
    (signal,) = here.signals_of(instance)
    assert signal.status == "denied"
    (decision,) = here.parts.queries.decisions(instance.id)
    assert decision.reason == "INSTANCE_NOT_RUNNING: status=stopped"
    assert here.at_venue(account) == []


def test_a_stop_between_acceptance_and_sending_stops_the_order(here: Installation) -> None:
    account = here.account()
    instance = here.instance(account, "holder")
    (signal,) = here.emit(instance, BUY)
    order = here.parts.intake.accept_signal(signal.id)
    assert order is not None
    here.parts.instances.stop(instance.id)
    here.settle()
    assert here.row(order.order_id).status == OrderStatus.CANCELLED
    assert here.at_venue(account) == []
    assert here.balance(account, "USDT") == (D(100_000), D(0))


@pytest.mark.parametrize(
    "database_url", ["mysql"], indirect=True
)  # SQLite has one writer at a time
def test_a_stop_while_the_order_is_being_written_stops_the_order(
    anywhere: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate has read that the instance runs; the stop is committed before the decision is."""
    here = anywhere
    account = here.account()
    instance = here.instance(account, "holder")
    here.emit(instance, BUY)
    lock = AccountRepository.lock_balances

    def stopped_meanwhile(self: AccountRepository, *names: Any) -> Any:
        monkeypatch.undo()
        here.parts.instances.stop(instance.id)
        return lock(self, *names)

    monkeypatch.setattr(AccountRepository, "lock_balances", stopped_meanwhile)
    here.settle()
    (order,) = here.orders_of(instance)
    assert (order.status, order.reason) == (OrderStatus.CANCELLED, "its instance is stopped")
    assert here.at_venue(account) == []
    assert here.balance(account, "USDT") == (D(100_000), D(0))


def test_an_order_that_a_failed_instance_left_unsent_is_not_sent(here: Installation) -> None:
    account = here.account()
    here.plan()
    here.parts.catalogue.add_file("raiser", RAISER)
    instance = here.instance(account, "raiser")
    here.queue.losing = True
    (signal,) = here.emit(instance, BUY)
    order = here.parts.intake.accept_signal(signal.id)
    assert order is not None
    here.queue.losing = False
    here.bars(1)
    assert here.parts.instances.get(instance.id).status == "failed"
    here.wait(3_000)
    left = here.row(order.order_id)
    assert (left.status, left.reason) == (OrderStatus.CANCELLED, "its instance is failed")
    assert here.balance(account, "USDT") == (D(100_000), D(0))


def test_a_users_file_that_raises_fails_alone_with_its_line_and_an_alert(
    here: Installation,
) -> None:
    account = here.account()
    here.plan()
    here.parts.catalogue.add_file("raiser", RAISER)
    failing = here.instance(account, "raiser")
    healthy = here.instance(account, "counter")
    here.bars(2)

    failed = here.parts.instances.get(failing.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert "line 10" in failed.error
    assert "KeyError: 'nothing'" in failed.error
    (alert,) = here.alarms("strategy-failed")
    assert alert["instance_id"] == failing.id
    assert alert["text"] == failed.error
    going = here.parts.instances.get(healthy.id)
    assert going.status == "running"
    assert len(going.state["bars"]) == 2
    # A person starts it again, and it begins anew.
    again = here.parts.instances.start(failing.id)
    assert (again.status, again.error) == ("running", None)
    assert again.run_id != failed.run_id


def test_a_new_version_of_a_file_leaves_running_instances_with_theirs(here: Installation) -> None:
    account = here.account()
    here.parts.catalogue.add_file("raiser", RAISER)
    old = here.instance(account, "raiser")
    here.parts.catalogue.add_file("raiser", RAISER.replace("nothing", "something"))
    here.parts.catalogue.add_file("raiser", RAISER.replace("nothing", "something"))
    new = here.instance(account, "raiser")
    with here.parts.units.read() as unit:
        first = unit.strategies.version(old.version_id or "")
        second = unit.strategies.version(new.version_id or "")
    assert first is not None
    assert second is not None
    assert (first.source, second.source != RAISER) == (RAISER, True)
    with pytest.raises(InvalidInput, match="built-in strategy"):
        here.parts.catalogue.add_file("counter", RAISER)
    with pytest.raises(InvalidInput, match="256 KiB"):
        here.parts.catalogue.add_file("big", "#" * 300_000)
    for name in ("", "../up", "two words", "two\nlines", "均线", "1st", "a" * 64):
        with pytest.raises(InvalidInput, match="strategy name"):
            here.parts.catalogue.add_file(name, RAISER)
