"""A key that the venue refuses: expired, its address or its permission taken away."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.errors import Conflict
from app.core.orders.types import OrderStatus
from app.models import AccountRow
from tests.support.installation import Installation
from tests.support.world import World

REFUSED = {"action": "error_before", "status": 401, "code": -2015, "message": "Invalid API-key."}
ASKED = ("/api/v3/order", "/api/v3/openOrders", "/api/v3/account", "/api/v3/myTrades")


def refuse(here: Installation, account: AccountRow) -> int:
    """From now on the venue refuses the account's key; the number of its last request."""
    known = calls(here, 0)
    for path in ASKED:
        here.venue.add_fault(path=path, account=here.venue_name(account), **REFUSED)
    return max((each["seq"] for each in known), default=0)


def calls(here: Installation, since: int) -> list[dict[str, Any]]:
    """Signed requests after a number."""
    return [each for each in here.venue.requests(since_seq=since) if each["path"] in ASKED]


@pytest.mark.parametrize("first", ["an order", "a comparison", "a cancel", "a question"])
def test_the_first_refusal_halts_the_account_with_an_alarm_and_nothing_more_is_asked(
    here: Installation, first: str
) -> None:
    account = here.account()
    here.sync(account)
    resting = here.order(account, "buy", "0.01", here.away("buy"))
    if first == "a question":
        here.venue.add_fault(
            action="lose_reply", method="POST", path="/api/v3/order", count=1,
            account=here.venue_name(account),
        )  # fmt: skip
        _, unanswered = here.submit(account, "buy", "0.02", here.away("buy"))
        assert unanswered is not None
        assert here.parts.sender.send(unanswered.order_id) == OrderStatus.UNKNOWN
        here.queue.waiting.clear()
    last = refuse(here, account)
    if first == "an order":
        refused = here.order(account, "buy", "0.01", here.away("buy"))
        assert refused.status == OrderStatus.REJECTED
    elif first == "a comparison":
        here.reconcile(account)
    elif first == "a cancel":
        here.parts.canceller.request(resting.order_id)
        here.settle()
    for _ in range(30):
        here.wait(5_000)
        here.sync(account)

    assert here.parts.accounts.get(account.id).status == "halted"
    with here.parts.units.read() as unit:
        alarms = [row.body["kind"] for row in unit.audit.alerts()]
    assert alarms == ["key-refused"]
    assert 1 <= len(calls(here, last)) <= 3
    # Nothing is guessed meanwhile, and nothing new is begun.
    assert here.row(resting).status in (OrderStatus.ACKNOWLEDGED, OrderStatus.PENDING_CANCEL)
    decision, order = here.submit(account, "buy", "0.01", here.away("buy"))
    assert order is None
    assert not decision.passed


def test_a_mended_key_trades_again_once_the_account_was_compared(here: Installation) -> None:
    account = here.account()
    here.sync(account)
    here.order(account, "buy", "0.01", here.away("buy"))
    refuse(here, account)
    here.order(account, "buy", "0.02", here.away("buy"))
    here.parts.accounts.resume(account.id)
    here.settle()
    assert here.parts.accounts.get(account.id).status == "halted"

    here.venue.clear_faults()
    here.wait(20_000)
    assert here.parts.accounts.resume(account.id).status == "active"
    here.wait(2_000)
    assert here.order(account, "buy", "0.01").status == OrderStatus.FILLED
    with pytest.raises(Conflict, match="is active"):
        here.parts.accounts.resume(account.id)
    world = World(here.parts, here.venue, carried=True)
    assert world.breaches(expected=("key-refused",)) == []
