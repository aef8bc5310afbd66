"""Accounts, balances, positions, fills, equity."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from app.core.money import canonical
from app.models import AccountRow, BalanceRow, EquitySnapshotRow, FillRow, InstrumentLockRow
from app.schemas.common import (
    EntityName,
    Exchange,
    Model,
    Money,
    Positive,
    Symbol,
    Time,
    Uid,
    money,
)
from app.schemas.times import rfc3339
from app.services.accounts import PositionView
from app.services.orders.trust import TrustState

_ASSETS_LIMIT = 50


class NewAccount(Model):
    """A simulated account to open."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "demo",
                    "kind": "simulated",
                    "exchange": "binance",
                    "balances": {"USDT": "10000"},
                }
            ]
        }
    )

    name: EntityName
    kind: Literal["simulated"] = Field("simulated", description="模拟盘: trades at the simulator")
    exchange: Exchange = "binance"
    balances: dict[str, Positive] = Field(
        description="free balances to begin with, by asset", min_length=1, max_length=_ASSETS_LIMIT
    )

    @field_validator("balances")
    @classmethod
    def _assets(cls, value: dict[str, Decimal]) -> dict[str, Decimal]:
        for asset in value:
            if not (asset.isascii() and asset.isalnum() and len(asset) <= 20):
                raise PydanticCustomError("asset", "an asset is written as in USDT")
        return value


class Account(Model):
    """An account; its keys are never shown."""

    id: Uid
    name: str
    kind: str
    exchange: str
    account_type: str
    status: str = Field(description="opening, active, halted or disabled")
    error: str | None = Field(
        description="why it could not be opened or compared at the last try; it is tried again"
    )
    synced_at: Time | None = Field(description="market time of the last comparison with the venue")
    created_at: Time

    @classmethod
    def of(cls, row: AccountRow) -> Account:
        """The account of a row."""
        return cls(
            id=row.id,
            name=row.name,
            kind=row.kind,
            exchange=row.exchange,
            account_type=row.account_type,
            status=row.status,
            error=row.sync_error,
            synced_at=rfc3339(row.synced_ts) if row.synced_ts else None,
            created_at=rfc3339(row.created_at),
        )


class Reconciliation(Model):
    """How an account stands with its venue. New orders are sent only while it is trusted."""

    account_id: Uid
    trusted: bool
    reason: str | None = Field(description="why it must be compared; null while it is trusted")
    error: str | None = Field(description="why the last comparison could not be made")
    reconciled_at: Time | None = Field(
        description="wall time of the last comparison that left nothing open"
    )

    @classmethod
    def of(cls, state: TrustState) -> Reconciliation:
        """The state as it is shown."""
        return cls(
            account_id=state.account_id,
            trusted=state.is_trusted,
            reason=state.reason,
            error=state.error,
            reconciled_at=rfc3339(state.reconciled_at) if state.reconciled_at else None,
        )


class InstrumentLock(Model):
    """No new risk in one instrument of an account: venue and record differed there."""

    id: Uid
    account_id: Uid
    symbol: str
    reason: str
    explained: bool = Field(description="the next comparison that agrees lifts it by itself")
    created_at: Time

    @classmethod
    def of(cls, row: InstrumentLockRow) -> InstrumentLock:
        """The lock of a row."""
        return cls(
            id=row.id,
            account_id=row.account_id,
            symbol=row.symbol,
            reason=row.reason,
            explained=row.explained,
            created_at=rfc3339(row.created_at),
        )


class Unlock(Model):
    """Locks to lift."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"symbol": "BTC/USDT"}]})

    symbol: Symbol | None = Field(None, description="only this symbol; all of them without it")


class Unlocked(Model):
    """How many locks were lifted."""

    lifted: int


class Balance(Model):
    """One asset of one account."""

    asset: str
    free: Money
    locked: Money
    total: Money
    updated_at: Time | None

    @classmethod
    def of(cls, row: BalanceRow) -> Balance:
        """The balance of a row."""
        return cls(
            asset=row.asset,
            free=canonical(row.free),
            locked=canonical(row.locked),
            total=canonical(row.free + row.locked),
            updated_at=rfc3339(row.updated_at) if row.updated_at else None,
        )


class Position(Model):
    """What one instance holds of one symbol. PnL is in quote units."""

    account_id: Uid
    instance_id: Uid
    instance: str
    symbol: str
    quantity: Money
    average_price: Money | None
    price: Money | None = Field(description="null where no price is known")
    unrealized_pnl: Money | None
    realized_pnl: Money = Field(description="before fees")
    fees: Money
    updated_at: Time

    @classmethod
    def of(cls, view: PositionView) -> Position:
        """The position of a view."""
        row = view.row
        return cls(
            account_id=row.account_id,
            instance_id=row.instance_id,
            instance=view.instance.name,
            symbol=row.symbol,
            quantity=canonical(row.quantity),
            average_price=money(row.average_price),
            price=money(view.price),
            unrealized_pnl=money(view.unrealized_pnl),
            realized_pnl=canonical(row.realized_pnl),
            fees=canonical(row.fees),
            updated_at=rfc3339(row.updated_at),
        )


class Fill(Model):
    """One trade at the venue."""

    id: Uid
    account_id: Uid
    instance_id: Uid
    order_id: Uid
    exchange: str
    symbol: str
    trade_id: str
    side: str
    price: Money
    quantity: Money
    fee: Money
    fee_asset: str
    is_maker: bool
    at: Time = Field(description="the venue's time of the trade")

    @classmethod
    def of(cls, row: FillRow) -> Fill:
        """The fill of a row."""
        return cls(
            id=row.id,
            account_id=row.account_id,
            instance_id=row.instance_id,
            order_id=row.order_id,
            exchange=row.exchange,
            symbol=row.symbol,
            trade_id=row.trade_id,
            side=row.side,
            price=canonical(row.price),
            quantity=canonical(row.quantity),
            fee=canonical(row.fee),
            fee_asset=row.fee_asset,
            is_maker=row.is_maker,
            at=rfc3339(row.ts),
        )


class EquityPoint(Model):
    """Worth of an instance at one market time."""

    at: Time
    currency: str
    equity: Money | None = Field(description="null where a price was missing")
    realized_pnl: Money
    unrealized_pnl: Money | None
    fees: Money
    incomplete: bool

    @classmethod
    def of(cls, row: EquitySnapshotRow) -> EquityPoint:
        """The point of a row."""
        return cls(
            at=rfc3339(row.ts),
            currency=row.currency,
            equity=money(row.equity),
            realized_pnl=canonical(row.realized_pnl),
            unrealized_pnl=money(row.unrealized_pnl),
            fees=canonical(row.fees),
            incomplete=row.incomplete,
        )
