"""Orders: their lives, their fills and their decisions (O2, O9, O11, O15)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any

from app.core.money import ZERO, canonical
from app.core.orders.state import may_move
from app.core.orders.types import OrderStatus
from app.models import OrderRow
from app.repositories.unit import Unit
from app.services.invariants.breach import Breach


@dataclass(frozen=True, slots=True)
class _Life:
    """What the events of one order say.

    Attributes:
        faults: moves that no order may make.
        last: the state that the last event left it in.
        sent: request timestamps of its attempts, by the wall time of their claims.
    """

    faults: tuple[str, ...]
    last: str
    sent: dict[int, int]


def check_orders(unit: Unit) -> list[Breach]:
    """Every breach among the orders of every account."""
    return [
        breach for account in unit.accounts.all() for breach in _check_account(unit, account.id)
    ]


def _check_account(unit: Unit, account_id: str) -> Iterator[Breach]:
    filled: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for fill in unit.audit.fills(account_id):
        filled[fill.order_id] += fill.quantity
    events = unit.audit.order_events(account_id)
    lives = {key: _life(rows) for key, rows in groupby(events, key=lambda row: str(row.order_id))}
    halted = {halt.scope for halt in unit.risk.halts_in_force()}
    for order, passed, decided_at in unit.audit.orders(account_id):
        name = f"order {order.order_id}"
        life = lives.get(order.order_id)
        if life is None:
            yield Breach("O9", order.order_id, f"{name} has no event of its life")
            continue
        for fault in life.faults:
            yield Breach("O9", order.order_id, f"{name} {fault}")
        if life.last != order.status:
            text = f"{name} is {order.status} and its last event left it {life.last}"
            yield Breach("O9", order.order_id, text)
        yield from _quantities(order, filled[order.order_id], halted)
        yield from _decision(order, life, passed, decided_at)


def _life(rows: Iterator[Any]) -> _Life:
    faults, sent = [], {}
    state: str | None = None
    for row in rows:
        before = row.from_status
        if state is not None and before != state:
            faults.append(f"went on from {before} where it was {state} (event {row.seq})")
        elif before is not None and not may_move(OrderStatus(before), OrderStatus(row.to_status)):
            faults.append(f"moved from {before} to {row.to_status} (event {row.seq})")
        state = row.to_status
        if row.kind == "sending":
            sent[int(row.data["request_ts"])] = row.at
    return _Life(tuple(faults), state or "", sent)


def _quantities(order: OrderRow, filled: Decimal, halted: set[str]) -> Iterator[Breach]:
    name = f"order {order.order_id}"
    # What an adopted order had filled before its account was added is in the opening balances.
    if order.filled_quantity != filled and order.tag != "external":
        text = (
            f"{name} counts {canonical(order.filled_quantity)} filled and its fills are "
            f"{canonical(filled)}"
        )
        yield Breach("O11", order.order_id, text)
    if order.filled_quantity > order.quantity:
        if f"symbol:{order.exchange}:{order.symbol}" in halted:
            return  # told, and its symbol stands still until a person has looked
        text = (
            f"{name} of {canonical(order.quantity)} filled {canonical(order.filled_quantity)}, and "
            f"{order.symbol} is not halted"
        )
        yield Breach("O11", order.order_id, text)
    is_whole = order.filled_quantity >= order.quantity
    if (order.status == OrderStatus.FILLED) != is_whole and order.status not in (
        OrderStatus.CANCELLED,
        OrderStatus.EXPIRED,
    ):
        text = (
            f"{name} is {order.status} with {canonical(order.filled_quantity)} of "
            f"{canonical(order.quantity)}"
        )
        yield Breach("O11", order.order_id, text)


def _decision(
    order: OrderRow, life: _Life, passed: bool | None, decided_at: int | None
) -> Iterator[Breach]:
    name = f"order {order.order_id}"
    if passed is None or decided_at is None:
        yield Breach("O15", order.order_id, f"{name} has no risk decision")
        return
    if not passed:
        yield Breach("O15", order.order_id, f"{name} exists though risk refused it")
    if decided_at > order.created_at:
        # Claims come later in its life; their wall times may be earlier, for clocks are set back.
        yield Breach("O15", order.order_id, f"{name} was written before risk had decided")
    if order.request_ts is not None and order.request_ts not in life.sent:
        yield Breach("O2", order.order_id, f"{name} carries a request time that no claim wrote")
    if len(life.sent) > order.attempt:
        text = f"{name} was claimed {len(life.sent)} times in {order.attempt} attempts"
        yield Breach("O4", order.order_id, text)
