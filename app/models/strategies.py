"""Strategies, their versions, instances, quotas, signals and backtests."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Json, LongText, Millis, Name, Uid, Word, table


class StrategyRow(Base):
    """A strategy class by its name: built in, or a user's file."""

    __tablename__ = "strategies"
    __table_args__ = table(UniqueConstraint("name"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    origin: Mapped[str] = mapped_column(Word)  # builtin | file
    title: Mapped[str] = mapped_column(String(200))
    parameters: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[int] = mapped_column(Millis)


class StrategyVersionRow(Base):
    """The exact source that ran; instances, signals and backtests refer to it."""

    __tablename__ = "strategy_versions"
    __table_args__ = table(UniqueConstraint("strategy_id", "sha256", "app_version"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    strategy_id: Mapped[str] = mapped_column(Uid, ForeignKey("strategies.id"))
    sha256: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(LongText)
    listens: Mapped[bool] = mapped_column(default=True)  # to order events, not to bars alone
    app_version: Mapped[str] = mapped_column(Word)
    talib_version: Mapped[str] = mapped_column(Word)
    created_at: Mapped[int] = mapped_column(Millis)


class StrategyInstanceRow(Base):
    """A strategy that trades on one account with its own capital, cursor and state."""

    __tablename__ = "strategy_instances"
    __table_args__ = table(UniqueConstraint("account_id", "name"), Index(None, "status"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    kind: Mapped[str] = mapped_column(Word)  # strategy | manual | external
    account_id: Mapped[str] = mapped_column(Uid, ForeignKey("accounts.id"))
    version_id: Mapped[str | None] = mapped_column(Uid, ForeignKey("strategy_versions.id"))
    exchange: Mapped[str] = mapped_column(Name)
    symbols: Mapped[list[str]] = mapped_column(Json)
    interval: Mapped[str] = mapped_column(String(8))
    params: Mapped[dict[str, Any]] = mapped_column(Json)
    capital: Mapped[Decimal]
    compounding: Mapped[bool]
    listens: Mapped[bool] = mapped_column(default=True)  # its version's
    status: Mapped[str] = mapped_column(Word)  # created | running | stopped | failed
    error: Mapped[str | None] = mapped_column(String(500))
    run_id: Mapped[str | None] = mapped_column(Uid)
    anchor_ts: Mapped[int | None] = mapped_column(Millis)
    cursor_ts: Mapped[int | None] = mapped_column(Millis)
    state: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[int] = mapped_column(Millis)
    updated_at: Mapped[int] = mapped_column(Millis)


class StrategyQuotaRow(Base):
    """What one instance may use. ``max_position`` and ``used_position`` are quote units."""

    __tablename__ = "strategy_quotas"
    __table_args__ = table()

    instance_id: Mapped[str] = mapped_column(
        Uid, ForeignKey("strategy_instances.id"), primary_key=True
    )
    max_position: Mapped[Decimal | None]
    used_position: Mapped[Decimal]
    max_orders_per_day: Mapped[int | None] = mapped_column(Integer)
    orders_today: Mapped[int] = mapped_column(Integer, default=0)
    day: Mapped[int] = mapped_column(Millis, default=0)


class SignalRow(Base):
    """An intent of an instance, unique by (instance, symbol, interval, cause, leg)."""

    __tablename__ = "signals"
    __table_args__ = table(
        UniqueConstraint("instance_id", "symbol", "interval", "cause", "leg"),
        Index(None, "status", "created_at"),
        Index(None, "instance_id", "created_at"),
    )

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    instance_id: Mapped[str] = mapped_column(Uid, ForeignKey("strategy_instances.id"))
    version_id: Mapped[str | None] = mapped_column(Uid, ForeignKey("strategy_versions.id"))
    symbol: Mapped[str] = mapped_column(Name)
    interval: Mapped[str] = mapped_column(String(8))
    cause: Mapped[str] = mapped_column(Name)
    leg: Mapped[int] = mapped_column(Integer)
    bar_ts: Mapped[int] = mapped_column(Millis)
    action: Mapped[str] = mapped_column(Word)
    side: Mapped[str] = mapped_column(Word)
    type: Mapped[str] = mapped_column(Word)
    quantity: Mapped[Decimal]
    limit_price: Mapped[Decimal | None]
    stop_price: Mapped[Decimal | None]
    time_in_force: Mapped[str] = mapped_column(Word)
    cancels: Mapped[str | None] = mapped_column(String(190))
    extras: Mapped[dict[str, Any]] = mapped_column(Json)  # oco group, stop loss, take profit
    tag: Mapped[str] = mapped_column(Name)
    valid_until: Mapped[int] = mapped_column(Millis)
    status: Mapped[str] = mapped_column(Word)  # new | accepted | denied | expired | done
    created_at: Mapped[int] = mapped_column(Millis)


class BacktestRow(Base):
    """One backtest with everything needed to read it after code and data have changed."""

    __tablename__ = "backtests"
    __table_args__ = table(Index(None, "created_at"), UniqueConstraint("job_id"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    job_id: Mapped[str] = mapped_column(Uid, ForeignKey("jobs.id"))
    version_id: Mapped[str] = mapped_column(Uid, ForeignKey("strategy_versions.id"))
    strategy: Mapped[str] = mapped_column(Name)
    spec: Mapped[dict[str, Any]] = mapped_column(Json)
    status: Mapped[str] = mapped_column(Word)
    metrics: Mapped[dict[str, Any] | None] = mapped_column(Json)
    result: Mapped[dict[str, Any] | None] = mapped_column(Json)
    result_hash: Mapped[str | None] = mapped_column(String(64))
    data_hash: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(Millis)
    finished_at: Mapped[int | None] = mapped_column(Millis)
