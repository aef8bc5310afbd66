"""Rounding by tick and step: the only place where prices and quantities are rounded.

Rounding never goes towards more risk: quantities shrink, prices go down for a buy and up for
a sell.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from app.core.errors import InvalidInput
from app.core.orders.types import Side

# Wide enough for any DECIMAL(36,18) divided by the smallest step; the default 28 digits is not.
_WIDE = Context(prec=80)


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Largest multiple of ``step`` that is not above ``value``.

    Raises:
        InvalidInput: ``step`` is not positive.
    """
    return _multiple(value, step, ROUND_FLOOR)


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """Smallest multiple of ``step`` that is not below ``value``.

    Raises:
        InvalidInput: ``step`` is not positive.
    """
    return _multiple(value, step, ROUND_CEILING)


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether ``value`` is an exact multiple of ``step``."""
    return floor_to(value, step) == value


def round_quantity(quantity: Decimal, step: Decimal) -> Decimal:
    """Quantity rounded down to the step; the magnitude never grows."""
    return floor_to(quantity, step) if quantity >= 0 else ceil_to(quantity, step)


def round_price(price: Decimal, tick: Decimal, side: Side) -> Decimal:
    """Limit or stop price on the tick, down for a buy and up for a sell.

    A limit is then never worse for its owner than what was asked, and a stop triggers no
    later than what was asked.

    Raises:
        InvalidInput: ``tick`` is not positive.
    """
    return floor_to(price, tick) if side is Side.BUY else ceil_to(price, tick)


def _multiple(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    if step <= 0:
        raise InvalidInput(f"step was {step}; a tick or step must be above 0")
    count = _WIDE.divide(value, step).to_integral_value(rounding=rounding, context=_WIDE)
    return _WIDE.multiply(count, step)
