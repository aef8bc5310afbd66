"""The words of an order: side, type, time in force, status; requests and responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from app.core.money import ZERO


class Side(StrEnum):
    """Direction of an order."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, −1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How an order asks to be filled."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"


class TimeInForce(StrEnum):
    """How long an order works at the venue."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class OrderStatus(StrEnum):
    """State of an order row; ``app.core.orders.state`` holds the allowed moves."""

    NEW = "new"
    SENDING = "sending"
    UNKNOWN = "unknown"
    ACKNOWLEDGED = "acknowledged"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a venue is asked to do; built from a committed order row and nothing else.

    Attributes:
        client_order_id: deterministic id, the same over all attempts of one intent.
        quantity: base units.
        timestamp_ms: the committed request timestamp; the venue refuses it when stale.
        recv_window_ms: how long after ``timestamp_ms`` the venue may accept the request.
    """

    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    client_order_id: str
    timestamp_ms: int
    recv_window_ms: int
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC


@dataclass(frozen=True, slots=True)
class VenueFill:
    """One trade of one order, as the venue reports it.

    Attributes:
        trade_id: the venue's id, unique per account and symbol.
        fee: amount charged, in ``fee_asset``; negative for a rebate.
        timestamp: the venue's (market) time of the trade.
    """

    trade_id: str
    venue_order_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    timestamp: int
    is_maker: bool


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What an order asked for, as the venue states it.

    Attributes:
        placed_at: the venue's (market) time of its arrival, ms.
        word: the venue's own name of the type, which may say more than ours.
    """

    side: Side
    type: OrderType
    time_in_force: TimeInForce
    price: Decimal | None
    stop_price: Decimal | None
    placed_at: int
    word: str


@dataclass(frozen=True, slots=True)
class OrderResponse:
    """What a venue says of one order.

    Attributes:
        status: the venue's state in Tidemark's words.
        filled_quantity: cumulative, in base units.
        fills: the trades the answer carried; it may carry fewer than ``filled_quantity``.
        terms: what was asked for; only the list of open orders states it.
    """

    client_order_id: str
    venue_order_id: str
    symbol: str
    status: OrderStatus
    quantity: Decimal
    filled_quantity: Decimal = ZERO
    fills: tuple[VenueFill, ...] = field(default=())
    terms: OrderTerms | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """One asset of one account at the venue.

    Attributes:
        free: available for new orders.
        locked: held by open orders.
    """

    asset: str
    free: Decimal
    locked: Decimal


@dataclass(frozen=True, slots=True)
class Position:
    """A holding of one instrument; ``quantity`` is signed, in base units."""

    symbol: str
    quantity: Decimal
    average_price: Decimal | None = None
