"""What goes wrong between us and the exchange, one order at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from app.core.exchanges.session import VenueSession
from app.core.orders.types import OrderStatus, OrderType, Side
from app.core.strategies.signal import Signal, SignalAction
from app.models import AccountRow, OrderRow
from tests.support.installation import EXCHANGE, SYMBOL, Installation

D = Decimal
RECV_WINDOW_MS = 2_000
SETTLE_MS = 1_000
REPLY_DEADLINE_MS = 6_000


def strike(here: Installation, account: AccountRow, action: str, **rule: Any) -> None:
    """One fault on the next order of an account."""
    given = {"method": "POST", "path": "/api/v3/order", "count": 1, **rule}
    here.venue.add_fault(action=action, account=here.venue_name(account), **given)


def buy(here: Installation, account: AccountRow) -> OrderRow:
    return here.order(account, "buy", "0.01", here.away("buy"))


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "lose_reply"},
        {"action": "error_after", "status": 503},
        {"action": "error_after", "status": 504, "code": -1007},
        {"action": "body", "body": "html"},
        {"action": "body", "body": "truncated"},
        {"action": "body", "body": "empty"},
        {"action": "body", "body": "null_id"},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)
def test_an_accepted_order_whose_answer_is_no_answer_is_unknown_until_it_is_found(
    here: Installation, fault: dict[str, Any]
) -> None:
    account = here.account(USDT="5000")
    strike(here, account, **fault)
    order = buy(here, account)

    assert here.life(order) == ["new", "sending", "unknown", "acknowledged"]
    assert len(here.sends(order)) == 1
    assert [each["status"] for each in here.at_venue(account)] == ["new"]
    unknown = next(each for each in here.events(order) if each.kind == "unknown")
    assert "binance" in unknown.data["reason"]
    assert "signature" not in unknown.data["reason"]
    here.check(account)


def test_a_filled_order_whose_answer_was_lost_is_found_with_its_trades(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    strike(here, account, "lose_reply")
    order = here.order(account, "buy", "0.01")
    assert order.status == OrderStatus.FILLED
    assert order.filled_quantity == D("0.01")
    assert len(here.at_venue(account)) == 1
    here.check(account)


def test_a_refused_connection_is_absence_only_when_nothing_can_arrive_any_more(
    here: Installation,
) -> None:
    account = here.account(USDT="5000")
    strike(here, account, "refuse")
    order = buy(here, account)
    assert order.status == OrderStatus.UNKNOWN
    sent_at = here.clock.now_ms()
    assert order.request_ts == sent_at

    # Asked again each second; "not found" proves nothing yet, and the funds stay held.
    for _ in range(3):
        here.wait(1_000)
        assert here.row(order).status == OrderStatus.UNKNOWN
    assert here.clock.now_ms() == sent_at + RECV_WINDOW_MS + SETTLE_MS
    assert here.row(order).reason == "not found yet; it may still arrive"
    assert here.balance(account, "USDT")[1] > 0
    assert len(here.sends(order)) == 1

    here.wait(1_000)
    again = here.row(order)
    assert (again.status, again.attempt) == (OrderStatus.ACKNOWLEDGED, 2)
    assert again.client_order_id == order.client_order_id
    assert [each["outcome"] for each in here.sends(order)] == ["refused", "answered"]
    assert len(here.at_venue(account)) == 1
    here.check(account)


def test_absence_is_proven_by_the_exchanges_clock_and_not_by_ours(here: Installation) -> None:
    account = here.account(USDT="5000")
    # The exchange's clock is 2.5 s behind ours, so a request lives that much longer.
    here.parts.desks.offset_ms = -2_500
    here.parts.venue_clock(EXCHANGE).refresh()
    strike(here, account, "refuse")
    _, order = here.submit(account, "buy", "0.01", here.away("buy"))
    assert order is not None
    here.settle()
    assert here.row(order).request_ts == here.clock.now_ms() - 2_500
    for _ in range(3):
        here.wait(1_000)
        assert here.row(order).status == OrderStatus.UNKNOWN
    here.wait(1_000)
    assert here.row(order).attempt == 2


def test_a_query_that_fails_proves_no_absence(here: Installation) -> None:
    account = here.account(USDT="5000")
    strike(here, account, "refuse")
    strike(here, account, "error_before", method="GET", path="/api/v3/*", count=4)
    order = buy(here, account)
    for _ in range(3):
        here.wait(5_000)
        assert here.row(order).status == OrderStatus.UNKNOWN
    here.wait(5_000)
    assert here.row(order).status == OrderStatus.ACKNOWLEDGED
    assert len(here.at_venue(account)) == 1


def test_an_order_that_queries_do_not_show_yet_is_not_sent_again(here: Installation) -> None:
    account = here.account(USDT="5000")
    strike(here, account, "lose_reply")
    strike(here, account, "query_lag", ms=600_000)
    order = buy(here, account)
    assert order.status == OrderStatus.UNKNOWN
    here.wait(2_500)
    assert here.row(order).status == OrderStatus.UNKNOWN
    assert len(here.sends(order)) == 1


def test_too_many_requests_puts_the_order_off_and_nothing_is_sent_before(
    here: Installation,
) -> None:
    account = here.account(USDT="5000")
    here.catch_up()
    strike(here, account, "status", status=429, retry_after=7)
    order = buy(here, account)

    assert order.status == OrderStatus.NEW
    assert order.not_before == here.clock.now_ms() + 7_000
    assert here.balance(account, "USDT")[1] > 0
    since = here.venue.requests()[-1]["seq"]
    here.run("orders.send", order.order_id)
    for _ in range(3):
        here.wait(2_000)
    assert here.venue.requests(since_seq=str(since + 1)) == []
    assert here.row(order).status == OrderStatus.NEW

    # The budget noted the venue's pause in real time, which went on meanwhile.
    here.catch_up()
    here.wait(10_000)
    sent = here.row(order)
    assert (sent.status, sent.attempt) == (OrderStatus.ACKNOWLEDGED, 2)
    assert len(here.at_venue(account)) == 1
    here.check(account)


def test_a_ban_stops_all_traffic_also_after_a_restart(here: Installation) -> None:
    account = here.account(USDT="5000")
    here.catch_up()
    strike(here, account, "status", status=418, retry_after=60)
    order = buy(here, account)
    assert order.status == OrderStatus.NEW
    assert order.not_before > here.clock.now_ms() + 50_000
    here.restart()
    since = here.venue.requests()[-1]["seq"]
    for _ in range(5):
        here.wait(10_000)
    assert here.venue.requests(since_seq=str(since + 1)) == []
    here.wait(15_000)
    assert here.row(order).status == OrderStatus.ACKNOWLEDGED
    assert len(here.at_venue(account)) == 1


def test_a_refusal_of_the_exchange_ends_the_order_and_frees_its_funds(here: Installation) -> None:
    account = here.account(USDT="5000")
    strike(
        here,
        account,
        "status",
        status=400,
        code=-2010,
        message="Account has insufficient balance for requested action.",
    )
    order = buy(here, account)
    assert order.status == OrderStatus.REJECTED
    assert "insufficient balance" in (order.reason or "")
    assert here.balance(account, "USDT") == (D(5000), D(0))
    here.check(account)


def test_a_duplicate_id_means_that_the_first_order_lives(here: Installation) -> None:
    account = here.account(USDT="5000")
    price = here.away("buy")
    _, order = here.submit(account, "buy", "0.01", price)
    assert order is not None
    # What a sender that died after its send has left at the exchange.
    keys = here.parts.vault.open(account.id, here.parts.accounts.get(account.id).sealed_credentials)
    exchange = here.simulator.ccxt(None, apiKey=keys["apiKey"], secret=keys["secret"])
    exchange.create_order(
        SYMBOL, "limit", "buy", 0.01, float(price), {"newClientOrderId": order.client_order_id}
    )
    here.settle()
    assert here.life(order) == ["new", "sending", "unknown", "acknowledged"]
    assert len(here.at_venue(account)) == 1
    here.check(account)


class Killed(BaseException):
    """The process dies here."""


def dying_at(step: str) -> Callable[[str], None]:
    def checkpoint(reached: str) -> None:
        if reached == step:
            raise Killed

    return checkpoint


@pytest.mark.parametrize("step", ["before_claim", "after_claim", "after_send", "after_record"])
def test_a_sender_that_dies_at_any_step_leaves_one_order(anywhere: Installation, step: str) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    _, order = here.submit(account, "buy", "0.01", here.away("buy"))
    assert order is not None
    here.checkpoint = dying_at(step)
    with pytest.raises(Killed):
        here.settle()
    here.checkpoint = lambda reached: None
    here.restart()
    for _ in range(12):
        here.wait(1_000)
    assert here.row(order).status == OrderStatus.ACKNOWLEDGED
    assert len(here.at_venue(account)) == 1
    here.check(account)


def test_a_sending_order_belongs_to_its_sender_until_its_deadline(here: Installation) -> None:
    account = here.account(USDT="5000")
    _, order = here.submit(account, "buy", "0.01", here.away("buy"))
    assert order is not None
    here.checkpoint = dying_at("after_claim")
    with pytest.raises(Killed):
        here.settle()
    here.checkpoint = lambda reached: None
    claimed = here.row(order)
    assert claimed.not_before == here.clock.now_ms() + REPLY_DEADLINE_MS
    since = here.venue.requests()[-1]["seq"]
    here.run("orders.resolve", order.order_id)
    here.run("orders.send", order.order_id)
    here.wait(REPLY_DEADLINE_MS - 1)
    assert here.row(order).status == OrderStatus.SENDING
    assert here.venue.requests(since_seq=str(since + 1)) == []
    here.wait(1_000)
    assert here.row(order).status == OrderStatus.ACKNOWLEDGED
    assert here.row(order).attempt == 2


def test_a_sender_that_sleeps_past_its_window_is_fenced_by_the_exchange(
    here: Installation,
) -> None:
    account = here.account(USDT="5000")

    def sleep(step: str) -> None:
        if step == "after_claim":
            here.clock.advance(RECV_WINDOW_MS + 100)
            here.checkpoint = lambda reached: None

    here.checkpoint = sleep
    order = buy(here, account)
    assert (order.status, order.attempt) == (OrderStatus.NEW, 1)
    assert here.at_venue(account) == []
    here.wait(2_000)
    assert here.row(order).status == OrderStatus.ACKNOWLEDGED
    assert len(here.at_venue(account)) == 1


def test_two_workers_with_one_hint_send_once(anywhere: Installation) -> None:
    from concurrent.futures import ThreadPoolExecutor

    here = anywhere
    account = here.account(USDT="5000")
    _, order = here.submit(account, "buy", "0.01", here.away("buy"))
    assert order is not None
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(here.parts.sender.send, [order.order_id] * 8))
    here.settle()
    assert len(here.sends(order)) == 1
    assert here.row(order).status == OrderStatus.ACKNOWLEDGED


def test_a_sender_that_looked_before_another_was_told_to_wait_does_not_send(
    anywhere: Installation,
) -> None:
    """The order is NEW again behind the other's 429, but of a later attempt."""
    here = anywhere
    account = here.account(USDT="5000")
    _, order = here.submit(account, "buy", "0.01", here.away("buy"))
    assert order is not None
    strike(here, account, "status", status=429, retry_after=7)

    def overtaken(step: str) -> None:
        if step == "before_claim":
            here.checkpoint = lambda _: None
            assert here.parts.sender.send(order.order_id) is OrderStatus.NEW

    here.checkpoint = overtaken
    assert here.parts.sender.send(order.order_id) is OrderStatus.NEW
    row = here.row(order)
    assert (row.attempt, len(here.sends(order))) == (1, 1)
    assert row.not_before >= here.clock.now_ms() + 7_000


