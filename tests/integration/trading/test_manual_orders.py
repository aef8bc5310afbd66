"""Orders by hand: what a person sees of them in rows, in balances and at the exchange."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.core.errors import Conflict, InvalidInput, NotFound, UnknownName
from app.core.orders.types import OrderStatus, Side
from app.core.strategies.signal import Signal, SignalAction
from app.models import AccountRow
from tests.support.installation import SYMBOL, Installation, tasks_of

D = Decimal


def test_every_task_of_the_workers_is_known_to_the_stories(here: Installation) -> None:
    from app.config import load_settings
    from workers.celery_app import build_celery

    names = {name for name in build_celery(load_settings()).tasks if not name.startswith("celery.")}
    assert set(tasks_of(here.parts)) == names


def test_a_limit_order_rests_holds_its_funds_and_gives_them_back_when_cancelled(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account(USDT="1000")
    price = here.away("buy")
    order = here.order(account, "buy", "0.01", price)

    assert here.life(order) == ["new", "sending", "acknowledged"]
    # The fee may come on top in quote, so 0.2 % more than price × quantity is held.
    held = D(price) * D("0.01") * D("1.002")
    assert here.balance(account, "USDT") == (1000 - held, held)
    (there,) = here.at_venue(account)
    assert (there["status"], there["quantity"], there["price"]) == ("new", "0.01", price)
    assert there["client_order_id"] == order.client_order_id
    assert str(there["order_id"]) == order.venue_order_id

    here.parts.canceller.request(order.order_id)
    here.settle()

    assert here.life(order)[-2:] == ["pending_cancel", "cancelled"]
    assert here.balance(account, "USDT") == (D(1000), D(0))
    assert here.at_venue(account)[0]["status"] == "canceled"
    events = [heard for heard in here.bus.events if heard[1].get("order_id") == order.order_id]
    topics = [topic for topic, _ in events]
    assert topics[0] == "orders.new.binance"
    first = events[0][1]
    assert (first["reserved_asset"], D(first["reserved_amount"])) == ("USDT", held)
    assert first["reserve_buffer"] == "0.002"
    assert topics[-1] == "orders.cancelled.binance"
    here.check(account)
    with pytest.raises(Conflict, match="cancelled and cannot be cancelled") as caught:
        here.parts.canceller.request(order.order_id)
    assert caught.value.error_code == "already-terminal"


def test_an_order_that_passed_the_gate_is_sent_without_waiting_for_the_sweeper(
    here: Installation,
) -> None:
    account = here.account()
    _, order = here.submit(account, "buy", "0.01")
    assert order is not None
    assert ("orders.send", (order.order_id,)) in here.queue.waiting


def test_a_market_buy_and_a_sell_are_booked_with_fees_position_and_profit(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account(USDT="10000")
    bought = here.order(account, "buy", "0.05")

    assert bought.status == OrderStatus.FILLED
    fills = here.fills(bought)
    assert sum((fill.quantity for fill in fills), D(0)) == D("0.05")
    # The simulator charges what is received: coins on a buy, at 0.1 %.
    assert {fill.fee_asset for fill in fills} == {"BTC"}
    assert sum((fill.fee for fill in fills), D(0)) == D("0.00005")
    owned = here.position(here.manual(account))
    assert owned is not None
    assert owned.quantity == D("0.04995")
    assert owned.average_price == bought.average_price
    assert owned.realized_pnl == 0
    cost = sum((fill.price * fill.quantity for fill in fills), D(0))
    assert owned.cash_flow == -cost
    assert here.balance(account, "USDT") == (10_000 - cost, D(0))
    here.check(account)

    here.market(by_ms=3_600_000)
    sold = here.order(account, "sell", "0.04995")

    assert sold.status == OrderStatus.FILLED
    assert {fill.fee_asset for fill in here.fills(sold)} == {"USDT"}
    flat = here.position(here.manual(account))
    assert flat is not None
    assert flat.quantity == 0
    assert flat.average_price is None
    proceeds = sum((fill.price * fill.quantity for fill in here.fills(sold)), D(0))
    entry = bought.average_price or D(0)
    assert abs(flat.realized_pnl - (proceeds - entry * D("0.04995"))) < D("1e-15")
    # What the books say was earned is what the account has more, or less.
    assert here.balance(account, "USDT")[0] - 10_000 == flat.cash_flow
    assert abs(flat.realized_pnl - flat.fees - flat.cash_flow) < D("1e-12")
    assert here.balance(account, "BTC") == (D(0), D(0))
    here.check(account)


def test_selling_coins_of_the_opening_earns_nothing_that_was_not_there(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account(BTC="1")
    sold = here.order(account, "sell", "0.4")

    assert sold.status == OrderStatus.FILLED
    manual = here.position(here.manual(account))
    assert manual is not None
    assert (manual.quantity, manual.realized_pnl) == (0, 0)
    with here.parts.units.read() as unit:
        external = unit.instances.builtin(account.id, "external")
        moved = [row for row in unit.ledger.postings(account.id) if row.kind == "transfer"]
    taken = sum((row.amount for row in moved if row.instance_id == external.id), D(0))
    given = sum((row.amount for row in moved if row.instance_id == manual.instance_id), D(0))
    assert (taken, given) == (D("-0.4"), D("0.4"))
    here.check(account)


def test_own_coins_are_sold_before_those_of_the_opening(here: Installation) -> None:
    account = here.account(BTC="1", USDT="10000")
    bought = here.order(account, "buy", "0.01")
    here.market(by_ms=3_600_000)
    sold = here.order(account, "sell", "0.03")
    position = here.position(here.manual(account))
    assert position is not None
    assert bought.average_price is not None
    assert sold.average_price is not None
    # Only the 0.00999 that were bought, less the fee in coins, earned or lost anything.
    earned = (sold.average_price - bought.average_price) * D("0.00999")
    assert abs(position.realized_pnl - earned) < D("1e-12")
    here.check(account)


def test_the_coins_of_a_strategy_cannot_be_sold_by_hand(here: Installation) -> None:
    account = here.account(USDT="20000")
    instance = here.instance(account, "holder")
    here.emit(instance, Signal(SYMBOL, Side.BUY, SignalAction.ENTER, quantity=D("0.1")))
    here.settle()
    owned = here.position(instance)
    assert owned is not None
    assert owned.quantity == D("0.0999")

    decision, order = here.submit(account, "sell", "0.05")

    assert order is None
    assert decision.rule == "ownership"
    assert decision.reason == "SELL_ABOVE_OWN_POSITION: quantity=0.05, sellable=0"
    # Not even beside coins that are free to be sold.
    here.order(account, "buy", "0.01")
    decision, order = here.submit(account, "sell", "0.02")
    assert decision.reason == "SELL_ABOVE_OWN_POSITION: quantity=0.02, sellable=0.00999"
    assert here.order(account, "sell", "0.00999").status == OrderStatus.FILLED
    assert here.position(instance) is not None
    here.check(account)


def test_what_cannot_be_an_order_is_refused_with_the_reason(here: Installation) -> None:
    account = here.account(USDT="1000")
    with pytest.raises(UnknownName, match="not in the catalogue") as caught:
        here.submit(account, "buy", "1", symbol="NOPE/USDT")
    assert caught.value.error_code == "unknown-symbol"
    with pytest.raises(InvalidInput, match="1 to 128 characters"):
        here.submit(account, "buy", "1", key="k" * 129)
    with pytest.raises(NotFound):
        here.submit(AccountRow(id="nobody"), "buy", "1")


@pytest.mark.parametrize(
    ("quantity", "limit", "rule", "reason"),
    [
        ("0.000001", None, "instrument", "QUANTITY_OFF_STEP: quantity=0.000001, step=0.00001"),
        ("0.00001", None, "instrument", "NOTIONAL_BELOW_MIN: notional="),
        ("0.01", "60000.001", "instrument", "PRICE_OFF_TICK: price=60000.001, tick=0.01"),
        ("1", "60000", "funds", "BALANCE_TOO_LOW: needed=60120, reserve_buffer=0.002, free=1000"),
        ("-1", None, "instrument", "QUANTITY_NOT_POSITIVE: quantity=-1"),
    ],
)
def test_a_refusal_names_its_figures_in_plain_numbers(
    here: Installation, quantity: str, limit: str | None, rule: str, reason: str
) -> None:
    account = here.account(USDT="1000")
    decision, order = here.submit(account, "buy", quantity, limit)
    assert order is None
    assert (decision.passed, decision.rule) == (False, rule)
    assert decision.reason.startswith(reason)
    assert "E" not in decision.reason.partition(":")[2]
    (alert,) = here.alarms("denied")
    assert alert["text"] == decision.reason
    assert alert["quote_needed"] == decision.inputs["quote_needed"]
    assert alert["reserve_buffer"] == ("0.01" if limit is None else "0.002")
    here.settle()
    assert here.at_venue(account) == []
    assert here.balance(account, "USDT") == (D(1000), D(0))
