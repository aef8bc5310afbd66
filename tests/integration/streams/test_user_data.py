"""Fills and order updates by the stream alone: no sweep runs in these stories."""

from __future__ import annotations

import random
from decimal import Decimal

from app.core.exchanges.streaming_frames import OrderReport
from app.core.orders.types import OrderRequest, OrderStatus, OrderType, Side, VenueFill
from app.models import AccountRow, OrderRow
from app.repositories.unit import Unit
from app.services.streams.reports import OrderReports
from app.services.streams.service import StreamService
from app.services.streams.user import UserStream
from tests.support.installation import SYMBOL, Installation
from tests.support.simulator import wait_until
from tests.support.streaming import Streams, streaming


def listening(service: StreamService, count: int = 1) -> bool:
    """Whether so many accounts have a user data stream that was confirmed."""
    users = [
        each.stream for each in service._running.values() if isinstance(each.stream, UserStream)
    ]
    return len([user for user in users if user.is_listening]) >= count


def unswept(here: Installation) -> None:
    """Forget the hints to sweep: what comes now comes by the stream."""
    here.queue.waiting.clear()


def dearer(here: Installation, account: AccountRow) -> None:
    """Move the market on until the venue has filled every order of the account."""
    for _ in range(400):
        if not [
            each for each in here.at_venue(account) if each["status"] in ("new", "partially_filled")
        ]:
            return
        here.market(by_ms=60 * 60_000)
    raise AssertionError("the market never came to the orders")


def near(here: Installation) -> str:
    """A limit price just below the market."""
    return str((here.price() * Decimal("0.9995")).quantize(Decimal("0.01")))


def test_an_order_that_the_market_fills_is_filled_in_the_record(anywhere: Installation) -> None:
    here = anywhere
    account = here.account()
    with streaming(here.parts, ready=listening):
        order = here.order(account, "buy", "0.01", near(here))
        assert order.status == OrderStatus.ACKNOWLEDGED
        unswept(here)
        dearer(here, account)
        wait_until(lambda: here.row(order).status == OrderStatus.FILLED)
    assert "orders.sync_account" not in {name for name, *_ in here.ran[-1:]}
    (fill,) = here.fills(order)
    assert fill.quantity == Decimal("0.01")
    assert fill.is_maker
    assert [each["status"] for each in here.at_venue(account)] == ["filled"]
    here.check(account)
    # The sweep that comes later finds the same trade, and changes nothing.
    here.sync(account)
    assert len(here.fills(order)) == 1
    here.check(account)


def test_reports_doubled_and_reordered_make_each_fill_once(anywhere: Installation) -> None:
    here = anywhere
    account = here.account()
    here.venue.add_fault(action="ws_duplicate", stream="user", probability=0.6)
    here.venue.add_fault(action="ws_reorder", stream="user", probability=0.5)
    with streaming(here.parts, ready=listening):
        orders = [here.order(account, "buy", "0.01", near(here)) for _ in range(4)]
        here.order(account, "buy", "0.02")
        unswept(here)
        dearer(here, account)
        here.venue.clear_faults()
        here.order(account, "buy", "0.01")  # a later report sets free what was held back
        wait_until(lambda: all(here.row(o).status == OrderStatus.FILLED for o in orders))
    assert all(len(here.fills(order)) == 1 for order in orders)
    assert not here.alarms("order-state-conflict")
    here.check(account)


def test_a_report_that_was_lost_is_missed_and_the_stream_opened_anew(here: Installation) -> None:
    account = here.account()
    with streaming(here.parts, ready=listening) as streams:
        user = user_stream(streams)
        # Later than what the stream takes for the past.
        since = user._tools.now()
        wait_until(lambda: user._tools.now() - since > 1.2)
        order = here.order(account, "buy", "0.01", near(here))
        unswept(here)
        lines = user.lines
        here.venue.add_fault(action="ws_silent", stream="user", count=1)
        dearer(here, account)
        here.sync(account)  # what beat does every five seconds
        assert here.row(order).status == OrderStatus.FILLED
        wait_until(lambda: user.lines > lines and user.is_listening, 60)
        second = here.order(account, "buy", "0.01", near(here))
        unswept(here)
        dearer(here, account)
        wait_until(lambda: here.row(second).status == OrderStatus.FILLED)
    here.check(account)


