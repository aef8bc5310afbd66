"""Histories that are not bars: funding rates, open interest, and whatever sources give."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Json, LongText, Millis, Name, RowId, Uid, Word, table


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
    # From when on all was asked for; None of a series that an older release asked for.
    from_ts: Mapped[int | None] = mapped_column(Millis)
    # What of [from_ts, next_ts) lacks, as spans: see ``app.core.market.point_gaps``.
    gaps: Mapped[list[Any] | None] = mapped_column(Json)
    created_at: Mapped[int] = mapped_column(Millis)


class PointRow(Base):
    """One value at one time, and what belongs to it: a price or a worth, a word."""

    __tablename__ = "points"
    __table_args__ = table()

    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    ts: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    value: Mapped[Decimal]
    second: Mapped[Decimal | None]
    label: Mapped[str | None] = mapped_column(Name)


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


class PointQuarantineRow(Base):
    """An observation that failed its checks, kept as it came, with the reason; equal ones once."""

    __tablename__ = "point_quarantine"
    __table_args__ = table(UniqueConstraint("exchange", "digest"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    exchange: Mapped[str] = mapped_column(Name)
    digest: Mapped[str] = mapped_column(String(64))  # sha256 of row and reason
    row: Mapped[Any] = mapped_column(Json)
    reason: Mapped[str] = mapped_column(String(200))
    source: Mapped[str] = mapped_column(Name)
    seen_at: Mapped[int] = mapped_column(Millis)


class DataSourceRow(Base):
    """A data source that is asked every so often: a built-in, or an author's file."""

    __tablename__ = "data_sources"
    __table_args__ = table(UniqueConstraint("name"), Index(None, "enabled", "due_at"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    name: Mapped[str] = mapped_column(Word)
    origin: Mapped[str] = mapped_column(Word)  # builtin | file
    # The built-in's name, or the file's for messages; and the file's text, empty for a built-in.
    file: Mapped[str] = mapped_column(Name)
    text: Mapped[str] = mapped_column(LongText)
    sha256: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(200))
    parameters: Mapped[dict[str, Any]] = mapped_column(Json)  # JSON schema
    params: Mapped[dict[str, Any]] = mapped_column(Json)
    symbols: Mapped[list[str]] = mapped_column(Json)
    every_ms: Mapped[int] = mapped_column(Millis)
    enabled: Mapped[bool]
    # Wall time of the next run, and until when the present one holds the row.
    due_at: Mapped[int] = mapped_column(Millis)
    lease_owner: Mapped[str | None] = mapped_column(Uid)
    lease_until: Mapped[int] = mapped_column(Millis, default=0)
    # Failures in a row, and the sentence of the last one; None after a run that was well.
    failures: Mapped[int] = mapped_column(Integer, default=0)
    error: Mapped[str | None] = mapped_column(String(1000))
    ran_at: Mapped[int | None] = mapped_column(Millis)
    result: Mapped[dict[str, Any] | None] = mapped_column(Json)  # counts of the last run
    created_at: Mapped[int] = mapped_column(Millis)
    updated_at: Mapped[int] = mapped_column(Millis)
