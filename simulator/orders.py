"""Orders and fills as the simulated venue keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from app.core.errors import Conflict, InvalidInput
from app.core.money import ZERO
from app.core.orders.types import Side, TimeInForce


class Kind(StrEnum):
    """What the venue was asked for."""

    MARKET = "market"
    LIMIT = "limit"
    LIMIT_MAKER = "limit_maker"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT = "take_profit"


class State(StrEnum):
    """Life of an order at the venue."""

    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_open(self) -> bool:
        """Whether the order still works."""
        return self in (State.NEW, State.PARTIALLY_FILLED)


class Refusal(StrEnum):
    """Why the exchange (not a filter of the dialect) refuses an order."""

    DUPLICATE = "duplicate client order id"
    FUNDS = "insufficient funds"
    TOO_SMALL = "less than one step"
    CLOSED = "market closed"
    WOULD_TAKE = "would immediately match"
    WOULD_TRIGGER = "would trigger immediately"


class OrderRefused(Conflict):
    """The exchange refuses an order; ``reason`` says why."""

    code = "order-refused"

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Fill(NamedTuple):
    """One trade of one order; ``time`` is market ms."""

    trade_id: int
    price: Decimal
    quantity: Decimal
    cost: Decimal
    fee: Decimal
    fee_asset: str
    is_maker: bool
    time: int


class Change(NamedTuple):
    """One state of an order and when it was reached."""

    state: State
    market_ms: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class OrderTicket:
    """A request for an order that passed the dialect's filters.

    Attributes:
        quantity: base units; None if the order asks for an amount of quote.
        quote_quantity: quote units to spend or receive, for MARKET only.
    """

    symbol: str
    side: Side
    kind: Kind
    client_id: str
    quantity: Decimal | None
    quote_quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC


@dataclass(slots=True)
class Order:
    """An order, all its states and its fills.

    Attributes:
        held: amount of ``held_asset`` that is locked for it now.
        visible_from: wall ms from which queries see it.
    """

    id: int
    account: str
    ticket: OrderTicket
    quantity: Decimal
    created: int
    updated: int
    state: State = State.NEW
    client_id: str = ""
    executed: Decimal = ZERO
    cost: Decimal = ZERO
    held: Decimal = ZERO
    held_asset: str = ""
    triggered: bool = False
    visible_from: int = 0
    fills: list[Fill] = field(default_factory=list)
    history: list[Change] = field(default_factory=list)

    @property
    def remaining(self) -> Decimal:
        """Base units not yet filled."""
        return self.quantity - self.executed

    @property
    def is_working(self) -> bool:
        """Whether it is in the market's book, and not waiting for its stop price."""
        return self.triggered or self.ticket.stop_price is None or self.executed > 0

    def to_json(self) -> dict[str, Any]:
        """Everything about the order, amounts as text; ``from_json`` reads it back."""
        ticket = self.ticket
        return {
            "order_id": self.id,
            "account": self.account,
            "client_order_id": self.client_id,
            "symbol": ticket.symbol,
            "side": ticket.side.value,
            "type": ticket.kind.value,
            "time_in_force": ticket.time_in_force.value,
            "quantity": str(self.quantity),
            "quote_quantity": _text(ticket.quote_quantity),
            "price": _text(ticket.price),
            "stop_price": _text(ticket.stop_price),
            "status": self.state.value,
            "executed": str(self.executed),
            "cost": str(self.cost),
            "held": str(self.held),
            "held_asset": self.held_asset,
            "triggered": self.triggered,
            "visible_from_ms": self.visible_from,
            "created_ms": self.created,
            "updated_ms": self.updated,
            "states": [
                {"status": c.state.value, "market_ms": c.market_ms, "wall_ms": c.wall_ms}
                for c in self.history
            ],
            "fills": [_fill_json(fill) for fill in self.fills],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Order:
        """The order that ``to_json`` wrote.

        Raises:
            KeyError, ValueError: the data is not such an order.
        """
        ticket = OrderTicket(
            symbol=data["symbol"],
            side=Side(data["side"]),
            kind=Kind(data["type"]),
            client_id=data["client_order_id"],
            quantity=Decimal(data["quantity"]),
            quote_quantity=_amount(data["quote_quantity"]),
            price=_amount(data["price"]),
            stop_price=_amount(data["stop_price"]),
            time_in_force=TimeInForce(data["time_in_force"]),
        )
        return cls(
            id=data["order_id"],
            account=data["account"],
            ticket=ticket,
            quantity=Decimal(data["quantity"]),
            created=data["created_ms"],
            updated=data["updated_ms"],
            state=State(data["status"]),
            client_id=data["client_order_id"],
            executed=Decimal(data["executed"]),
            cost=Decimal(data["cost"]),
            held=Decimal(data["held"]),
            held_asset=data["held_asset"],
            triggered=data["triggered"],
            visible_from=data["visible_from_ms"],
            fills=[_fill(item) for item in data["fills"]],
            history=[
                Change(State(c["status"]), c["market_ms"], c["wall_ms"]) for c in data["states"]
            ],
        )


def needed(value: Decimal | None) -> Decimal:
    """A price or an amount that an order of its kind has.

    Raises:
        InvalidInput: it has none: the dialect let it pass.
    """
    if value is None:
        raise InvalidInput("an order reached the exchange without its price or amount")
    return value


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _fill_json(fill: Fill) -> dict[str, Any]:
    return {
        "trade_id": fill.trade_id,
        "price": str(fill.price),
        "quantity": str(fill.quantity),
        "cost": str(fill.cost),
        "fee": str(fill.fee),
        "fee_asset": fill.fee_asset,
        "is_maker": fill.is_maker,
        "market_ms": fill.time,
    }


def _fill(data: dict[str, Any]) -> Fill:
    return Fill(
        trade_id=data["trade_id"],
        price=Decimal(data["price"]),
        quantity=Decimal(data["quantity"]),
        cost=Decimal(data["cost"]),
        fee=Decimal(data["fee"]),
        fee_asset=data["fee_asset"],
        is_maker=data["is_maker"],
        time=data["market_ms"],
    )
