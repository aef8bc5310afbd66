"""The desk is restarted: nothing new is sent before the account was compared with its venue."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.core.orders.types import OrderStatus, OrderType, Side
from app.core.strategies.signal import Signal, SignalAction
from app.models import AccountRow
from tests.integration.trading.test_faults_on_orders import Killed, dying_at
from tests.support.installation import MINUTE, SYMBOL, Installation

D = Decimal
QUERIES = "/api/v3/*"


def blind(here: Installation, account: AccountRow, **fault: Any) -> None:
    """Every query of the account goes wrong until the faults are lifted."""
    given = {"action": "error_before", "status": 503, **fault}
    here.venue.add_fault(method="GET", path=QUERIES, account=here.venue_name(account), **given)


def once(here: Installation, kind: str) -> bool:
    """Whether an alarm was raised once; the relay may deliver it again."""
    return len({each["at"] for each in here.alarms(kind)}) == 1


def test_a_limit_order_that_filled_while_the_desk_was_down_is_known_before_the_next_is_sent(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    price = here.price()
    resting = here.order(account, "buy", "0.01", str((price * D("0.9999")).quantize(D("0.01"))))
    assert resting.status == OrderStatus.ACKNOWLEDGED
    here.parts.close()
    # The market of this seed comes back to the price after a day and a half.
    while here.at_venue(account)[0]["status"] != "filled":
        here.market(by_ms=60 * MINUTE)
    here.restart()
    _, fresh = here.submit(account, "buy", "0.01", here.away("buy"))
    assert fresh is not None
    since = here.venue.requests()[-1]["seq"]

    here.settle()

    assert here.row(resting).status == OrderStatus.FILLED
    assert here.row(fresh).status == OrderStatus.ACKNOWLEDGED
    (sent,) = here.sends(fresh)
    asked = here.venue.requests(since_seq=str(since), account=here.venue_name(account))
    before = {each["path"] for each in asked if each["seq"] < sent["seq"]}
    assert {"/api/v3/openOrders", "/api/v3/account", "/api/v3/myTrades"} <= before
    here.check(account)


def test_signals_are_judged_and_wait_and_cancels_pass_while_the_venue_cannot_be_asked(
    here: Installation,
) -> None:
    account = here.account(USDT="20000")
    instance = here.instance(account, "holder")
    resting = here.order(account, "buy", "0.01", here.away("buy"))
    here.restart()
    # All but the one order's own state.
    here.venue.add_fault(
        action="body", body="html", method="GET", path="/api/v3/openOrders",
        account=here.venue_name(account),
    )  # fmt: skip
    here.settle()
    low = D(here.away("buy"))
    (signal,) = here.emit(
        instance, Signal(SYMBOL, Side.BUY, SignalAction.ENTER, OrderType.LIMIT, D("0.01"), low)
    )
    here.settle()
    here.parts.canceller.request(resting.order_id)
    here.settle()

    assert [row.status for row in here.signals_of(instance)] == ["accepted"]
    (order,) = here.orders_of(instance)
    assert (order.status, order.attempt) == (OrderStatus.NEW, 0)
    assert order.reserved_amount > 0
    assert "compared with its venue" in (order.reason or "")
    assert here.row(resting).status == OrderStatus.CANCELLED
    for _ in range(5):
        here.wait(10_000)
    assert here.row(order).status == OrderStatus.NEW
    assert here.sends(order) == []
    # One alarm, whatever the number of tries.
    assert once(here, "account-not-comparable")
    state = here.parts.gate.state(account.id)
    assert not state.is_trusted
    assert "not JSON" in (state.error or "")

    here.venue.clear_faults()
    here.wait(10_000)
    assert here.row(order).status == OrderStatus.ACKNOWLEDGED
    assert here.row(order).reason is None
    assert here.parts.gate.state(account.id).is_trusted
    assert signal.id == order.signal_id
    here.check(account)


def test_an_order_that_waits_past_its_time_expires_unsent(here: Installation) -> None:
    account = here.account(USDT="20000")
    here.restart()
    blind(here, account)
    here.settle()
    _, order = here.submit(account, "buy", "0.01", here.away("buy"))
    assert order is not None
    here.settle()
    here.market(by_ms=2 * MINUTE)
    here.wait(5_000)
    assert here.row(order).status == OrderStatus.EXPIRED
    assert here.sends(order) == []
    assert here.balance(account, "USDT") == (D(20_000), D(0))


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "body", "body": "html"},
        {"action": "body", "body": "truncated"},
        {"action": "body", "body": "empty"},
        {"action": "error_before", "status": 503},
        {"action": "status", "status": 403, "message": "<html>"},
        {"action": "refuse"},
        {"action": "lose_reply"},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)
def test_whatever_the_venue_answers_at_the_start_nothing_ends_and_nothing_is_sent(
    here: Installation, fault: dict[str, Any]
) -> None:
    account = here.account(USDT="50000", BTC="1")
    orders = [here.order(account, "buy", "0.01", here.away("buy")) for _ in range(3)]
    orders += [here.order(account, "sell", "0.01", here.away("sell")) for _ in range(3)]
    held = here.balance(account, "USDT")
    here.restart()
    blind(here, account, **fault)
    _, waiting = here.submit(account, "buy", "0.01", here.away("buy"))
    assert waiting is not None
    for _ in range(12):
        here.wait(5_000)
        here.sync(account)

    assert {here.row(order).status for order in orders} == {OrderStatus.ACKNOWLEDGED}
    assert here.sends(waiting) == []
    assert here.alarms("reconciliation-difference") == []
    assert here.balance(account, "USDT")[1] == held[1] + here.row(waiting).reserved_amount
    assert once(here, "account-not-comparable")

    here.venue.clear_faults()
    if fault.get("status") == 403:
        here.wait(10 * MINUTE)  # so long the address is silent
    here.wait(10_000)
    assert {here.row(each).status for each in (*orders, waiting)} == {OrderStatus.ACKNOWLEDGED}
    here.check(account)


def test_one_query_that_fails_keeps_the_gate_shut(here: Installation) -> None:
    """Each of the queries alone: what could not be asked was not compared."""
    account = here.account(USDT="50000")
    resting = here.order(account, "buy", "0.01", here.away("buy"))
    for path in ("openOrders", "account", "myTrades"):
        here.restart()
        here.venue.add_fault(
            action="error_before", method="GET", path=f"/api/v3/{path}", status=503,
            account=here.venue_name(account),
        )  # fmt: skip
        here.settle()
        assert not here.parts.gate.state(account.id).is_trusted, path
        here.venue.clear_faults()
        here.wait(2_000)
        assert here.parts.gate.state(account.id).is_trusted, path
    assert here.row(resting).status == OrderStatus.ACKNOWLEDGED


@pytest.mark.parametrize("step", ["after_claim", "after_send"])
def test_an_order_of_the_dead_process_is_resolved_before_anything_new_is_sent(
    anywhere: Installation, step: str
) -> None:
    here = anywhere
    account = here.account(USDT="50000")
    _, last = here.submit(account, "buy", "0.01")
    assert last is not None
    here.checkpoint = dying_at(step)
    with pytest.raises(Killed):
        here.settle()
    here.checkpoint = lambda reached: None
    here.restart()
    _, fresh = here.submit(account, "buy", "0.01", here.away("buy"))
    assert fresh is not None
    started = here.clock.now_ms()
    here.settle()
    assert here.row(fresh).status == OrderStatus.NEW
    while here.row(fresh).status != OrderStatus.ACKNOWLEDGED:
        here.wait(1_000)
        assert here.clock.now_ms() - started < 60_000
    assert here.row(last).status == OrderStatus.FILLED
    assert len(here.at_venue(account)) == 2
    assert here.alarms("foreign-trade") == []
    assert here.alarms("reconciliation-difference") == []
    here.check(account)


def test_a_quiet_account_is_compared_with_few_queries(here: Installation) -> None:
    account = here.account(USDT="50000")
    here.sync(account)
    since = here.venue.requests()[-1]["seq"]
    here.restart()
    here.settle()
    asked = here.venue.requests(since_seq=str(since), account=here.venue_name(account))
    assert [each["path"] for each in asked] == ["/api/v3/openOrders", "/api/v3/account"]
    assert here.parts.gate.state(account.id).is_trusted


def test_a_second_worker_that_starts_during_a_comparison_is_waited_for(
    here: Installation,
) -> None:
    account = here.account(USDT="50000")
    here.restart()
    started = here.parts.accounts.get(account.id).epoch
    inner = here.parts.desks.open(account.id).adapter

    class Starting:
        """A venue that is asked while another worker starts."""

        def get_balance(self) -> Any:
            here.parts.gate.require_reconciliation("another worker was started")
            return inner.get_balance()

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

    here.parts.desks._kept[account.id] = Starting()  # type: ignore[assignment]
    here.parts.account_sync.sync(account.id)
    assert not here.parts.gate.state(account.id).is_trusted
    here.parts.desks._kept[account.id] = inner
    here.settle()
    state = here.parts.gate.state(account.id)
    assert (state.is_trusted, state.epoch) == (True, started + 1)


def test_a_venue_that_is_lost_from_sight_holds_back_new_orders_until_it_is_back(
    here: Installation,
) -> None:
    account = here.account(USDT="50000")
    here.order(account, "buy", "0.01", here.away("buy"))
    blind(here, account)
    for _ in range(2):
        here.clock.advance(6_000)
        here.sync(account)
    assert here.parts.gate.state(account.id).is_trusted
    assert here.alarms("account-not-comparable") == []
    for _ in range(3):
        here.clock.advance(11_000)
        here.sync(account)
    assert not here.parts.gate.state(account.id).is_trusted
    assert once(here, "account-not-comparable")
    _, waiting = here.submit(account, "buy", "0.01", here.away("buy"))
    assert waiting is not None
    here.settle()
    assert here.sends(waiting) == []
    here.venue.clear_faults()
    here.wait(11_000)
    assert here.row(waiting).status == OrderStatus.ACKNOWLEDGED
