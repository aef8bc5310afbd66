"""Orders that rest: filled by the market, cancelled, replaced, and reported late or twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from app.core.orders.types import OrderStatus, OrderType, Side, VenueFill
from app.core.strategies.signal import Signal, SignalAction
from app.models import OrderRow
from app.services.orders.fills import apply_fills
from tests.support.installation import SYMBOL, Installation

D = Decimal


def near(here: Installation) -> str:
    """A buy limit just below the market, which the next weeks will surely reach."""
    return here.away("buy", "0.0005")


def until_filled(here: Installation, *orders: OrderRow) -> None:
    """Move the market until the venue has filled the orders; we are not told."""
    ids = {order.client_order_id for order in orders}
    for hours in range(200):
        here.market(by_ms=(1 + hours) * 3_600_000)
        filled = {each["client_order_id"] for each in here.venue.orders(status="filled")}
        if ids <= filled:
            return
    raise AssertionError("the market never came to the price")


def applied(here: Installation, order: OrderRow, fills: Sequence[VenueFill]) -> int:
    """Hand an order fills, as a user stream or a sweep would; how many were new."""
    parts = here.parts
    return parts.units.run(
        lambda unit: apply_fills(unit, parts.ids, unit.orders.lock(order.order_id), fills)
    )


def fill(order: OrderRow, trade_id: str, quantity: str, price: str = "50000") -> VenueFill:
    return VenueFill(
        trade_id,
        order.venue_order_id or "0",
        order.symbol,
        Side(order.side),
        D(price),
        D(quantity),
        D(0),
        "USDT",
        1,
        True,
    )


# -- the market fills it ---------------------------------------------------------------------


def test_a_resting_order_that_the_market_filled_is_booked_once_however_often_one_looks(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    order = here.order(account, "buy", "0.01", near(here))
    assert order.status == OrderStatus.ACKNOWLEDGED
    until_filled(here, order)
    for _ in range(3):
        here.sync(account)

    filled = here.row(order)
    assert (filled.status, filled.filled_quantity) == (OrderStatus.FILLED, D("0.01"))
    (there,) = here.at_venue(account)
    assert [(each.trade_id, each.quantity) for each in here.fills(order)] == [
        (str(each["trade_id"]), D(each["quantity"])) for each in there["fills"]
    ]
    assert all(each.is_maker for each in here.fills(order))
    assert len(here.bus.on("orders.filled.")) == 1
    assert here.balance(account, "USDT")[1] == 0
    cursor = here.parts.accounts.get(account.id).trade_cursor
    assert cursor == {SYMBOL: here.fills(order)[-1].trade_id}
    here.check(account)

    # Whoever reads on from the cursor does not see old trades again.
    second = here.order(account, "buy", "0.01", near(here))
    until_filled(here, second)
    here.sync(account)
    asked = here.venue.requests(path="/api/v3/myTrades", account=here.venue_name(account))
    assert asked[-1]["params"]["fromId"] == str(int(cursor[SYMBOL]) + 1)
    assert here.row(second).status == OrderStatus.FILLED
    here.check(account)


def test_an_order_cancelled_at_the_exchange_by_somebody_else_ends_here_too(
    here: Installation,
) -> None:
    account = here.account(USDT="5000")
    order = here.order(account, "buy", "0.01", here.away("buy"))
    here.parts.desks.open(account.id).adapter.cancel_order(SYMBOL, order.client_order_id)
    here.sync(account)
    assert here.row(order).status == OrderStatus.CANCELLED
    assert here.balance(account, "USDT") == (D(5000), D(0))
    here.check(account)


def test_an_ioc_that_finds_no_taker_expires_and_frees_its_funds(here: Installation) -> None:
    account = here.account(USDT="5000")
    order = here.order(account, "buy", "0.01", here.away("buy"), tif="ioc")
    assert order.status == OrderStatus.EXPIRED
    assert here.balance(account, "USDT") == (D(5000), D(0))
    here.check(account)


def test_a_trade_of_somebody_else_is_reported_once_and_does_not_hold_up_the_cursor(
    here: Installation,
) -> None:
    account = here.account(USDT="50000")
    sealed = here.parts.accounts.get(account.id).sealed_credentials
    keys = here.parts.vault.open(account.id, sealed)
    person = here.simulator.ccxt(None, apiKey=keys["apiKey"], secret=keys["secret"])
    person.create_order(SYMBOL, "market", "buy", 0.01)
    order = here.order(account, "buy", "0.02", near(here))
    until_filled(here, order)
    for _ in range(2):
        here.sync(account)
    foreign, ours = here.at_venue(account)
    assert here.row(order).status == OrderStatus.FILLED
    assert len(here.alarms("foreign-trade")) == len(foreign["fills"])
    assert (
        "buy of 0.01 BTC/USDT was not made by Tidemark" in (here.alarms("foreign-trade")[0]["text"])
    )
    cursor = here.parts.accounts.get(account.id).trade_cursor
    assert cursor == {SYMBOL: str(ours["fills"][-1]["trade_id"])}


def test_a_trade_whose_order_is_still_unknown_is_read_again(here: Installation) -> None:
    account = here.account(USDT="50000")
    whose = here.venue_name(account)
    resting = here.order(account, "buy", "0.01", here.away("buy"))
    here.venue.add_fault(
        action="lose_reply", method="POST", path="/api/v3/order", account=whose, count=1
    )
    here.venue.add_fault(action="refuse", path="/api/v3/order", account=whose, nth=2)
    unknown = here.order(account, "buy", "0.02")
    assert unknown.status == OrderStatus.UNKNOWN
    here.sync(account)
    assert here.parts.accounts.get(account.id).trade_cursor == {}
    assert here.alarms("foreign-trade") == []
    here.wait(1_500)
    assert here.row(unknown).status == OrderStatus.FILLED
    here.sync(account)
    assert here.parts.accounts.get(account.id).trade_cursor != {}
    assert here.row(resting).status == OrderStatus.ACKNOWLEDGED
    here.check(account)


# -- cancels ---------------------------------------------------------------------------------


def test_a_cancel_that_loses_the_race_leaves_a_filled_order(anywhere: Installation) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    order = here.order(account, "buy", "0.01", near(here))
    until_filled(here, order)
    here.parts.canceller.request(order.order_id)
    here.settle()
    assert here.life(order)[-2:] == ["pending_cancel", "filled"]
    assert here.life(order).count("pending_cancel") == 1
    assert len(here.fills(order)) == len(here.at_venue(account)[0]["fills"])
    assert here.balance(account, "USDT")[1] == 0
    here.check(account)


def test_an_order_not_yet_sent_is_cancelled_without_the_exchange(here: Installation) -> None:
    account = here.account(USDT="5000")
    _, order = here.submit(account, "buy", "0.01")
    assert order is not None
    here.parts.canceller.request(order.order_id)
    here.settle()
    assert here.life(order) == ["new", "cancelled"]
    assert here.at_venue(account) == []
    assert here.balance(account, "USDT") == (D(5000), D(0))


def test_the_cancel_of_an_unknown_order_is_kept_and_carried_out_when_it_is_found(
    here: Installation,
) -> None:
    account = here.account(USDT="5000")
    whose = here.venue_name(account)
    here.venue.add_fault(
        action="lose_reply", method="POST", path="/api/v3/order", account=whose, count=1
    )
    here.venue.add_fault(
        action="refuse", method="GET", path="/api/v3/order", account=whose, count=1
    )
    order = here.order(account, "buy", "0.01", here.away("buy"))
    assert order.status == OrderStatus.UNKNOWN

    here.parts.canceller.request(order.order_id)
    here.parts.canceller.request(order.order_id)
    here.settle()
    kept = here.row(order)
    assert (kept.status, kept.cancel_requested) == (OrderStatus.UNKNOWN, True)
    assert here.balance(account, "USDT")[1] > 0

    here.wait(1_500)
    assert here.life(order)[-3:] == ["acknowledged", "pending_cancel", "cancelled"]
    assert here.at_venue(account)[0]["status"] == "canceled"
    deletes = here.venue.requests(method="DELETE", path="/api/v3/order", account=whose)
    assert len(deletes) == 1
    assert here.balance(account, "USDT") == (D(5000), D(0))
    here.check(account)


def test_a_cancel_whose_reply_is_lost_is_settled_by_asking(here: Installation) -> None:
    account = here.account(USDT="5000")
    order = here.order(account, "buy", "0.01", here.away("buy"))
    here.venue.add_fault(
        action="lose_reply", method="DELETE", account=here.venue_name(account), count=1
    )
    here.parts.canceller.request(order.order_id)
    here.settle()
    assert here.row(order).status == OrderStatus.PENDING_CANCEL
    here.wait(1_500)
    assert here.row(order).status == OrderStatus.CANCELLED
    here.check(account)


# -- replacements ----------------------------------------------------------------------------


def limit_buy(price: str) -> Signal:
    return Signal(SYMBOL, Side.BUY, SignalAction.ENTER, OrderType.LIMIT, D("0.01"), D(price))


def cancel(key: str) -> Signal:
    return Signal(SYMBOL, Side.BUY, SignalAction.CANCEL, OrderType.LIMIT, cancels=key)


def key_of(order: OrderRow) -> str:
    return order.intent_key.removeprefix(f"s:{order.instance_id}:")


def test_a_replacement_waits_until_its_cancel_is_confirmed(anywhere: Installation) -> None:
    here = anywhere
    account = here.account(USDT="1000")
    instance = here.instance(account, "holder", capital=D(1000))
    price = here.away("buy")
    here.emit(instance, limit_buy(price))
    here.settle()
    (old,) = here.orders_of(instance)
    # The cancel is on its way, and its answer is lost.
    here.venue.add_fault(
        action="refuse", method="DELETE", account=here.venue_name(account), count=1
    )
    lower = here.away("buy", "0.11")
    _, new = here.emit(instance, cancel(key_of(old)), limit_buy(lower))
    here.settle()
    assert [row.status for row in here.signals_of(instance)] == ["accepted", "done", "new"]
    assert len(here.at_venue(account)) == 1

    here.wait(1_500)
    assert here.row(old).status == OrderStatus.CANCELLED
    assert here.signals_of(instance)[-1].status == "accepted"
    statuses = [(each["price"], each["status"]) for each in here.at_venue(account)]
    assert statuses == [(price, "canceled"), (lower, "new")]
    assert here.parts.queries.orders(instance.id)[-1].signal_id == new.id
    here.check(account)


def test_a_replacement_is_dropped_when_the_old_order_filled(here: Installation) -> None:
    account = here.account(USDT="5000")
    instance = here.instance(account, "holder", capital=D(5000))
    here.emit(instance, limit_buy(near(here)))
    here.settle()
    (old,) = here.orders_of(instance)
    until_filled(here, old)
    here.emit(instance, cancel(key_of(old)), limit_buy(here.away("buy", "0.2")))
    here.settle()
    assert here.row(old).status == OrderStatus.FILLED
    assert [row.status for row in here.signals_of(instance)] == ["accepted", "done", "expired"]
    assert len(here.at_venue(account)) == 1
    here.check(account)


def test_a_cancel_of_a_signal_that_was_not_judged_yet_stops_that_signal(
    here: Installation,
) -> None:
    account = here.account(USDT="5000")
    instance = here.instance(account, "holder", capital=D(5000))
    here.queue.losing = True
    (first,) = here.emit(instance, limit_buy(here.away("buy")), cause="bar:1")
    here.queue.losing = False
    here.emit(instance, cancel(f"{SYMBOL}|1m|bar:1|0"), cause="bar:2")
    here.settle()
    here.wait(3_000)
    assert [row.status for row in here.signals_of(instance)] == ["expired", "done"]
    assert here.orders_of(instance) == []
    assert here.at_venue(account) == []
    assert here.bus.on("signals.")[-1]["signal_id"] == first.id


# -- late, twice, too much -------------------------------------------------------------------


def test_a_fill_after_the_end_is_added_with_an_alarm_and_the_state_stays(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    order = here.order(account, "buy", "0.01", here.away("buy"))
    here.parts.canceller.request(order.order_id)
    here.settle()
    assert applied(here, order, [fill(order, "900001", "0.004")]) == 1

    late = here.row(order)
    assert (late.status, late.filled_quantity) == (OrderStatus.CANCELLED, D("0.004"))
    (alarm,) = here.alarms("late-fill")
    assert alarm["order_id"] == order.order_id
    assert alarm["text"] == "trade 900001 arrived after cancelled"
    assert here.balance(account, "USDT") == (D(4800), D(0))
    assert here.balance(account, "BTC") == (D("0.004"), D(0))
    position = here.position(here.manual(account))
    assert position is not None
    assert position.quantity == D("0.004")


def test_a_fill_beyond_the_ordered_quantity_is_booked_and_alarmed(here: Installation) -> None:
    account = here.account(USDT="5000")
    order = here.order(account, "buy", "0.01", here.away("buy"))
    applied(here, order, [fill(order, "900002", "0.008"), fill(order, "900003", "0.003")])
    over = here.row(order)
    assert (over.status, over.filled_quantity) == (OrderStatus.FILLED, D("0.011"))
    assert over.reserved_amount == 0
    assert [each["text"] for each in here.alarms("overfill")] == [
        "trade 900003 exceeds the ordered quantity"
    ]
    assert here.balance(account, "USDT")[1] == 0


def test_a_trade_that_is_reported_twice_is_booked_once(anywhere: Installation) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    order = here.order(account, "buy", "0.01", here.away("buy"))
    first = fill(order, "900004", "0.004")
    assert applied(here, order, [first, first]) == 1
    assert applied(here, order, [replace(first, timestamp=2), fill(order, "900005", "0.001")]) == 1
    partly = here.row(order)
    assert (partly.status, partly.filled_quantity) == (OrderStatus.PARTIALLY_FILLED, D("0.005"))
    # Half of it is still to be paid: half is still held.
    assert partly.reserved_amount == partly.reserved_initial / 2
    assert here.balance(account, "USDT")[1] == partly.reserved_amount


def test_a_fee_in_a_third_coin_is_paid_and_alarmed_because_it_is_not_in_the_profit(
    here: Installation,
) -> None:
    account = here.account(USDT="5000", BNB="1")
    order = here.order(account, "buy", "0.01", here.away("buy"))
    applied(here, order, [replace(fill(order, "900006", "0.01"), fee=D("0.02"), fee_asset="BNB")])
    assert here.balance(account, "BNB") == (D("0.98"), D(0))
    assert len(here.alarms("unpriced-fee")) == 1


@pytest.mark.parametrize("reverse", [False, True])
def test_one_sweep_over_many_filled_orders_books_each(here: Installation, reverse: bool) -> None:
    account = here.account(USDT="50000")
    prices = ["0.0003", "0.0004", "0.0005"]
    orders = [
        here.order(account, "buy", "0.01", here.away("buy", by))
        for by in (reversed(prices) if reverse else prices)
    ]
    until_filled(here, *orders)
    here.sync(account)
    assert {here.row(order).status for order in orders} == {OrderStatus.FILLED}
    here.check(account)


def test_sends_sweeps_and_cancels_at_the_same_moment_keep_the_books(
    anywhere: Installation,
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    here = anywhere
    account = here.account(USDT="100000", BTC="1")
    instance = here.instance(account, "holder", capital=D(20_000))
    here.emit(instance, *(limit_buy(near(here)) for _ in range(6)))
    here.settle()
    until_filled(here, *here.orders_of(instance))
    resting = [
        *here.orders_of(instance),
        *(here.order(account, "sell", "0.01", here.away("sell")) for _ in range(3)),
    ]
    fresh = [here.submit(account, "buy", "0.01")[1] for _ in range(6)]
    for order in resting:
        here.parts.canceller.request(order.order_id)
    here.queue.losing = True
    parts = here.parts
    work = [
        *((parts.sender.send, order.order_id) for order in fresh if order),
        *((parts.canceller.cancel, order.order_id) for order in reversed(resting)),
        *((parts.account_sync.sync, account.id) for _ in range(6)),
    ]
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(task, key) for task, key in work]:  # type: ignore[arg-type]
            done.result()
    here.queue.losing = False
    here.sync(account)
    assert {here.row(order).status for order in fresh if order} == {OrderStatus.FILLED}
    assert {here.row(order).status for order in resting} == {
        OrderStatus.FILLED,
        OrderStatus.CANCELLED,
    }
    here.check(account)
