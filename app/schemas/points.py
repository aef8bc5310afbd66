"""Funding rates and open interest."""

from __future__ import annotations

from pydantic import Field

from app.core.money import canonical
from app.repositories.points import Point
from app.schemas.common import Model, Money, money


class FundingRate(Model):
    """What longs paid shorts at one time."""

    ts: int = Field(description="the venue's time of the payment, ms", examples=[1772323200000])
    rate: Money = Field(description="part of the position's value", examples=["0.0001"])
    mark_price: Money | None

    @classmethod
    def of(cls, point: Point) -> FundingRate:
        """The rate of a point."""
        return cls(ts=point.ts, rate=canonical(point.value), mark_price=money(point.second))


class OpenInterest(Model):
    """How much of a perpetual was open at one time."""

    ts: int
    quantity: Money = Field(description="base units")
    value: Money | None = Field(description="quote units, where the venue says it")

    @classmethod
    def of(cls, point: Point) -> OpenInterest:
        """The observation of a point."""
        return cls(ts=point.ts, quantity=canonical(point.value), value=money(point.second))