def test_sweeps_alone_bring_everything_to_its_end_when_every_hint_is_lost(
    anywhere: Installation,
) -> None:
    here = anywhere
    account = here.account(USDT="20000")
    instance = here.instance(account, "holder")
    resting = here.order(account, "buy", "0.01", here.away("buy"))
    rest = here.away("buy")
    here.queue.losing = True
    here.emit(
        instance,
        Signal(SYMBOL, Side.BUY, SignalAction.ENTER, OrderType.MARKET, D("0.01")),
        Signal(SYMBOL, Side.BUY, SignalAction.ENTER, OrderType.LIMIT, D("0.01"), D(rest)),
    )
    _, manual = here.submit(account, "buy", "0.01")
    strike(here, account, "lose_reply", nth=2)
    here.parts.canceller.request(resting.order_id)
    assert not here.queue.waiting

    def sweep() -> None:
        """One sweep; what it asks for is done, and what that asks for is lost."""
        here.clock.advance(1_000)
        here.queue.losing = False
        here.parts.sweeper.sweep()
        here.parts.queue.publish("orders.sync_account", account.id)
        due = list(here.queue.waiting)
        here.queue.waiting.clear()
        here.queue.losing = True
        for task, ids in due:
            here.queue.waiting.append((task, ids))
            here.settle()

    for _ in range(8):
        sweep()

    assert manual is not None
    assert here.row(manual).status == OrderStatus.FILLED
    assert here.row(resting).status == OrderStatus.CANCELLED
    assert [row.status for row in here.signals_of(instance)] == ["accepted", "accepted"]
    assert [row.status for row in here.orders_of(instance)] == [
        OrderStatus.FILLED,
        OrderStatus.ACKNOWLEDGED,
    ]
    assert len(here.at_venue(account)) == 4
    here.check(account)


