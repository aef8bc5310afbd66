"""Whose turn it is among the signals of one cause.

A strategy that moves an order says "cancel this, then place that". The second may only be judged
when the first is done: until the venue has confirmed the cancel, the old order still holds its
funds and may still fill. If it did fill, the new one would come on top of it and is dropped.
"""

from __future__ import annotations

from enum import Enum, auto

from app.core.orders.identity import signal_intent
from app.core.orders.state import FINAL
from app.core.orders.types import OrderStatus
from app.core.strategies.signal import SignalAction
from app.models import SignalRow, StrategyInstanceRow
from app.repositories.unit import Unit


class Turn(Enum):
    """When a signal may be judged."""

    NOW = auto()
    LATER = auto()
    NEVER = auto()


def turn_of(unit: Unit, instance: StrategyInstanceRow, signal: SignalRow) -> Turn:
    """The turn of a signal behind the earlier legs of its cause."""
    if signal.leg == 0:
        return Turn.NOW
    for leg in unit.signals.earlier_legs(signal):
        if leg.status == "new":
            return Turn.LATER
        if leg.action != SignalAction.CANCEL:
            continue
        key = signal_intent(instance.id, leg.cancels or "")
        order = unit.orders.of_intent(instance.account_id, key)
        if order is None:
            continue
        if order.status not in FINAL:
            return Turn.LATER
        if order.status == OrderStatus.FILLED:
            return Turn.NEVER
    return Turn.NOW
