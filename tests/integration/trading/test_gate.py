"""Halts, quotas, idempotency and validity: what stops an order, when, and what still passes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from app.core.errors import InvalidInput, NotFound, UnknownName
from app.core.orders.types import OrderStatus, OrderType, Side
from app.core.strategies.signal import Signal, SignalAction
from app.models import AccountRow, StrategyInstanceRow
from tests.support.installation import DAY, MINUTE, SYMBOL, Installation

D = Decimal


def buy(quantity: str, limit: str | None = None) -> Signal:
    return Signal(
        SYMBOL,
        Side.BUY,
        SignalAction.ENTER,
        OrderType.LIMIT if limit else OrderType.MARKET,
        D(quantity),
        D(limit) if limit else None,
    )


def sell(quantity: str) -> Signal:
    return Signal(SYMBOL, Side.SELL, SignalAction.EXIT, quantity=D(quantity))


# -- halts ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["global", "account", "instance", "symbol"])
def test_a_halt_refuses_new_orders_of_its_scope_and_lets_cancels_pass(
    here: Installation, kind: str
) -> None:
    account, other = here.account(USDT="5000"), here.account(USDT="5000")
    scope = {
        "global": "global",
        "account": f"account:{account.id}",
        "instance": f"instance:{here.manual(account).id}",
        "symbol": f"symbol:binance:{SYMBOL}",
    }[kind]
    resting = here.order(account, "buy", "0.01", here.away("buy"))
    here.parts.risk.halt(scope, "a person wants it", "person")
    assert here.parts.risk.halt(scope, "again", "person").reason == "a person wants it"

    decision, order = here.submit(account, "buy", "0.01")
    assert order is None
    assert decision.reason == f"TRADING_HALTED: scope={scope}"
    elsewhere = here.submit(other, "buy", "0.01", key="elsewhere")[1]
    assert (elsewhere is None) == (kind in ("global", "symbol"))
    assert (here.submit(account, "buy", "1", symbol="ETH/USDT")[1] is None) == (kind != "symbol")

    here.parts.canceller.request(resting.order_id)
    here.settle()
    assert here.row(resting).status == OrderStatus.CANCELLED
    assert [each["scope"] for each in here.alarms("halt")] == [scope]

    assert here.parts.risk.resume(scope, "person") == 1
    assert here.parts.risk.resume(scope, "person") == 0
    assert here.order(account, "buy", "0.01").status == OrderStatus.FILLED
    here.check(account)


@pytest.mark.parametrize("scope", ["global", "symbol"])
def test_a_halt_between_acceptance_and_sending_stops_the_order_and_frees_its_funds(
    anywhere: Installation, scope: str
) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    _, order = here.submit(account, "buy", "0.01")
    assert order is not None
    assert here.balance(account, "USDT")[1] > 0
    here.parts.risk.halt("global" if scope == "global" else f"symbol:binance:{SYMBOL}", "", "me")

    here.settle()

    stopped = here.row(order)
    assert stopped.status == OrderStatus.REJECTED
    assert (stopped.reason or "").startswith("halt: ")
    assert here.balance(account, "USDT") == (D(5000), D(0))
    assert here.at_venue(account) == []
    assert here.bus.on("orders.rejected.")[-1]["order_id"] == order.order_id
    here.parts.risk.resume("global", "me")
    here.wait(2_000)
    assert here.row(order).status == OrderStatus.REJECTED


def test_a_halt_survives_a_restart(here: Installation) -> None:
    account = here.account()
    here.parts.risk.halt("global", "night", "me")
    here.restart()
    assert here.submit(account, "buy", "0.01")[0].reason == "TRADING_HALTED: scope=global"


def test_a_halt_of_nothing_known_is_refused(here: Installation) -> None:
    with pytest.raises(InvalidInput, match="use global, account:<id>"):
        here.parts.risk.halt("everything", "", "me")
    with pytest.raises(NotFound):
        here.parts.risk.halt("account:nobody", "", "me")
    for misspelt in ("binance:BTCUSDT", f"binance:{SYMBOL.lower()}", f"nowhere:{SYMBOL}"):
        with pytest.raises(UnknownName):
            here.parts.risk.halt(f"symbol:{misspelt}", "", "me")
    assert here.parts.risk.halts() == []


# -- quotas and limits --------------------------------------------------------------------


def test_an_instance_may_send_so_many_orders_a_market_day_and_again_the_next_day(
    here: Installation,
) -> None:
    account = here.account()
    instance = here.instance(account, "holder", max_orders_per_day=2)
    for _ in range(3):
        here.emit(instance, buy("0.001"))
        here.settle()
    assert [row.status for row in here.signals_of(instance)] == ["accepted", "accepted", "denied"]
    assert here.quota(instance).orders_today == 2
    (denied,) = here.alarms("denied")
    assert denied["text"] == "ORDERS_PER_DAY_USED_UP: max_orders_per_day=2"

    here.market(by_ms=DAY)
    here.emit(instance, buy("0.001"))
    here.settle()
    assert here.signals_of(instance)[-1].status == "accepted"
    assert here.quota(instance).orders_today == 1


def test_the_position_quota_counts_what_is_held_and_what_is_under_way(here: Installation) -> None:
    account = here.account()
    price = here.price()
    quota = price * D("0.025")
    instance = here.instance(account, "holder", max_position=quota)
    here.emit(instance, buy("0.01"))
    here.settle()
    here.emit(instance, buy("0.01", here.away("buy", "0.01")))
    here.settle()
    here.emit(instance, buy("0.01"))
    here.settle()
    assert [row.status for row in here.signals_of(instance)] == ["accepted", "accepted", "denied"]
    assert "POSITION_QUOTA_USED_UP" in here.alarms("denied")[0]["text"]
    # Giving back is not a position.
    here.emit(instance, sell("0.005"))
    here.settle()
    assert here.signals_of(instance)[-1].status == "accepted"


def test_an_instance_spends_its_own_capital_and_no_more(here: Installation) -> None:
    account = here.account(USDT="100000")
    instance = here.instance(account, "holder", capital=D(1_000))
    half = (D(500) / here.price()).quantize(D("0.00001"))
    for _ in range(2):
        here.emit(instance, buy(str(half)))
        here.settle()
    decisions = here.parts.queries.decisions(instance.id)
    assert [row.passed for row in decisions] == [True, False]
    assert decisions[1].reason.startswith("CAPITAL_USED_UP: needed=")
    assert here.balance(account, "USDT")[0] > 99_000
    # What it sells it may spend again.
    here.emit(instance, sell(str(half - D("0.00002"))))
    here.settle()
    here.emit(instance, buy(str(half - D("0.0001"))))
    here.settle()
    assert here.parts.queries.decisions(instance.id)[-1].passed
    here.check(account)


def test_limits_count_orders_that_rest_and_orders_whose_outcome_is_unknown(
    here: Installation,
) -> None:
    account = here.account()
    price = here.price()
    here.parts.risk.set_rule(
        "position_limit", f"account:{account.id}", {"max_value": str(price * D("0.025"))}
    )
    here.order(account, "buy", "0.01", here.away("buy", "0.01"))
    here.venue.add_fault(
        action="lose_reply", method="POST", path="/api/v3/order", account=here.venue_name(account)
    )
    here.venue.add_fault(
        action="refuse", method="GET", path="/api/v3/order", account=here.venue_name(account)
    )
    unknown = here.order(account, "buy", "0.01", here.away("buy", "0.01"))
    assert unknown.status == OrderStatus.UNKNOWN

    decision, order = here.submit(account, "buy", "0.01")

    assert order is None
    assert decision.rule == "position_limit"
    assert decision.inputs["account_open_buys"] == "0.02"
    assert decision.inputs["limits"] == [f"position_limit@account:{account.id}#1"]


def test_a_limit_on_the_order_value_is_versioned_and_can_be_switched_off(
    here: Installation,
) -> None:
    account = here.account()
    rule = here.parts.risk.set_rule("max_order_value", "global", {"max_value": "100.50"})
    assert rule.params == {"max_value": "100.5"}
    decision, _ = here.submit(account, "buy", "0.01")
    assert decision.reason.endswith("max_value=100.5")
    changed = here.parts.risk.set_rule(
        "max_order_value", "global", {"max_value": "100"}, enabled=False
    )
    assert (changed.id, changed.version) == (rule.id, 2)
    assert here.submit(account, "buy", "0.01")[1] is not None
    for kind, scope, params in (
        ("wish", "global", {"max_value": "1"}),
        ("max_order_value", "global", {"max": "1"}),
        ("max_order_value", "global", {"max_value": "1e3"}),
        ("max_order_value", "global", {"max_value": "0"}),
        ("max_order_value", f"symbol:binance:{SYMBOL}", {"max_value": "1"}),
    ):
        with pytest.raises(InvalidInput):
            here.parts.risk.set_rule(kind, scope, params)


# -- idempotency ----------------------------------------------------------------------------


def test_the_same_order_under_the_same_key_is_one_order(here: Installation) -> None:
    account = here.account()
    price = here.away("buy")
    first = here.submit(account, "buy", "0.010", price, key="once")
    again = here.submit(account, "buy", "0.01", price + ".0", key="once")
    here.settle()
    assert first[1] is not None
    assert again[1] is not None
    assert again[1].order_id == first[1].order_id
    assert again[0].id == first[0].id
    assert len(here.at_venue(account)) == 1
    denied = here.submit(account, "sell", "5", key="never")
    assert here.submit(account, "sell", "5", key="never")[0].id == denied[0].id


@pytest.mark.parametrize(
    "other",
    [
        {"side": "sell"},
        {"quantity": "0.02"},
        {"limit": None},
        {"symbol": "ETH/USDT"},
        {"tif": "ioc"},
    ],
)
def test_another_order_under_the_same_key_is_a_mismatch(
    here: Installation, other: dict[str, str]
) -> None:
    account = here.account()
    asked = {"side": "buy", "quantity": "0.01", "limit": here.away("buy"), "key": "once"}
    here.submit(account, **asked)
    with pytest.raises(InvalidInput, match="another order") as caught:
        here.submit(account, **{**asked, **other})
    assert caught.value.error_code == "idempotency-mismatch"


def test_two_people_with_one_key_at_the_same_moment_make_one_order(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account()
    price = here.away("buy")
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(here.submit, account, "buy", "0.01", price, key="once") for _ in range(8)
        ]
        orders = {order.order_id for _, order in (each.result() for each in asked) if order}
    here.settle()
    assert len(orders) == 1
    assert len(here.at_venue(account)) == 1
    here.check(account)


def test_orders_at_the_same_moment_share_the_last_money_without_overdrawing_it(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account(USDT="1000")
    price = here.away("buy")
    quantity = str((D(300) / D(price)).quantize(D("0.00001")))
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(here.submit, account, "buy", quantity, price) for _ in range(8)]
        passed = [order for _, order in (each.result() for each in asked) if order]
    assert len(passed) == 3
    here.settle()
    assert len(here.at_venue(account)) == 3
    assert here.balance(account, "USDT")[0] >= 0
    here.check(account)


# -- validity ------------------------------------------------------------------------------


def _instance(here: Installation) -> tuple[AccountRow, StrategyInstanceRow]:
    account = here.account()
    return account, here.instance(account, "holder")


def test_a_signal_past_its_validity_expires_and_never_becomes_an_order(here: Installation) -> None:
    account, instance = _instance(here)
    here.emit(instance, buy("0.01"), valid_for=MINUTE)
    here.market(by_ms=MINUTE + 1)
    here.settle()
    (signal,) = here.signals_of(instance)
    assert signal.status == "expired"
    assert here.bus.on("signals.")[-1]["status"] == "expired"
    here.run("orders.accept_signal", signal.id)
    assert here.orders_of(instance) == []
    assert here.at_venue(account) == []


def test_a_signal_at_the_last_moment_of_its_validity_still_counts(here: Installation) -> None:
    _, instance = _instance(here)
    here.emit(instance, buy("0.01"), valid_for=MINUTE)
    here.market(by_ms=MINUTE)
    here.settle()
    assert here.orders_of(instance)[0].status == OrderStatus.FILLED


def test_an_order_that_could_not_be_sent_in_time_expires_and_frees_its_funds(
    here: Installation,
) -> None:
    account, instance = _instance(here)
    here.venue.add_fault(
        action="status",
        method="POST",
        path="/api/v3/order",
        account=here.venue_name(account),
        retry_after=1,
    )
    here.emit(instance, buy("0.01"), valid_for=MINUTE)
    here.settle()
    (order,) = here.orders_of(instance)
    assert order.status == OrderStatus.NEW
    here.market(by_ms=MINUTE + 1)
    here.wait(3_000)
    (order,) = here.orders_of(instance)
    assert (order.status, order.reason) == (OrderStatus.EXPIRED, "valid_until passed")
    assert here.balance(account, "USDT") == (D(100_000), D(0))
    assert len(here.sends(order)) == 1
    assert here.at_venue(account) == []


def test_an_order_whose_venue_was_waited_for_beyond_its_time_is_not_sent(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Markets are loaded or the budget is waited for before an order is judged."""
    account, instance = _instance(here)
    opened = here.parts.desks.open

    def late(account_id: str) -> object:
        here.market(by_ms=MINUTE + 1)
        return opened(account_id)

    monkeypatch.setattr(here.parts.desks, "open", late)
    here.emit(instance, buy("0.01"), valid_for=MINUTE)
    here.settle()
    assert [signal.status for signal in here.signals_of(instance)] == ["expired"]
    assert here.at_venue(account) == []
