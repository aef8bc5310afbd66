"""What the venue charges."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.core.money import ZERO


class FeeAsset(StrEnum):
    """In which asset commission is charged."""

    RECEIVED = "received"
    QUOTE = "quote"


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """Commission: rates as fractions of the fill."""

    taker: Decimal = Decimal("0.001")
    maker: Decimal = Decimal("0.001")
    asset: FeeAsset = FeeAsset.RECEIVED

    @property
    def highest(self) -> Decimal:
        """The rate for which a limit order must hold money."""
        return max(self.taker, self.maker, ZERO)
