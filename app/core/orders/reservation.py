"""What an order holds back from the free balance until it is final."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from app.core.money import ONE, ZERO
from app.core.orders.types import OrderType, Side
from app.core.portfolio.positions import exact_product

_MILLIONTH: Final = Decimal("0.000001")
#: A market or stop buy may fill above the price it was valued at.
MARKET_BUFFER: Final = Decimal("0.01")
#: A venue may charge its fee in quote on top of the limit price.
LIMIT_BUFFER: Final = Decimal("0.002")


def reserve_buffer(side: Side, type_: OrderType, limit_price: Decimal | None) -> Decimal:
    """Part of a buy's value that is held on top of it; 0 for a sell, which holds its base."""
    if side is Side.SELL:
        return ZERO
    return LIMIT_BUFFER if _is_capped(type_, limit_price) else MARKET_BUFFER


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
    value = _value(type_, quantity, limit_price, reference_price)
    return quote, exact_product(value, ONE + reserve_buffer(side, type_, limit_price))


def held_buffer(
    side: Side,
    type_: OrderType,
    quantity: Decimal,
    limit_price: Decimal | None,
    reference_price: Decimal,
    reserved: Decimal,
) -> Decimal:
    """Part of a buy's value that its reservation held on top of it, to six decimals.

    It is read off the amount, so that an old order shows the buffer of its day, and one that was
    placed outside of Tidemark shows none.
    """
    value = _value(type_, quantity, limit_price, reference_price)
    if side is Side.SELL or reserved <= value or value == 0:
        return ZERO
    return (reserved / value - ONE).quantize(_MILLIONTH).normalize()


def _value(
    type_: OrderType, quantity: Decimal, limit_price: Decimal | None, reference_price: Decimal
) -> Decimal:
    """Quote worth of a buy: at its limit where it can never pay more, else at the market."""
    if limit_price is not None and _is_capped(type_, limit_price):
        return exact_product(limit_price, quantity)
    return exact_product(reference_price, quantity)


def _is_capped(type_: OrderType, limit_price: Decimal | None) -> bool:
    """Whether the order can never pay more than its limit price."""
    return type_ in (OrderType.LIMIT, OrderType.STOP_LIMIT) and limit_price is not None


def remaining_reservation(initial: Decimal, quantity: Decimal, filled: Decimal) -> Decimal:
    """What is still held after ``filled`` of ``quantity``; 0 once all is filled."""
    if filled >= quantity:
        return ZERO
    return exact_product(initial, (quantity - filled) / quantity)
