"""After a restore: the record is older than the venue, and nothing may be sent twice.

An order that is NEW in a backup may have been sent since; a signal or a request by hand that the
backup does not hold comes again, with the same intent and so with the same client order id. A
venue does not refuse an id whose first order has ended. So, for two days, each order is asked for
before it is sent, and what the venue has already is not sent again.
"""

from __future__ import annotations

from typing import Final

from app.core.orders.types import OrderResponse, OrderStatus
from app.core.ports import Ids
from app.models import AccountRow, OrderRow
from app.repositories.unit import Unit
from app.services.orders.fills import apply_answer
from app.services.orders.records import move

#: The signal of a daily bar is valid for a day after the day; requests by hand come sooner.
_ASK_FOR_MS: Final = 48 * 3_600_000
_OWNER: Final = "restore"


def asks_first(account: AccountRow, now_ms: int) -> bool:
    """Whether an order of this account may have been sent by a record that is gone."""
    return account.restored_at > 0 and now_ms - account.restored_at < _ASK_FOR_MS


def meet(unit: Unit, ids: Ids, order_id: str, found: OrderResponse) -> OrderStatus:
    """Bring a NEW order in line with the order of its id that the venue has; its status."""
    row = unit.orders.lock(order_id)
    if row.status != OrderStatus.NEW:
        return OrderStatus(row.status)
    known = unit.orders.of_venue_id(row.account_id, row.symbol, found.venue_order_id)
    if known is not None and known.order_id != order_id:
        why = f"placed before the restore, as venue order {found.venue_order_id} of external"
        move(unit, row, OrderStatus.REJECTED, "rejected", reason=why)
        return OrderStatus(row.status)
    if _claim(unit, row):
        apply_answer(unit, ids, row, found, "query")
    return OrderStatus(row.status)


def doubt(unit: Unit, account_id: str) -> int:
    """Fence an account of a restored record; how many of its orders must be asked for."""
    account = unit.accounts.lock(account_id)
    account.restored_at = unit.now_ms
    doubted = 0
    for live in unit.orders.live(account_id):
        if live.status != OrderStatus.NEW:
            continue
        row = unit.orders.lock(live.order_id)
        if _claim(unit, row):
            move(unit, row, OrderStatus.UNKNOWN, "unknown", reason="it may have been sent since")
            doubted += 1
    return doubted


def _claim(unit: Unit, order: OrderRow) -> bool:
    """Claim a row for the record that is gone; False where it was not NEW any more."""
    now = unit.now_ms
    return unit.orders.claim(order, owner=_OWNER, request_ts=now, now_ms=now, by=_OWNER)
