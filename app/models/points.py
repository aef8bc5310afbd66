"""Histories that are not bars: funding rates, open interest."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Json, Millis, Name, RowId, Word, table


class PointSeriesRow(Base):
    """One history; its row is the lock under which its points change."""

    __tablename__ = "point_series"
    __table_args__ = table(UniqueConstraint("exchange", "symbol", "kind", "interval"))

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    exchange: Mapped[str] = mapped_column(Name)
    symbol: Mapped[str] = mapped_column(Name)
    kind: Mapped[str] = mapped_column(Word)
    # Empty where the venue chooses the times.
    interval: Mapped[str] = mapped_column(String(8))
    # The first time that was not seen yet, and the wall time of the last question.
    next_ts: Mapped[int] = mapped_column(Millis, default=0)
    asked_at: Mapped[int] = mapped_column(Millis, default=0)
    created_at: Mapped[int] = mapped_column(Millis)


class PointRow(Base):
    """One value at one time, and a second one that belongs to it: a price, a worth."""

    __tablename__ = "points"
    __table_args__ = table()

    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    ts: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    value: Mapped[Decimal]
    second: Mapped[Decimal | None]


class PointRevisionRow(Base):
    """A point that the venue later stated differently: old, new, source."""

    __tablename__ = "point_revisions"
    __table_args__ = table(Index(None, "series_id", "ts"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    series_id: Mapped[int] = mapped_column(Integer)
    ts: Mapped[int] = mapped_column(Millis)
    old: Mapped[dict[str, Any]] = mapped_column(Json)
    new: Mapped[dict[str, Any]] = mapped_column(Json)
    source: Mapped[str] = mapped_column(Name)
    seen_at: Mapped[int] = mapped_column(Millis)
