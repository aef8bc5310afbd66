"""Strategies, instances, signals, backtests."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.core.money import canonical
from app.models import (
    BacktestRow,
    SignalRow,
    StrategyInstanceRow,
    StrategyQuotaRow,
    StrategyRow,
)
from app.schemas.common import (
    NAME_PATTERN,
    EntityName,
    Exchange,
    IntervalName,
    Model,
    Money,
    NotNegative,
    Positive,
    Symbol,
    Time,
    TimeInput,
    Uid,
    money,
    time_text,
)
from app.schemas.times import rfc3339

STRATEGY_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$"
StrategyName = Annotated[str, Field(pattern=STRATEGY_PATTERN, examples=["moving_average_cross"])]


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise PydanticCustomError("not-finite", "a number is too large") from None
    return value


Params = Annotated[dict[str, Any], AfterValidator(_finite), Field(max_length=100)]
Symbols = Annotated[list[Symbol], Field(min_length=1, max_length=50)]


class NewStrategy(Model):
    """A strategy file to register, or a new version of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "my_breakout",
                    "source": (
                        "from tidemark import BaseStrategy\n\n\nclass Breakout(BaseStrategy):\n"
                        '    """Buys new highs."""\n'
                    ),
                }
            ]
        }
    )

    name: StrategyName
    source: str = Field(min_length=1, description="the whole text of the file, at most 256 KiB")


class Strategy(Model):
    """A strategy that can be run."""

    id: Uid
    name: str
    origin: str = Field(description="builtin or file")
    title: str
    parameters: dict[str, Any] = Field(description="JSON schema, with defaults and bounds")
    created_at: Time

    @classmethod
    def of(cls, row: StrategyRow) -> Strategy:
        """The strategy of a row."""
        return cls(
            id=row.id,
            name=row.name,
            origin=row.origin,
            title=row.title,
            parameters=row.parameters,
            created_at=rfc3339(row.created_at),
        )


class NewInstance(Model):
    """A strategy to run on an account with its own capital."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "ma-btc",
                    "strategy": "moving_average_cross",
                    "account": "demo",
                    "symbols": ["BTC/USDT"],
                    "interval": "1m",
                    "capital": "5000",
                    "params": {"fast": 10, "slow": 30},
                    "max_position": "5000",
                    "max_orders_per_day": 200,
                }
            ]
        }
    )

    name: EntityName
    strategy: StrategyName
    account: str = Field(pattern=NAME_PATTERN, description="the account's id or its name")
    symbols: Symbols
    interval: IntervalName
    capital: Positive = Field(description="quote units")
    compounding: bool = False
    params: Params = Field(default_factory=dict)
    max_position: Positive | None = Field(None, description="worth of all positions; null: none")
    max_orders_per_day: Annotated[int, Field(ge=0, le=1_000_000)] | None = None


class Instance(Model):
    """A strategy on an account."""

    id: Uid
    name: str
    kind: str
    account_id: Uid
    strategy_version_id: Uid | None
    exchange: str
    symbols: list[str]
    interval: str
    params: dict[str, Any]
    capital: Money
    compounding: bool
    status: str = Field(description="created, running, stopped or failed")
    error: str | None
    run_id: Uid | None
    cursor_ts: int | None = Field(description="open of the last evaluated bar, ms")
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, row: StrategyInstanceRow) -> Instance:
        """The instance of a row."""
        return cls(
            id=row.id,
            name=row.name,
            kind=row.kind,
            account_id=row.account_id,
            strategy_version_id=row.version_id,
            exchange=row.exchange,
            symbols=row.symbols,
            interval=row.interval,
            params=row.params,
            capital=canonical(row.capital),
            compounding=row.compounding,
            status=row.status,
            error=row.error,
            run_id=row.run_id,
            cursor_ts=row.cursor_ts,
            created_at=rfc3339(row.created_at),
            updated_at=rfc3339(row.updated_at),
        )


class Quota(Model):
    """What an instance may use, and has used."""

    max_position: Money | None
    used_position: Money
    max_orders_per_day: int | None
    orders_today: int

    @classmethod
    def of(cls, row: StrategyQuotaRow) -> Quota:
        """The quota of a row."""
        return cls(
            max_position=money(row.max_position),
            used_position=canonical(row.used_position),
            max_orders_per_day=row.max_orders_per_day,
            orders_today=row.orders_today,
        )


class InstanceDetail(Instance):
    """An instance with its strategy and quota."""

    strategy: str | None
    quota: Quota | None


class Signal(Model):
    """An intent of an instance."""

    id: Uid
    instance_id: Uid
    symbol: str
    interval: str
    cause: str = Field(examples=["bar:1772323200000"])
    leg: int
    bar_ts: int = Field(description="open of the bar that caused it, ms")
    action: str
    side: str
    type: str
    quantity: Money
    limit_price: Money | None
    stop_price: Money | None
    time_in_force: str
    cancels: str | None
    tag: str
    valid_until: Time
    status: str = Field(description="new, accepted, denied, expired or done")
    created_at: Time

    @classmethod
    def of(cls, row: SignalRow) -> Signal:
        """The signal of a row."""
        return cls(
            id=row.id,
            instance_id=row.instance_id,
            symbol=row.symbol,
            interval=row.interval,
            cause=row.cause,
            leg=row.leg,
            bar_ts=row.bar_ts,
            action=row.action,
            side=row.side,
            type=row.type,
            quantity=canonical(row.quantity),
            limit_price=money(row.limit_price),
            stop_price=money(row.stop_price),
            time_in_force=row.time_in_force,
            cancels=row.cancels,
            tag=row.tag,
            valid_until=rfc3339(row.valid_until),
            status=row.status,
            created_at=rfc3339(row.created_at),
        )


class NewBacktest(Model):
    """A backtest to run. What is not given has the default that the report prints."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "strategy": "moving_average_cross",
                    "exchange": "binance",
                    "symbols": ["BTC/USDT"],
                    "interval": "1h",
                    "start": "2026-01-01T00:00:00Z",
                    "end": "2026-03-01T00:00:00Z",
                    "params": {"fast": 10, "slow": 30},
                    "cash": "10000",
                    "fee": "0.001",
                }
            ]
        }
    )

    strategy: StrategyName
    exchange: Exchange = "binance"
    symbols: Symbols
    interval: IntervalName
    start: TimeInput
    end: TimeInput
    params: Params = Field(default_factory=dict)
    cash: Positive = Decimal(10_000)
    fee: NotNegative = Field(Decimal("0.001"), description="part of each fill's value")
    compounding: bool = False
    engine: Literal["tidemark", "backtrader"] = "tidemark"


class Backtest(Model):
    """A backtest, without its result."""

    id: Uid
    job_id: Uid
    strategy: str
    strategy_version_id: Uid
    spec: dict[str, Any]
    status: str = Field(description="queued, running, succeeded, failed or cancelled")
    metrics: dict[str, Any] | None
    result_hash: str | None
    data_hash: str | None
    created_at: Time
    finished_at: Time | None

    @classmethod
    def of(cls, row: BacktestRow) -> Backtest:
        """The backtest of a row."""
        return cls(
            id=row.id,
            job_id=row.job_id,
            strategy=row.strategy,
            strategy_version_id=row.version_id,
            spec=row.spec,
            status=row.status,
            metrics=row.metrics,
            result_hash=row.result_hash,
            data_hash=row.data_hash,
            created_at=rfc3339(row.created_at),
            finished_at=time_text(row.finished_at),
        )


class BacktestDetail(Backtest):
    """A backtest with its result: trades, equity, assumptions."""

    result: dict[str, Any] | None
