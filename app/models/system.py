"""Jobs, schedule, leases, outbox, tokens: what keeps the system going."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Json, Millis, Name, RowId, Uid, Word, table


class JobRow(Base):
    """Work longer than a request. The row is the truth; a queue message is only a hint."""

    __tablename__ = "jobs"
    __table_args__ = table(
        Index(None, "state", "not_before"),
        Index(None, "kind", "created_at"),
        UniqueConstraint("dedupe_key"),
    )

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    kind: Mapped[str] = mapped_column(Word)
    state: Mapped[str] = mapped_column(Word)
    priority: Mapped[int] = mapped_column(Integer, default=100)
    # At most one live job of one purpose; NULL once the job has ended, and NULLs never collide.
    dedupe_key: Mapped[str | None] = mapped_column(String(190))
    params: Mapped[dict[str, Any]] = mapped_column(Json)
    cursor: Mapped[dict[str, Any]] = mapped_column(Json)
    progress: Mapped[dict[str, Any]] = mapped_column(Json)
    result: Mapped[dict[str, Any] | None] = mapped_column(Json)
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    not_before: Mapped[int] = mapped_column(Millis, default=0)
    lease_owner: Mapped[str | None] = mapped_column(Name)
    lease_until: Mapped[int] = mapped_column(Millis, default=0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    # Nobody takes it until it is resumed; who works on it now ends its slice.
    paused: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[int] = mapped_column(Millis)
    started_at: Mapped[int | None] = mapped_column(Millis)
    finished_at: Mapped[int | None] = mapped_column(Millis)


class ScheduleRunRow(Base):
    """One run of one periodic task; two schedulers cannot both insert the same slot."""

    __tablename__ = "schedule_runs"
    __table_args__ = table(Index(None, "due_slot"))

    task: Mapped[str] = mapped_column(Name, primary_key=True)
    due_slot: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    owner: Mapped[str] = mapped_column(Name)
    started_at: Mapped[int] = mapped_column(Millis)


class LeaseRow(Base):
    """A named right that one process holds until a time; the epoch grows with each owner."""

    __tablename__ = "leases"
    __table_args__ = table()

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    owner: Mapped[str] = mapped_column(Name)
    until: Mapped[int] = mapped_column(Millis)
    epoch: Mapped[int] = mapped_column(Integer)


class OutboxRow(Base):
    """A business event, written in the transaction that it reports."""

    __tablename__ = "outbox"
    __table_args__ = table(Index(None, "sent_at", "id"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    topic: Mapped[str] = mapped_column(String(255))
    body: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[int] = mapped_column(Millis)
    # 0 = unsent: an indexed equality on both databases, where NULL would need its own rule.
    sent_at: Mapped[int] = mapped_column(Millis, default=0)


class ApiTokenRow(Base):
    """A bearer token, by the SHA-256 of its text."""

    __tablename__ = "api_tokens"
    __table_args__ = table(UniqueConstraint("digest"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(Millis)
    revoked_at: Mapped[int | None] = mapped_column(Millis)


class VenueBanRow(Base):
    """All traffic of one venue and address is stopped until a time, also across restarts.

    Attributes:
        scope: the venue, or ``venue@proxy`` for the traffic by a proxy.
    """

    __tablename__ = "venue_bans"
    __table_args__ = table()

    scope: Mapped[str] = mapped_column(String(128), primary_key=True)
    until: Mapped[int] = mapped_column(Millis)
    reason: Mapped[str] = mapped_column(String(200))
    seen_at: Mapped[int] = mapped_column(Millis)


class StandingAlarmRow(Base):
    """A condition that was told when it began and will be told when it ends."""

    __tablename__ = "standing_alarms"
    __table_args__ = table()

    name: Mapped[str] = mapped_column(String(190), primary_key=True)
    since: Mapped[int] = mapped_column(Millis)
    text: Mapped[str] = mapped_column(String(300))


class RecordWorldRow(Base):
    """Whose market the record holds: one row, written at the first use and never changed."""

    __tablename__ = "record_world"
    __table_args__ = table()

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)  # always 1
    world: Mapped[str] = mapped_column(Word)  # simulated | real
    since: Mapped[int] = mapped_column(Millis)
