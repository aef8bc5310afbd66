"""Orders that their venue has forgotten, as a test network that was set back."""

from __future__ import annotations

import pytest

from app.core.orders.types import OrderStatus
from app.models import AccountRow, OrderRow
from app.repositories.unit import Unit
from tests.support.installation import MINUTE, SYMBOL, Installation


def forgotten(here: Installation, account: AccountRow, order: OrderRow, number: str) -> None:
    """The venue has no such order: it was cancelled there, and our row names another one."""
    here.by_hand(account).cancel_order(order.venue_order_id, SYMBOL)

    def rename(unit: Unit) -> None:
        row = unit.orders.lock(order.order_id)
        row.client_order_id, row.venue_order_id = f"nobody{number}", number

    here.parts.units.run(rename)


def look(here: Installation, account: AccountRow, minutes: int) -> None:
    for _ in range(minutes):
        here.clock.advance(MINUTE)
        here.sync(account)


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["resting", "to be cancelled"])
def test_an_order_that_nobody_knows_is_given_up_after_ten_minutes(
    anywhere: Installation, is_cancelled: bool
) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    order = here.order(account, "buy", "0.01", here.away("buy"))
    forgotten(here, account, order, "999999991")
    if is_cancelled:
        here.parts.canceller.request(order.order_id)
        here.settle()
    here.sync(account)
    look(here, account, 9)
    assert here.row(order).status in (OrderStatus.ACKNOWLEDGED, OrderStatus.PENDING_CANCEL)
    assert here.balance(account, "USDT")[1] > 0, "its funds are still held"

    look(here, account, 2)
    ended = here.row(order)
    assert (ended.status, ended.reserved_amount) == (OrderStatus.CANCELLED, 0)
    assert ended.reason == "the venue does not know it any more"
    assert here.balance(account, "USDT") == (5000, 0)
    (alarm,) = here.alarms("order-vanished")
    assert order.order_id == alarm["order_id"]
    assert f"0 of 0.01 {SYMBOL} filled" in alarm["text"]


def test_an_order_that_is_found_again_and_a_clock_that_jumps_end_nothing(
    anywhere: Installation,
) -> None:
    """Eight minutes unknown, then seen, then eight unknown and a look a day later."""
    here = anywhere
    account = here.account(USDT="5000")
    order = here.order(account, "buy", "0.01", here.away("buy"))
    known = here.row(order)
    number, name = known.venue_order_id, known.client_order_id

    def rename(client_id: str, venue_id: str | None) -> None:
        def work(unit: Unit) -> None:
            row = unit.orders.lock(order.order_id)
            row.client_order_id, row.venue_order_id = client_id, venue_id

        here.parts.units.run(work)

    rename("nobody1", "999999991")
    here.sync(account)
    look(here, account, 8)
    rename(name, number)
    look(here, account, 1)
    rename("nobody1", "999999991")
    look(here, account, 8)
    here.clock.advance(24 * 60 * MINUTE)
    here.sync(account)
    assert here.row(order).status == OrderStatus.ACKNOWLEDGED
    assert here.alarms("order-vanished") == []
