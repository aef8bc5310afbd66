"""Orders by hand, orders and their events."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.core.money import canonical
from app.core.orders.reservation import held_buffer
from app.core.orders.types import OrderType, Side
from app.models import OrderEventRow, OrderRow
from app.schemas.common import (
    EXAMPLE_ID,
    NAME_PATTERN,
    Model,
    Money,
    Positive,
    Symbol,
    Time,
    Uid,
    money,
    time_text,
)
from app.schemas.times import rfc3339

#: Of the header against doubled orders.
KEY_PATTERN: Final = r"^[A-Za-z0-9_.:-]{1,128}$"
TAG_PATTERN: Final = r"^[A-Za-z0-9._ -]*$"


class NewOrder(Model):
    """An order by hand; it passes the same risk gate as every strategy's."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "account": "demo",
                    "symbol": "BTC/USDT",
                    "side": "buy",
                    "type": "limit",
                    "quantity": "0.015",
                    "limit_price": "64000",
                },
                {
                    "account": EXAMPLE_ID,
                    "symbol": "BTC/USDT",
                    "side": "sell",
                    "type": "market",
                    "quantity": "0.015",
                },
            ]
        }
    )

    account: str = Field(pattern=NAME_PATTERN, description="the account's id or its name")
    symbol: Symbol
    side: Literal["buy", "sell"]
    type: Literal["market", "limit"]
    quantity: Positive = Field(description="base units, a multiple of the instrument's step")
    limit_price: Positive | None = Field(None, description="for a limit order, and only there")
    time_in_force: Literal["gtc", "ioc", "fok"] = "gtc"
    tag: str = Field("", max_length=64, pattern=TAG_PATTERN)

    @model_validator(mode="after")
    def _price_fits_type(self) -> NewOrder:
        if (self.type == "limit") != (self.limit_price is not None):
            raise PydanticCustomError(
                "limit-price", "a limit order needs a limit_price, and a market order takes none"
            )
        return self


class OrderReceipt(Model):
    """An order that passed the gate, as it was accepted. How it goes on is at its `Location`."""

    order_id: Uid
    client_order_id: str
    account_id: Uid
    instance_id: Uid
    decision_id: Uid
    exchange: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    quantity: Money
    limit_price: Money | None
    reference_price: Money = Field(description="the price the gate valued it at")
    reserved_asset: str
    reserved_initial: Money = Field(description="what it held back from the free balance at first")
    reserve_buffer: Money = Field(
        description="part of a buy's value that was held on top of it, against fees and slippage"
    )
    tag: str
    created_at: Time

    @classmethod
    def of(cls, row: OrderRow) -> OrderReceipt:
        """The receipt of a row: only what never changes, so that a replay is the same."""
        return cls(
            order_id=row.order_id,
            client_order_id=row.client_order_id,
            account_id=row.account_id,
            instance_id=row.instance_id,
            decision_id=row.decision_id,
            exchange=row.exchange,
            symbol=row.symbol,
            side=row.side,
            type=row.type,
            time_in_force=row.time_in_force,
            quantity=canonical(row.quantity),
            limit_price=money(row.price),
            reference_price=canonical(row.reference_price),
            reserved_asset=row.reserved_asset,
            reserved_initial=canonical(row.reserved_initial),
            reserve_buffer=canonical(_buffer(row)),
            tag=row.tag,
            created_at=rfc3339(row.created_at),
        )


class Order(OrderReceipt):
    """An order as it is now."""

    signal_id: Uid | None
    venue_order_id: str | None
    stop_price: Money | None
    status: str = Field(description="`unknown` is a state: the venue is asked until it is settled")
    reason: str | None
    attempt: int
    cancel_requested: bool
    filled_quantity: Money
    average_price: Money | None
    reserved_amount: Money = Field(description="what it still holds back")
    valid_until: Time = Field(
        description="market time until which it may be sent; once at the venue it stays there as "
        "time_in_force says"
    )
    acknowledged_at: Time | None
    updated_at: Time

    @classmethod
    def of(cls, row: OrderRow) -> Order:
        """The order of a row."""
        return cls(
            **OrderReceipt.of(row).model_dump(),
            signal_id=row.signal_id,
            venue_order_id=row.venue_order_id,
            stop_price=money(row.stop_price),
            status=row.status,
            reason=row.reason,
            attempt=row.attempt,
            cancel_requested=row.cancel_requested,
            filled_quantity=canonical(row.filled_quantity),
            average_price=money(row.average_price),
            reserved_amount=canonical(row.reserved_amount),
            valid_until=rfc3339(row.valid_until),
            acknowledged_at=time_text(row.acknowledged_at),
            updated_at=rfc3339(row.updated_at),
        )


def _buffer(row: OrderRow) -> Decimal:
    return held_buffer(
        Side(row.side),
        OrderType(row.type),
        row.quantity,
        row.price,
        row.reference_price,
        row.reserved_initial,
    )


class OrderEvent(Model):
    """One step of an order's life."""

    seq: int
    kind: str
    from_status: str | None
    to_status: str
    data: dict[str, Any]
    at: Time

    @classmethod
    def of(cls, row: OrderEventRow) -> OrderEvent:
        """The event of a row."""
        return cls(
            seq=row.seq,
            kind=row.kind,
            from_status=row.from_status,
            to_status=row.to_status,
            data=row.data,
            at=rfc3339(row.at),
        )


class OrderWithEvents(Order):
    """An order and its whole life."""

    events: list[OrderEvent]
