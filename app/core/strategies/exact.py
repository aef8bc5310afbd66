"""Exact arithmetic of sizing, independent of the thread's decimal context."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from app.core.errors import InvalidInput
from app.core.money import DECIMALS, INTEGER_DIGITS, checked
from app.core.orders.types import Side

Amount = Decimal | int | float | str
"""What an author may write for a quantity, a price or a fraction."""

# Wide enough for the exact product of two DECIMAL(36,18).
_WIDE: Final = Context(prec=80, rounding=ROUND_HALF_EVEN)
_QUANTUM: Final = Decimal(1).scaleb(-DECIMALS)
_LIMIT: Final = Decimal(10) ** INTEGER_DIGITS


def exact(value: Amount, what: str = "amount") -> Decimal:
    """The decimal that a value is written as: 0.1 is one tenth, not the nearest float64.

    It may have more decimals than money can hold (a band of a cheap coin has); rounding by
    tick or step comes after.

    Raises:
        InvalidInput: it is NaN, infinite or not a number.
    """
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise InvalidInput(f"{what} was {value}; it must be a finite number")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(f"{what} was {value}; it must be a finite number")
        # numpy's float64 is a float too, but its repr has its type's name around it.
        return Decimal(float.__repr__(value))
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidInput(f"{what} was {value!r}; it must be a number")
    try:
        return exact(Decimal(value), what)
    except ArithmeticError:
        raise InvalidInput(f"{what} was {value!r}; it must be a number") from None


def plus(left: Decimal, right: Decimal) -> Decimal:
    """Sum, exact up to 80 digits: the same in whatever order it is built."""
    return _WIDE.add(left, right)


def minus(left: Decimal, right: Decimal) -> Decimal:
    """Difference, exact up to 80 digits."""
    return _WIDE.subtract(left, right)


def signed(side: Side, quantity: Decimal) -> Decimal:
    """What an order of that side does to a position: + for a buy, − for a sell."""
    # Even a unary minus rounds to the thread's context, which an author's code may have set.
    return quantity if side is Side.BUY else quantity.copy_negate()


def times(left: Decimal, right: Decimal) -> Decimal:
    """Product, exact up to 80 digits."""
    return _WIDE.multiply(left, right)


def over(left: Decimal, right: Decimal) -> Decimal:
    """Quotient with 80 digits."""
    return _WIDE.divide(left, right)


def to_money(value: Decimal) -> Decimal:
    """Amount at 18 decimals, rounded half even, as a ledger row can hold it."""
    rounded = value.quantize(_QUANTUM, context=_WIDE)
    # Its decimals fit by now, and asking for its digits again would cost more than the rest.
    return rounded if -_LIMIT < rounded < _LIMIT else checked(rounded)
