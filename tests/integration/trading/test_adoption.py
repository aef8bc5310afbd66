"""What others do on the account: sells by hand, orders at the venue, deposits, withdrawals."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.core.errors import Conflict, NotFound
from app.core.orders.types import OrderStatus, OrderType, Side
from app.core.portfolio.ledger import Book
from app.core.strategies.signal import Signal, SignalAction
from app.models import AccountRow, InstrumentLockRow, OrderRow
from app.schemas.orders import Order
from tests.support.installation import MINUTE, SYMBOL, Installation

D = Decimal
OTHER = "ETH/USDT"


def adopted(here: Installation, account: AccountRow) -> list[OrderRow]:
    """The orders of ``external``, as they were first seen."""
    rows = here.orders_of(here.external(account))
    return sorted(rows, key=lambda row: int(row.venue_order_id or 0))


def locks(here: Installation, account: AccountRow) -> list[InstrumentLockRow]:
    return list(here.parts.locks.locks(account.id))


def differences(here: Installation) -> list[str]:
    """Texts of the alarms about differences; the relay may deliver one again."""
    return sorted({each["text"] for each in here.alarms("reconciliation-difference")})


def holding(here: Installation, account: AccountRow, symbol: str = SYMBOL) -> Decimal:
    row = here.position(here.external(account), symbol)
    return D(0) if row is None else row.quantity


def test_an_order_placed_by_hand_is_adopted_counted_and_left_alone(anywhere: Installation) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    price = here.away("buy")
    theirs = here.by_hand(account).create_order(SYMBOL, "limit", "buy", 0.02, float(price))
    here.reconcile(account)

    (order,) = adopted(here, account)
    assert order.status == OrderStatus.ACKNOWLEDGED
    assert (order.venue_order_id, order.client_order_id) == (theirs["id"], theirs["clientOrderId"])
    assert (order.side, order.type, order.price) == ("buy", "limit", D(price))
    assert (order.quantity, order.attempt, order.request_ts) == (D("0.02"), 0, None)
    assert here.balance(account, "USDT") == (5000 - D(price) * D("0.02"), D(price) * D("0.02"))
    # It holds what the venue holds, and nothing on top of it.
    assert Order.of(order).reserve_buffer == "0"
    with here.parts.units.read() as unit:
        (said,) = unit.risk.decisions_of_instance(order.instance_id, 10)
    assert (D(said.inputs["quote_needed"]), said.inputs["reserve_buffer"]) == (
        order.reserved_initial,
        "0",
    )
    decision, _ = here.submit(account, "buy", "0.01", here.away("buy"))
    assert decision.inputs["account_open_buys"] == "0.02"
    here.settle()
    assert here.parts.gate.state(account.id).is_trusted
    assert locks(here, account) == []

    with pytest.raises(Conflict, match="outside Tidemark"):
        here.parts.canceller.request(order.order_id)
    for _ in range(4):
        here.wait(10_000)
        here.reconcile(account)
    assert len(adopted(here, account)) == 1
    assert {each["text"] for each in here.alarms("foreign-order")} == {
        f"buy of 0.02 BTC/USDT on account {account.name} was placed outside Tidemark "
        f"(venue order {theirs['id']}); it is counted and left alone"
    }
    touched = here.venue.requests(method="DELETE", account=here.venue_name(account))
    assert touched == []
    here.check(account)


def test_an_adopted_order_fills_at_the_venue_and_its_fill_is_externals(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    near = (here.price() * D("0.9999")).quantize(D("0.01"))
    here.by_hand(account).create_order(SYMBOL, "limit", "buy", 0.02, float(near))
    here.reconcile(account)
    while here.at_venue(account)[0]["status"] != "filled":
        here.market(by_ms=60 * MINUTE)
    here.reconcile(account)
    (order,) = adopted(here, account)
    assert order.status == OrderStatus.FILLED
    assert order.reserved_amount == 0
    fees = sum((fill.fee for fill in here.fills(order)), D(0))
    assert holding(here, account) == D("0.02") - fees
    assert differences(here) == []
    here.check(account)


def test_an_adopted_order_that_is_cancelled_by_hand_frees_what_it_held(here: Installation) -> None:
    account = here.account(USDT="5000", BTC="1")
    person = here.by_hand(account)
    placed = person.create_order(SYMBOL, "limit", "sell", 0.5, float(here.away("sell")))
    here.reconcile(account)
    assert here.balance(account, "BTC") == (D("0.5"), D("0.5"))
    person.cancel_order(placed["id"], SYMBOL)
    here.reconcile(account)
    (order,) = adopted(here, account)
    assert order.status == OrderStatus.CANCELLED
    assert here.balance(account, "BTC") == (D(1), D(0))
    here.check(account)


def test_somebody_sells_by_hand_and_the_books_follow(anywhere: Installation) -> None:
    here = anywhere
    account = here.account(USDT="5000", BTC="1")
    own = here.order(account, "buy", "0.01")
    since = here.balance(account, "BTC")[0]
    theirs = here.by_hand(account).create_order(SYMBOL, "market", "sell", 0.3)
    here.reconcile(account)

    (order,) = adopted(here, account)
    assert (order.status, order.side, order.quantity) == (OrderStatus.FILLED, "sell", D("0.3"))
    assert order.venue_order_id == theirs["id"]
    assert here.balance(account, "BTC") == (since - D("0.3"), D(0))
    # It sold coins that nobody's position held: no one is short, nothing was earned.
    assert holding(here, account) == 0
    assert here.row(own).status == OrderStatus.FILLED
    here.check(account)

    (lock,) = locks(here, account)
    assert (lock.symbol, lock.explained) == (SYMBOL, True)
    assert lock.reason == "traded outside Tidemark: sell 0.3"
    denied, none = here.submit(account, "buy", "0.01")
    assert none is None
    assert denied.reason.startswith("INSTRUMENT_LOCKED: symbol=BTC/USDT")
    passed, selling = here.submit(account, "sell", "0.01", here.away("sell"))
    assert passed.passed, passed.reason
    here.settle()
    assert here.row(selling.order_id).status == OrderStatus.ACKNOWLEDGED  # type: ignore[union-attr]

    # The next comparison agrees, and the trades explain it all.
    here.reconcile(account)
    assert locks(here, account) == []
    assert here.order(account, "buy", "0.01").status == OrderStatus.FILLED
    assert differences(here) == []
    for _ in range(3):
        here.reconcile(account)
    assert len(adopted(here, account)) == 1
    here.check(account)


def test_a_trade_in_a_symbol_that_nobody_trades_here_is_found_by_the_balances(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account(USDT="50000")
    here.by_hand(account).create_order(OTHER, "market", "buy", 1)
    # No order, no restart, no hand: the usual sweep, half a minute later.
    here.clock.advance(31_000)
    here.sync(account)
    (order,) = adopted(here, account)
    assert (order.symbol, order.status) == (OTHER, OrderStatus.FILLED)
    assert holding(here, account, OTHER) > D("0.99")
    assert [each.symbol for each in locks(here, account)] == [OTHER]
    assert here.order(account, "buy", "0.01").status == OrderStatus.FILLED
    here.clock.advance(31_000)
    here.sync(account)
    assert locks(here, account) == []
    assert differences(here) == []
    here.check(account)


def test_somebody_sells_what_a_strategy_owns_and_a_person_must_look(here: Installation) -> None:
    account = here.account(USDT="50000")
    instance = here.instance(account, "holder")
    here.emit(instance, Signal(SYMBOL, Side.BUY, SignalAction.ENTER, OrderType.MARKET, D("0.05")))
    here.settle()
    (bought,) = here.orders_of(instance)
    assert bought.status == OrderStatus.FILLED
    owned = here.position(instance)
    assert owned is not None
    sold = owned.quantity.quantize(D("0.00001"), rounding="ROUND_DOWN")
    here.by_hand(account).create_order(SYMBOL, "market", "sell", float(sold))
    here.reconcile(account, 3)

    assert holding(here, account) == -sold
    (lock,) = locks(here, account)
    assert not lock.explained
    assert "of what instances own was sold outside Tidemark" in lock.reason
    assert len(differences(here)) == 1
    here.check(account)
    assert here.parts.locks.unlock(account.id, SYMBOL, "a trader") == 1
    assert locks(here, account) == []
    with pytest.raises(NotFound):
        here.parts.locks.unlock(account.id, SYMBOL, "a trader")


def test_what_was_bought_by_hand_may_be_sold_by_hand_here(here: Installation) -> None:
    account = here.account(USDT="50000")
    here.by_hand(account).create_order(SYMBOL, "market", "buy", 0.5)
    here.reconcile(account, 2)
    before = holding(here, account)
    assert D("0.49") < before <= D("0.5")
    assert here.order(account, "sell", "0.2").status == OrderStatus.FILLED
    assert holding(here, account) == before - D("0.2")
    here.check(account)


def test_a_deposit_of_money_is_posted_and_trading_goes_on(anywhere: Installation) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    here.order(account, "buy", "0.01")
    here.venue.deposit(here.venue_name(account), "USDT", "1000")
    free = here.balance(account, "USDT")[0]
    here.clock.advance(31_000)
    here.sync(account)
    # Seen once: a trade may still explain it.
    assert here.balance(account, "USDT")[0] == free
    assert differences(here) == []
    here.clock.advance(5_000)
    here.sync(account)

    assert here.balance(account, "USDT") == (free + 1000, D(0))
    assert differences(here) == [
        f"account {account.name} holds {free + 1000} USDT at binance and {free} here; the "
        "difference of 1000 is posted to external (a deposit or another credit that no trade "
        "explains)"
    ]
    (row,) = here.parts.locks.adjustments(account.id, 10)
    assert (row.asset, row.amount) == ("USDT", D(1000))
    with here.parts.units.read() as unit:
        (side,) = (
            each
            for each in unit.ledger.postings(account.id, Book.ADJUSTMENTS)
            if each.txn_id == row.id
        )
    assert (side.instance_id, side.amount, side.kind) == (
        here.external(account).id,
        D(-1000),
        "adjustment",
    )
    assert locks(here, account) == []
    assert here.order(account, "buy", "0.01").status == OrderStatus.FILLED
    here.reconcile(account, 3)
    assert len(here.parts.locks.adjustments(account.id, 10)) == 1
    here.check(account)


def test_coins_that_vanish_lock_what_is_traded_with_them_until_a_person_has_looked(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account(USDT="5000", BTC="1")
    here.order(account, "buy", "0.01")
    here.venue.deposit(here.venue_name(account), "BTC", "-0.4")
    here.reconcile(account, 2)
    assert len(differences(here)) == 1
    assert here.parts.gate.state(account.id).is_trusted
    (lock,) = locks(here, account)
    assert (lock.symbol, lock.explained) == (SYMBOL, False)
    here.reconcile(account, 3)
    assert len(locks(here, account)) == 1
    assert not here.submit(account, "buy", "0.01")[0].passed
    assert here.submit(account, "buy", "0.1", symbol=OTHER)[0].passed
    here.settle()
    assert here.parts.locks.unlock(account.id, None, "a trader") == 1
    assert here.order(account, "buy", "0.01").status == OrderStatus.FILLED
    here.check(account)


def test_a_lock_that_comes_between_the_gate_and_the_send_stops_a_buy(here: Installation) -> None:
    account = here.account(USDT="5000", BTC="1")
    here.order(account, "buy", "0.01")
    here.venue.deposit(here.venue_name(account), "BTC", "-0.4")
    here.reconcile(account)
    # The gate is shut: the difference has been seen once.
    _, buying = here.submit(account, "buy", "0.01", here.away("buy"))
    _, selling = here.submit(account, "sell", "0.01", here.away("sell"))
    assert buying is not None
    assert selling is not None
    here.settle()
    assert {here.row(buying).status, here.row(selling).status} == {OrderStatus.NEW}
    here.reconcile(account)
    here.wait(1_000)
    assert here.row(buying).status == OrderStatus.REJECTED
    assert here.row(selling).status == OrderStatus.ACKNOWLEDGED
    here.check(account)


def test_a_withdrawal_that_is_taken_back_between_two_looks_was_nothing(here: Installation) -> None:
    account = here.account(USDT="5000")
    name = here.venue_name(account)
    for amount in ("-700", "300", "400"):
        here.venue.deposit(name, "USDT", amount)
        here.clock.advance(31_000)
        here.sync(account)
    here.reconcile(account, 2)
    assert differences(here) == []
    assert here.parts.locks.adjustments(account.id, 10) == []
    here.check(account)


def test_the_same_story_seen_twice_makes_the_same_rows(here: Installation) -> None:
    """Ids follow from the venue's facts: an installation that forgot everything finds them."""
    from concurrent.futures import ThreadPoolExecutor

    account = here.account(USDT="50000", BTC="1")
    person = here.by_hand(account)
    person.create_order(SYMBOL, "market", "sell", 0.1)
    person.create_order(SYMBOL, "limit", "buy", 0.02, float(here.away("buy")))
    person.create_order(SYMBOL, "market", "buy", 0.05)
    here.queue.losing = True
    here.parts.gate.require_reconciliation("by hand", account.id)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(here.parts.account_sync.sync, [account.id] * 4))
    here.queue.losing = False
    here.reconcile(account, 2)
    rows = adopted(here, account)
    assert [row.side for row in rows] == ["sell", "buy", "buy"]
    assert len({row.order_id for row in rows}) == 3
    fills = sum(len(here.fills(row)) for row in rows)
    assert fills == sum(len(each["fills"]) for each in here.at_venue(account))
    assert differences(here) == []
    here.check(account)
