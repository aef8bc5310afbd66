"""Accounts, risk, orders and the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Json, Millis, Name, RowId, Uid, Word, table


class AccountRow(Base):
    """An account at a venue: simulated, paper or live. Its secrets are sealed."""

    __tablename__ = "accounts"
    __table_args__ = table(UniqueConstraint("name"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    kind: Mapped[str] = mapped_column(Word)  # simulated | paper | live
    exchange: Mapped[str] = mapped_column(Name)
    account_type: Mapped[str] = mapped_column(Word)  # spot | swap
    status: Mapped[str] = mapped_column(Word)  # opening | active | halted | disabled
    sealed_credentials: Mapped[str] = mapped_column(String(2000))
    # Market time of the venue up to which fills and open orders have been compared.
    synced_ts: Mapped[int] = mapped_column(Millis, default=0)
    # Highest venue trade id seen per symbol: where the next sweep of own trades starts.
    trade_cursor: Mapped[dict[str, str]] = mapped_column(Json)
    # Market time at which the opening balances were read: older trades are in them already.
    opened_ts: Mapped[int] = mapped_column(Millis, default=0)
    # New orders are sent only while ``reconciled_epoch`` has caught up with ``epoch``, which
    # grows whenever what we hold may no longer be what the venue holds.
    epoch: Mapped[int] = mapped_column(Integer, default=0)
    epoch_reason: Mapped[str | None] = mapped_column(String(300))
    reconciled_epoch: Mapped[int] = mapped_column(Integer, default=0)
    reconciled_at: Mapped[int] = mapped_column(Millis, default=0)
    # Comparisons (while ``opening``: openings) that failed in a row, why the last one did, and
    # when to try again.
    sync_failures: Mapped[int] = mapped_column(Integer, default=0)
    sync_error: Mapped[str | None] = mapped_column(String(300))
    sync_not_before: Mapped[int] = mapped_column(Millis, default=0)
    # Wall time at which this record was restored from a backup; 0 where it never was.
    restored_at: Mapped[int] = mapped_column(Millis, default=0)
    # Differences by asset that one comparison has seen and a second must confirm.
    suspects: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[int] = mapped_column(Millis)


class BalanceRow(Base):
    """One asset of one account. free + locked = the ledger's holdings of that asset."""

    __tablename__ = "balances"
    __table_args__ = table()

    account_id: Mapped[str] = mapped_column(Uid, ForeignKey("accounts.id"), primary_key=True)
    asset: Mapped[str] = mapped_column(Name, primary_key=True)
    free: Mapped[Decimal]
    locked: Mapped[Decimal]
    updated_at: Mapped[int] = mapped_column(Millis)