def test_an_order_waits_while_the_exchanges_clock_cannot_be_read(here: Installation) -> None:
    account = here.account(USDT="5000")
    _, order = here.submit(account, "buy", "0.01", here.away("buy"))
    assert order is not None
    url = here.parts.market_clock._venues[EXCHANGE]._url  # type: ignore[attr-defined]
    here.parts.market_clock._venues[EXCHANGE]._url = "http://127.0.0.1:9/control/clock"  # type: ignore[attr-defined]
    here.parts.market_clock.refresh(EXCHANGE)
    here.settle()
    waiting = here.row(order)
    assert (waiting.status, waiting.attempt) == (OrderStatus.NEW, 0)
    assert "clock could not be read" in (waiting.reason or "")
    here.parts.market_clock._venues[EXCHANGE]._url = url  # type: ignore[attr-defined]
    here.wait(1_000)
    assert here.row(order).status == OrderStatus.ACKNOWLEDGED


def test_a_thread_that_never_sent_is_made_ready_before_it_claims(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Building a client takes longer than a request may live; the claim stamps the request."""
    account = here.account()
    here.sync(account)
    _, order = here.submit(account, "buy", "0.001")
    assert order is not None
    steps: list[str] = []
    made = VenueSession._made

    def building(session: VenueSession) -> object:
        steps.append("client built")
        return made(session)

    monkeypatch.setattr(VenueSession, "_made", building)
    here.checkpoint = steps.append
    with ThreadPoolExecutor(1) as fresh:
        assert fresh.submit(here.parts.sender.send, order.order_id).result(30) == "filled"
    # The market's clock and the catalogue may build theirs before; nothing does after the claim.
    claimed = steps.index("after_claim")
    assert "client built" in steps[:claimed]
    assert "client built" not in steps[claimed:]
