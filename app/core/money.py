"""Exact amounts.

Every price, quantity and amount of money inside Tidemark is a ``Decimal`` that fits
DECIMAL(36,18): at most 18 integer digits and 18 decimals. What does not fit is an error,
never a rounding.
"""

from __future__ import annotations

import math
import re
from decimal import (
    Context,
    Decimal,
    DefaultContext,
    Inexact,
    InvalidOperation,
    getcontext,
)
from typing import Final

from app.core.errors import InvalidInput

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
INTEGER_DIGITS: Final = 18
DECIMALS: Final = 18
_LIMIT: Final = Decimal(10) ** INTEGER_DIGITS
_QUANTUM: Final = Decimal(1).scaleb(-DECIMALS)
# 36 digits and the sign; Inexact is trapped, so that quantize() refuses a lossy result.
_EXACT: Final = Context(prec=INTEGER_DIGITS + DECIMALS, traps=[Inexact, InvalidOperation])
# Python rounds every sum and product to 28 digits, silently. A product of two amounts has 72:
# this thread and all threads started later keep them.
DefaultContext.prec = getcontext().prec = 80
_TEXT: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?", re.ASCII)


def checked(value: Decimal) -> Decimal:
    """Return ``value`` unchanged if it fits DECIMAL(36,18).

    Raises:
        InvalidInput: it is NaN, infinite, or has more than 18 integer digits or decimals.
    """
    if not value.is_finite():
        raise InvalidInput(f"amount was {value}, which is not a finite number")
    if abs(value) >= _LIMIT:
        raise InvalidInput(f"amount was {value}, which has more than {INTEGER_DIGITS} digits")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -DECIMALS:
        try:
            _EXACT.quantize(value, _QUANTUM)
        except (Inexact, InvalidOperation):
            raise InvalidInput(
                f"amount was {value}, which has more than {DECIMALS} decimals"
            ) from None
    return value


def canonical(value: Decimal) -> str:
    """Plain text of an amount: no exponent, no trailing zeros, no negative zero.

    Two equal amounts have the same text, so text can stand for the amount in a database
    without decimals and in JSON.

    Raises:
        InvalidInput: the amount does not fit DECIMAL(36,18).
    """
    checked(value)
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def shown(value: Decimal | None) -> str | None:
    """Text of an amount for messages and records; what is no amount is shown as it is."""
    if value is None:
        return None
    return canonical(value) if value.is_finite() and abs(value) < _LIMIT else str(value)


def parse_amount(text: str) -> Decimal:
    """Decimal of a plain decimal text such as ``"0.015"``.

    Only ASCII digits, one point and a leading minus are accepted: no exponent, no spaces, no
    thousands separators.

    Raises:
        InvalidInput: the text has any other form or does not fit DECIMAL(36,18).
    """
    if not _TEXT.fullmatch(text):
        raise InvalidInput(
            f"{text[:40]!r} is not an amount; write digits with at most {DECIMALS} decimals, "
            'as in "0.015"'
        )
    return Decimal(text)


def from_float(value: float, digits: int = 8) -> Decimal:
    """Decimal of a research figure, rounded half even at ``digits`` decimals.

    Raises:
        InvalidInput: the figure is NaN, infinite or too large.
    """
    if not math.isfinite(value):
        raise InvalidInput(f"amount was {value}, which is not a finite number")
    return checked(Decimal(canonical(round(Decimal(value), digits))))