class RiskRuleRow(Base):
    """One limit. ``version`` grows with each change and is named by every decision."""

    __tablename__ = "risk_rules"
    __table_args__ = table(UniqueConstraint("kind", "scope"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    kind: Mapped[str] = mapped_column(Word)
    # global | account:<id> | instance:<id>
    scope: Mapped[str] = mapped_column(Name)
    params: Mapped[dict[str, Any]] = mapped_column(Json)
    enabled: Mapped[bool]
    version: Mapped[int] = mapped_column(Integer)
    updated_at: Mapped[int] = mapped_column(Millis)


class RiskDecisionRow(Base):
    """What the gate said of one intent, with all that it looked at."""

    __tablename__ = "risk_decisions"
    __table_args__ = table(UniqueConstraint("account_id", "intent_key"), Index(None, "created_at"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    account_id: Mapped[str] = mapped_column(Uid, ForeignKey("accounts.id"))
    instance_id: Mapped[str] = mapped_column(Uid, ForeignKey("strategy_instances.id"))
    signal_id: Mapped[str | None] = mapped_column(Uid, ForeignKey("signals.id"))
    intent_key: Mapped[str] = mapped_column(String(190))
    passed: Mapped[bool]
    rule: Mapped[str] = mapped_column(Word)
    reason: Mapped[str] = mapped_column(String(300))
    inputs: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[int] = mapped_column(Millis)


class TradingHaltRow(Base):
    """A stop of new orders. In force while ``lifted_at`` is NULL."""

    __tablename__ = "trading_halts"
    __table_args__ = table(Index(None, "lifted_at"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    # global | account:<id> | instance:<id> | symbol:<exchange>:<symbol>
    scope: Mapped[str] = mapped_column(String(190))
    reason: Mapped[str] = mapped_column(String(300))
    set_by: Mapped[str] = mapped_column(Name)
    created_at: Mapped[int] = mapped_column(Millis)
    lifted_by: Mapped[str | None] = mapped_column(Name)
    lifted_at: Mapped[int | None] = mapped_column(Millis)


class InstrumentLockRow(Base):
    """No new risk in one instrument of one account: venue and record differed there."""

    __tablename__ = "instrument_locks"
    __table_args__ = table(Index(None, "account_id", "cleared_at"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    account_id: Mapped[str] = mapped_column(Uid, ForeignKey("accounts.id"))
    symbol: Mapped[str] = mapped_column(Name)
    reason: Mapped[str] = mapped_column(String(300))
    # True where the venue's own trades explain the difference: the next comparison that agrees
    # lifts it. Any other waits for a person.
    explained: Mapped[bool]
    created_at: Mapped[int] = mapped_column(Millis)
    cleared_at: Mapped[int | None] = mapped_column(Millis)
    cleared_by: Mapped[str | None] = mapped_column(Name)


class AdjustmentRow(Base):
    """A difference to the venue that no trade explains, as it was posted to ``external``."""

    __tablename__ = "adjustments"
    __table_args__ = table(Index(None, "account_id", "at"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    account_id: Mapped[str] = mapped_column(Uid, ForeignKey("accounts.id"))
    asset: Mapped[str] = mapped_column(Name)
    amount: Mapped[Decimal]
    ours: Mapped[Decimal]
    theirs: Mapped[Decimal]
    reason: Mapped[str] = mapped_column(String(300))
    at: Mapped[int] = mapped_column(Millis)


class OrderRow(Base):
    """One order, whatever becomes of it. The request is built from this row alone."""

    __tablename__ = "orders"
    __table_args__ = table(
        UniqueConstraint("account_id", "intent_key"),
        UniqueConstraint("account_id", "client_order_id"),
        # Not unique: some venues number the orders of each symbol by themselves.
        Index(None, "account_id", "venue_order_id"),
        Index(None, "status", "not_before"),
        Index(None, "instance_id", "created_at"),
        Index(None, "account_id", "created_at"),
        Index(None, "account_id", "status"),
    )

    order_id: Mapped[str] = mapped_column(Uid, primary_key=True)
    account_id: Mapped[str] = mapped_column(Uid, ForeignKey("accounts.id"))
    instance_id: Mapped[str] = mapped_column(Uid, ForeignKey("strategy_instances.id"))
    signal_id: Mapped[str | None] = mapped_column(Uid, ForeignKey("signals.id"))
    decision_id: Mapped[str] = mapped_column(Uid, ForeignKey("risk_decisions.id"))
    intent_key: Mapped[str] = mapped_column(String(190))
    client_order_id: Mapped[str] = mapped_column(String(36))
    venue_order_id: Mapped[str | None] = mapped_column(Name)
    exchange: Mapped[str] = mapped_column(Name)
    symbol: Mapped[str] = mapped_column(Name)
    side: Mapped[str] = mapped_column(Word)
    type: Mapped[str] = mapped_column(Word)
    time_in_force: Mapped[str] = mapped_column(Word)
    quantity: Mapped[Decimal]
    price: Mapped[Decimal | None]
    stop_price: Mapped[Decimal | None]
    # The price the gate valued the order at; the measure of its slippage.
    reference_price: Mapped[Decimal]
    tag: Mapped[str] = mapped_column(Name)
    status: Mapped[str] = mapped_column(Word)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    owner: Mapped[str | None] = mapped_column(Name)
    request_ts: Mapped[int | None] = mapped_column(Millis)
    recv_window_ms: Mapped[int] = mapped_column(Integer)
    valid_until: Mapped[int] = mapped_column(Millis)
    not_before: Mapped[int] = mapped_column(Millis, default=0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    filled_quantity: Mapped[Decimal]
    average_price: Mapped[Decimal | None]
    reserved_asset: Mapped[str] = mapped_column(Name)
    reserved_initial: Mapped[Decimal]
    reserved_amount: Mapped[Decimal]
    reason: Mapped[str | None] = mapped_column(String(300))
    created_at: Mapped[int] = mapped_column(Millis)
    acknowledged_at: Mapped[int | None] = mapped_column(Millis)
    updated_at: Mapped[int] = mapped_column(Millis)


class OrderEventRow(Base):
    """One step of an order's life."""

    __tablename__ = "order_events"
    __table_args__ = table(
        UniqueConstraint("order_id", "seq"), Index(None, "instance_id", "told", "id")
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    order_id: Mapped[str] = mapped_column(Uid, ForeignKey("orders.order_id"))
    instance_id: Mapped[str] = mapped_column(Uid)
    seq: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(Word)
    from_status: Mapped[str | None] = mapped_column(Word)
    to_status: Mapped[str] = mapped_column(Word)
    data: Mapped[dict[str, Any]] = mapped_column(Json)
    # False until the strategy was told. A cursor over the ids would skip an event whose
    # transaction committed after that of a higher id.
    told: Mapped[bool]
    at: Mapped[int] = mapped_column(Millis)


class FillRow(Base):
    """One trade at the venue, applied once whatever the number of its reports."""

    __tablename__ = "fills"
    __table_args__ = table(
        UniqueConstraint("account_id", "symbol", "trade_id"),
        Index(None, "order_id"),
        Index(None, "instance_id", "ts"),
    )

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    account_id: Mapped[str] = mapped_column(Uid, ForeignKey("accounts.id"))
    instance_id: Mapped[str] = mapped_column(Uid, ForeignKey("strategy_instances.id"))
    order_id: Mapped[str] = mapped_column(Uid, ForeignKey("orders.order_id"))
    exchange: Mapped[str] = mapped_column(Name)
    symbol: Mapped[str] = mapped_column(Name)
    trade_id: Mapped[str] = mapped_column(Name)
    side: Mapped[str] = mapped_column(Word)
    price: Mapped[Decimal]
    quantity: Mapped[Decimal]
    fee: Mapped[Decimal]
    fee_asset: Mapped[str] = mapped_column(Name)
    is_maker: Mapped[bool]
    ts: Mapped[int] = mapped_column(Millis)
    created_at: Mapped[int] = mapped_column(Millis)


class PostingRow(Base):
    """One side of a double entry; the amounts of one transaction sum to 0 per asset."""

    __tablename__ = "postings"
    __table_args__ = table(
        Index(None, "txn_id"),
        Index(None, "account_id", "asset", "book"),
        Index(None, "account_id", "id"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    txn_id: Mapped[str] = mapped_column(Uid)
    account_id: Mapped[str] = mapped_column(Uid, ForeignKey("accounts.id"))
    instance_id: Mapped[str] = mapped_column(Uid, ForeignKey("strategy_instances.id"))
    book: Mapped[str] = mapped_column(Word)  # holdings | market | fees | transfers | adjustments
    asset: Mapped[str] = mapped_column(Name)
    amount: Mapped[Decimal]
    kind: Mapped[str] = mapped_column(Word)
    fill_id: Mapped[str | None] = mapped_column(Uid)
    at: Mapped[int] = mapped_column(Millis)


class PositionRow(Base):
    """Own holding of one instrument: fills minus fees paid in base."""

    __tablename__ = "positions"
    __table_args__ = table(Index(None, "instance_id"))

    account_id: Mapped[str] = mapped_column(Uid, ForeignKey("accounts.id"), primary_key=True)
    symbol: Mapped[str] = mapped_column(Name, primary_key=True)
    instance_id: Mapped[str] = mapped_column(
        Uid, ForeignKey("strategy_instances.id"), primary_key=True
    )
    quantity: Mapped[Decimal]
    average_price: Mapped[Decimal | None]
    realized_pnl: Mapped[Decimal]  # quote units, before fees
    fees: Mapped[Decimal]  # quote units; a fee in base at the price of its fill
    # Quote received minus quote paid, fees in quote included: own cash = capital + cash_flow.
    cash_flow: Mapped[Decimal]
    updated_at: Mapped[int] = mapped_column(Millis)


class EquitySnapshotRow(Base):
    """Worth of one instance at a market time, in the reporting currency."""

    __tablename__ = "equity_snapshots"
    __table_args__ = table(UniqueConstraint("instance_id", "ts"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    account_id: Mapped[str] = mapped_column(Uid, ForeignKey("accounts.id"))
    instance_id: Mapped[str] = mapped_column(Uid, ForeignKey("strategy_instances.id"))
    ts: Mapped[int] = mapped_column(Millis)
    currency: Mapped[str] = mapped_column(Name)
    equity: Mapped[Decimal | None]
    realized_pnl: Mapped[Decimal]
    unrealized_pnl: Mapped[Decimal | None]
    fees: Mapped[Decimal]
    incomplete: Mapped[bool]
