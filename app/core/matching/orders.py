"""What the matching core knows of an order, and what it answers.

The core works on any number type that compares and multiplies: ``float`` in the backtest,
``Decimal`` in the simulator and the paper gateway. One object never mixes the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, TypeVar

from app.core.orders.types import OrderType, Side, TimeInForce

Number = TypeVar("Number", float, Decimal)


@dataclass(slots=True)
class WorkingOrder(Generic[Number]):
    """An order that rests in the book.

    Attributes:
        key: the owner's name for it, unique in one book.
        remaining: quantity not yet filled, base units.
        limit_price: for LIMIT and STOP_LIMIT.
        stop_price: for STOP and STOP_LIMIT.
        triggered: whether a STOP_LIMIT has become a limit order.
    """

    key: str
    side: Side
    type: OrderType
    remaining: Number
    limit_price: Number | None = None
    stop_price: Number | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    triggered: bool = False


@dataclass(frozen=True, slots=True)
class Execution(Generic[Number]):
    """One fill that the core found.

    Attributes:
        is_maker: True if the order was resting when it was filled.
    """

    key: str
    side: Side
    price: Number
    quantity: Number
    is_maker: bool
