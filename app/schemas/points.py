"""Funding rates, open interest, and points of any series."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Final

from pydantic import Field

from app.core.money import canonical
from app.repositories.points import Point
from app.schemas.common import Model, Money, money
from app.services.point_coverage import PointAccount

#: A venue, or a data source as ``source:<name>``.
ORIGIN_PATTERN: Final = r"^([a-z0-9_][a-z0-9_-]{0,31}|source:[a-z][a-z0-9_-]{0,31})$"
#: Name of a series. In brackets, for it is not to be told as an exchange: see ``forms``.
KIND_PATTERN: Final = r"^([a-z][a-z0-9_]{0,31})$"


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


class AnyPoint(Model):
    """One value of a series at one time."""

    ts: int = Field(description="time that the value is of, ms", examples=[1772323200000])
    value: Money = Field(examples=["42"])
    second: Money | None = Field(description="another value that belongs to it")
    label: str | None = Field(description="a word that belongs to it", examples=["Fear"])

    @classmethod
    def of(cls, point: Point) -> AnyPoint:
        """The point."""
        return cls(
            ts=point.ts,
            value=canonical(point.value),
            second=money(point.second),
            label=point.label,
        )


class PointGap(Model):
    """Points that lack."""

    start: int = Field(description="where the first of them belongs, ms")
    end: int = Field(description="where the next one that is there belongs, ms")
    state: str = Field(
        description="pending; exchange_side: the venue itself has none; or before_listing: older "
        "than the venue's first point"
    )
    count: int | None = Field(
        description="how many; null where nothing says how far apart they are, and before the "
        "listing, where none is expected"
    )


class PointCoverage(Model):
    """One history accounted for."""

    start: int | None = Field(description="null where nothing is stored, ms")
    end: int | None
    every_ms: int | None = Field(description="how far apart the latest points are")
    expected: int
    present: int
    gaps: list[PointGap]
    note: str | None = Field(
        description="why nothing is said of what should have come after the last point: the "
        "venue's market time is not known; else null"
    )

    @classmethod
    def of(cls, found: PointAccount) -> PointCoverage:
        """The account of a history."""
        gaps = [
            PointGap(start=each.start, end=each.end, state=each.state.value, count=each.count)
            for each in found.gaps
        ]
        return cls(
            start=found.start,
            end=found.end,
            every_ms=found.every_ms,
            expected=found.expected,
            present=found.present,
            gaps=gaps,
            note=found.unknown or None,
        )


def points_csv(points: Sequence[AnyPoint]) -> str:
    """A line of names and a line for each point; labels quoted where they must be."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("ts", "value", "second", "label"))
    writer.writerows((each.ts, each.value, each.second, each.label) for each in points)
    return text.getvalue()
