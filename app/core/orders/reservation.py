"""What an order holds back from the free balance until it is final."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from app.core.money import ONE, ZERO
from app.core.orders.types import OrderType, Side
from app.core.portfolio.positions import exact_product

#: A market or stop buy may fill above the price it was valued at.
MARKET_BUFFER: Final = Decimal("0.01")
#: A venue may charge its fee in quote on top of the limit price.
LIMIT_BUFFER: Final = Decimal("0.002")


def reservation(
    side: Side,
    type_: OrderType,
    quantity: Decimal,
    limit_price: Decimal | None,
    reference_price: Decimal,
    *,
    base: str,
    quote: str,
) -> tuple[str, Decimal]:
    """(asset, amount) that the order holds: base for a sell, quote with a buffer for a buy."""
    if side is Side.SELL:
        return base, quantity
    capped = type_ in (OrderType.LIMIT, OrderType.STOP_LIMIT) and limit_price is not None
    price = limit_price if capped and limit_price is not None else reference_price
    buffer = LIMIT_BUFFER if capped else MARKET_BUFFER
    return quote, exact_product(exact_product(price, quantity), ONE + buffer)


def remaining_reservation(initial: Decimal, quantity: Decimal, filled: Decimal) -> Decimal:
    """What is still held after ``filled`` of ``quantity``; 0 once all is filled."""
    if filled >= quantity:
        return ZERO
    return exact_product(initial, (quantity - filled) / quantity)
