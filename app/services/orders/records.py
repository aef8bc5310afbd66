"""Moves of order rows: every change of state is an event row and an outbox event."""

from __future__ import annotations

from typing import Any, Final

import structlog

from app.core.events import body, topic
from app.core.money import ZERO, canonical
from app.core.orders.reservation import remaining_reservation
from app.core.orders.state import FINAL, WORKING, require_move
from app.core.orders.types import OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from app.core.risk.context import Decision
from app.models import OrderRow, RiskDecisionRow, SignalRow
from app.repositories.unit import Unit
from app.services.alarms import tell_alarm

_log = structlog.get_logger(__name__)
#: Order events that a strategy is told of; the others are steps of the protocol.
TOLD: Final = frozenset(
    {
        "fill",
        "venue",
        "rejected",
        "expired",
        "absent",
        "halted",
        "locked",
        "cancelled_before_send",
    }
)


def tell_signal(unit: Unit, signal: SignalRow, instance_name: str, **more: Any) -> None:
    """Report a signal as it is now; ``more`` is what this news alone says of it."""
    unit.emit(
        topic("signals", instance_name, signal.action),
        body(
            "signals.v1",
            signal_id=signal.id,
            instance_id=signal.instance_id,
            symbol=signal.symbol,
            side=signal.side,
            type=signal.type,
            quantity=canonical(signal.quantity),
            status=signal.status,
            bar_ts=signal.bar_ts,
            **more,
            at=unit.now_ms,
        ),
    )


def tell_denial(unit: Unit, decision: RiskDecisionRow, symbol: str, verdict: Decision) -> None:
    """Report a denial; a rule that failed is ours to mend, and an alarm of its own."""
    level, kind, text = "warning", "denied", verdict.reason
    if verdict.failure is not None:
        level, kind = "critical", "rule-failed"
        text = f"{verdict.reason} in risk rule {verdict.rule}, which denies until it is mended"
        _log.error(
            "risk_rule_failed", rule=verdict.rule, decision_id=decision.id, exc_info=verdict.failure
        )
    tell_alarm(
        unit,
        level,
        kind,
        text,
        decision_id=decision.id,
        instance_id=decision.instance_id,
        symbol=symbol,
        rule=verdict.rule,
        quote_needed=decision.inputs["quote_needed"],
        reserve_buffer=decision.inputs["reserve_buffer"],
    )


def request_of(order: OrderRow) -> OrderRequest:
    """The request that a claimed row describes; nothing else may reach the venue.

    Raises:
        ValueError: the row was never claimed.
    """
    if order.request_ts is None:
        raise ValueError(f"order {order.order_id} has no committed request timestamp")
    return OrderRequest(
        symbol=order.symbol,
        side=Side(order.side),
        type=OrderType(order.type),
        quantity=order.quantity,
        client_order_id=order.client_order_id,
        timestamp_ms=order.request_ts,
        recv_window_ms=order.recv_window_ms,
        price=order.price,
        stop_price=order.stop_price,
        time_in_force=TimeInForce(order.time_in_force),
    )


def move(
    unit: Unit,
    order: OrderRow,
    target: OrderStatus,
    kind: str,
    *,
    not_before: int = 0,
    reason: str | None = None,
    **data: Any,
) -> None:
    """Carry a locked order to a state, with its event; a final state frees what it held.

    Raises:
        IllegalMove: the state machine does not allow it.
    """
    before = OrderStatus(order.status)
    require_move(before, target)
    order.status = target
    order.not_before = not_before
    order.updated_at = unit.now_ms
    if reason is not None:
        order.reason = reason[:300]
    if target in FINAL:
        hold(unit, order, final=True)
    note(unit, order, kind, before, reason=reason, **data)


def note(unit: Unit, order: OrderRow, kind: str, before: OrderStatus, **data: Any) -> None:
    """Write an order event and its outbox twin; the instance is told."""
    instance = unit.instances.look(order.instance_id)
    to_tell = kind in TOLD and instance.kind == "strategy"
    # One that answers bars alone learns of it with its next bar. It may be holding that bar
    # back for an order that rests at the venue, and for no other.
    if to_tell and (instance.listens or before in WORKING):
        unit.enqueue("strategies.evaluate", order.instance_id)
    if order.status in FINAL and order.cancel_requested:
        # Whoever waits, waits for a cancel to be confirmed (``turns``).
        wake_waiting(unit, order.instance_id)
    facts = {key: value for key, value in data.items() if value is not None}
    event_id = unit.orders.add_event(order, kind, before.value, facts, unit.now_ms, to_tell=to_tell)
    unit.emit(
        topic("orders", order.status, order.exchange),
        body(
            "orders.v1",
            event_id=event_id,
            kind=kind,
            order_id=order.order_id,
            account_id=order.account_id,
            instance_id=order.instance_id,
            exchange=order.exchange,
            symbol=order.symbol,
            side=order.side,
            type=order.type,
            status=str(order.status),
            quantity=canonical(order.quantity),
            filled_quantity=canonical(order.filled_quantity),
            client_order_id=order.client_order_id,
            at=unit.now_ms,
            **facts,
        ),
    )


def wake_waiting(unit: Unit, instance_id: str) -> None:
    """Ask for the instance's signals that may have waited for what has just happened."""
    for signal in unit.signals.unjudged_of(instance_id):
        unit.enqueue("orders.accept_signal", signal.id)


def signal_key(signal: SignalRow) -> str:
    """The signal's own name within its instance."""
    return f"{signal.symbol}|{signal.interval}|{signal.cause}|{signal.leg}"


def hold(unit: Unit, order: OrderRow, *, final: bool = False) -> None:
    """Bring the order's reservation in line with what is still unfilled."""
    held = (
        ZERO
        if final
        else remaining_reservation(order.reserved_initial, order.quantity, order.filled_quantity)
    )
    change = held - order.reserved_amount
    if change == 0:
        return
    rows = unit.accounts.lock_balances(order.account_id, [order.reserved_asset])
    unit.accounts.move(rows[order.reserved_asset], free=-change, locked=change, at=unit.now_ms)
    order.reserved_amount = held
