"""What a risk rule may look at, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from app.core.market.instruments import Instrument
from app.core.money import ZERO, shown
from app.core.orders.reservation import reserve_buffer
from app.core.orders.types import OrderType, Side
from app.core.portfolio.positions import exact_product


@dataclass(frozen=True, slots=True)
class Intent:
    """An order that asks to pass the gate. Quantities are base units."""

    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None


@dataclass(frozen=True, slots=True)
class ReferencePrice:
    """The market price that an intent is valued at.

    Attributes:
        price: quote units per base unit.
        age_ms: age by the venue's market time; None where it is not known.
        is_stale: the price is a fall-back (last close) or older than the limit.
    """

    price: Decimal
    age_ms: int | None
    is_stale: bool


@dataclass(frozen=True, slots=True)
class OwnBook:
    """What the instance, or the whole account, holds and has under way in the symbol.

    Open quantities count every order that is not final: NEW, SENDING and UNKNOWN too.
    """

    position: Decimal = ZERO
    open_buys: Decimal = ZERO
    open_sells: Decimal = ZERO

    @property
    def sellable(self) -> Decimal:
        """What is owned and not already offered."""
        return self.position - self.open_sells


@dataclass(frozen=True, slots=True)
class Quota:
    """An instance's quota and its use, the intent not yet counted. Values are quote units."""

    max_position: Decimal | None
    used_position: Decimal
    max_orders_per_day: int | None
    orders_today: int


@dataclass(frozen=True, slots=True)
class RiskContext:
    """Everything a decision rests on; it is written down with the decision.

    Attributes:
        instrument: None where the symbol is not in the catalogue.
        reference: None where no price is known.
        instance: the instance's own book in the symbol.
        account: the sum over all instances.
        quote_needed: what the intent would reserve in quote units; 0 for a sell.
        quote_free: free quote balance of the account.
        own_cash: capital + own cash flow − own reservations; None where the instance has no
            capital of its own (manual orders).
        halts: scopes of the halts in force that concern the intent.
        account_ready: the account is active.
        locks: reasons of the locks on the instrument of this account.
        instance_status: ``running``, or why the instance may send nothing new.
    """

    intent: Intent
    instrument: Instrument | None
    reference: ReferencePrice | None
    instance: OwnBook
    account: OwnBook
    quota: Quota
    quote_needed: Decimal
    quote_free: Decimal
    own_cash: Decimal | None
    account_ready: bool
    halts: tuple[str, ...] = ()
    instance_status: str = "running"
    locks: tuple[str, ...] = ()

    @property
    def value_price(self) -> Decimal | None:
        """The price that limits are measured at: the dearer of limit and market for a buy."""
        if self.reference is None:
            return None
        limit = self.intent.limit_price or self.intent.stop_price
        if limit is None or self.intent.side is Side.SELL:
            return self.reference.price
        return max(limit, self.reference.price)

    @property
    def order_value(self) -> Decimal | None:
        """Quote worth of the intent, or None where no price is known."""
        price = self.value_price
        return None if price is None else exact_product(price, self.intent.quantity)

    @property
    def reserve_buffer(self) -> Decimal:
        """Part of a buy's value that ``quote_needed`` holds on top of it."""
        intent = self.intent
        return reserve_buffer(intent.side, intent.type, intent.limit_price)

    @property
    def reduces(self) -> bool:
        """Whether the intent only gives back what the instance owns."""
        return self.intent.side is Side.SELL and self.intent.quantity <= self.instance.sellable

    def as_inputs(self) -> dict[str, Any]:
        """The context as JSON, for the decision row; amounts are text."""
        return {
            "symbol": self.intent.symbol,
            "side": self.intent.side.value,
            "type": self.intent.type.value,
            "quantity": shown(self.intent.quantity),
            "limit_price": shown(self.intent.limit_price),
            "stop_price": shown(self.intent.stop_price),
            "reference_price": shown(self.reference.price if self.reference else None),
            "reference_age_ms": self.reference.age_ms if self.reference else None,
            "order_value": shown(self.order_value),
            "instance_position": shown(self.instance.position),
            "instance_open_buys": shown(self.instance.open_buys),
            "instance_open_sells": shown(self.instance.open_sells),
            "account_position": shown(self.account.position),
            "account_open_buys": shown(self.account.open_buys),
            "account_open_sells": shown(self.account.open_sells),
            "quote_needed": shown(self.quote_needed),
            "reserve_buffer": shown(self.reserve_buffer),
            "quote_free": shown(self.quote_free),
            "own_cash": shown(self.own_cash),
            "max_position": shown(self.quota.max_position),
            "used_position": shown(self.quota.used_position),
            "max_orders_per_day": self.quota.max_orders_per_day,
            "orders_today": self.quota.orders_today,
            "halts": list(self.halts),
            "locks": list(self.locks),
        }


@dataclass(frozen=True, slots=True)
class RiskCheckResult:
    """A rule's answer. ``reason`` is a machine code with figures: ``CODE: k=v, k=v``."""

    passed: bool
    reason: str = ""


class RiskRule(Protocol):
    """One limit. A rule has no effects and knows no clock."""

    @property
    def name(self) -> str:
        """Stable id, shown with each denial."""
        ...

    def check(self, context: RiskContext) -> RiskCheckResult:
        """Whether the intent passes this rule."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says of one intent.

    Attributes:
        failure: what a rule raised, which is a denial; None where every rule answered.
    """

    passed: bool
    rule: str
    reason: str
    checked: tuple[str, ...] = field(default=())
    failure: Exception | None = None
