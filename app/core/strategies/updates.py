"""What a strategy is told of its orders: the order as it stands, and what happened to it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from app.core.money import ZERO
from app.core.orders.types import OrderStatus, OrderType, Side
from app.core.strategies.exact import minus


@dataclass(frozen=True, slots=True)
class OwnOrder:
    """One working order of the instance.

    Attributes:
        key: ``EmittedSignal.key`` of the signal that it came from.
        quantity: base units.
        filled: cumulative, base units.
    """

    key: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    filled: Decimal = ZERO
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    tag: str = ""

    @property
    def remaining(self) -> Decimal:
        """Quantity not yet filled, base units."""
        return minus(self.quantity, self.filled)

    @property
    def is_contingent(self) -> bool:
        """Whether it waits for a stop price, so that it may never become a trade."""
        return self.type in (OrderType.STOP, OrderType.STOP_LIMIT)


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """One event of one own order: a fill, a cancel, a rejection.

    Attributes:
        event_id: unique for the instance; signals that answer it have the cause
            ``fill:<event_id>``.
        key: ``EmittedSignal.key`` of the order.
        status: the order's state after the event.
        quantity, filled_quantity: the order's size and its cumulative fills, base units.
        timestamp: market time of the event, ms; of a fill in a backtest, the open of its bar.
        price, last_quantity, fee: of the fill that the event reports; price is None and
            the others 0 where it reports none. The fee is in quote units.
        reason: why it was rejected, cancelled or expired; else empty.
    """

    event_id: str
    key: str
    symbol: str
    side: Side
    type: OrderType
    status: OrderStatus
    quantity: Decimal
    filled_quantity: Decimal
    timestamp: int
    price: Decimal | None = None
    last_quantity: Decimal = ZERO
    fee: Decimal = ZERO
    reason: str = ""
    tag: str = ""

    @property
    def is_fill(self) -> bool:
        """Whether the event reports a fill."""
        return self.last_quantity > 0