def test_a_fill_before_the_acknowledgement_is_applied_and_told_once(here: Installation) -> None:
    """The stream overtakes the reply, which is lost for good: the order is known all the same."""
    account = here.account()
    with streaming(here.parts, ready=listening):
        here.venue.add_fault(action="lose_reply", method="POST", path="/api/v3/order", count=1)
        _, order = here.submit(account, "buy", "0.01")
        assert order is not None
        here.settle()
        wait_until(lambda: here.row(order).status == OrderStatus.FILLED)
    assert [event.kind for event in here.events(order)].count("fill") == 1
    here.check(account)


def test_an_account_that_is_added_is_streamed_without_a_restart(here: Installation) -> None:
    with streaming(here.parts, ready=lambda _service: True) as streams:
        for number in (1, 2):
            account = here.account()
            wait_until(lambda number=number: listening(streams.service, number), 60)
            order = here.order(account, "buy", "0.01", near(here))
            unswept(here)
            dearer(here, account)
            wait_until(lambda order=order: here.row(order).status == OrderStatus.FILLED)


def test_an_order_that_is_not_ours_is_left_to_the_sweep(here: Installation) -> None:
    account = here.account()
    with streaming(here.parts, ready=listening):
        unswept(here)
        desk = here.parts.desks.open(account.id)
        desk.adapter.place_order(
            OrderRequest(
                SYMBOL,
                Side.BUY,
                OrderType.MARKET,
                Decimal("0.01"),
                "byhandelsewhere",
                here.clock.now_ms(),
                2_000,
            )
        )
        wait_until(lambda: ("orders.sync_account", (account.id,)) in here.queue.waiting)


def test_any_order_of_reports_ends_in_the_same_record(here: Installation) -> None:
    account = here.account()
    dice = random.Random(5)
    applied = OrderReports(here.parts.units, here.parts.ids)
    for round_ in range(12):
        order = here.order(account, "buy", "0.03", here.away("buy"))
        reports = [
            *(report(order, round_, part, "0.01") for part in (1, 2, 3)),
            report(order, round_, 0, None),
        ]
        shuffled = [*reports, *dice.sample(reports, 2)]
        dice.shuffle(shuffled)
        for each in shuffled:
            applied.apply(account.id, [each], lambda _unit: None)
        row = here.row(order)
        assert (row.status, row.filled_quantity) == (OrderStatus.FILLED, Decimal("0.03"))
        assert len(here.fills(order)) == 3
        assert row.reserved_amount == 0
    assert not here.alarms("order-state-conflict")
    assert not here.alarms("overfill")


def test_reports_of_an_order_that_has_ended_lock_nothing_until_one_brings_a_trade(
    here: Installation,
) -> None:
    account = here.account()
    order = here.order(account, "buy", "0.03", here.away("buy"))
    applied = OrderReports(here.parts.units, here.parts.ids)
    told = [report(order, 0, part, "0.01") for part in (1, 2, 3)]
    applied.apply(account.id, told, lambda _unit: None)
    assert here.row(order).status == OrderStatus.FILLED
    entered: list[str] = []

    def fence(_unit: Unit) -> None:
        entered.append("a transaction")

    applied.apply(account.id, [*told, report(order, 0, 0, None)], fence)
    assert entered == []
    applied.apply(account.id, [*told, report(order, 0, 4, "0.01")], fence)
    assert len(entered) == 1
    assert [alarm["kind"] for alarm in here.alarms("overfill")] == ["overfill"]


def report(order: OrderRow, round_: int, part: int, quantity: str | None) -> OrderReport:
    """The report of one of three equal fills, or of the order's arrival."""
    fill = quantity and VenueFill(
        trade_id=str(10_000 + 10 * round_ + part),
        venue_order_id=order.venue_order_id or "",
        symbol="BTCUSDT",
        side=Side.BUY,
        price=order.price or Decimal(1),
        quantity=Decimal(quantity),
        fee=Decimal(0),
        fee_asset="",
        timestamp=1_700_000_000_000 + part,
        is_maker=True,
    )
    done = Decimal("0.01") * part
    status = OrderStatus.PARTIALLY_FILLED if part in (1, 2) else OrderStatus.FILLED
    return OrderReport(
        native_symbol="BTCUSDT",
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id or "",
        side=Side.BUY,
        type=OrderType.LIMIT,
        status=status if part else OrderStatus.ACKNOWLEDGED,
        quantity=Decimal("0.03"),
        filled_quantity=done,
        fill=fill or None,
        event_ts=1_700_000_000_000 + part,
    )


def user_stream(streams: Streams) -> UserStream:
    running = [each.stream for each in streams.service._running.values()]
    return next(each for each in running if isinstance(each, UserStream))
