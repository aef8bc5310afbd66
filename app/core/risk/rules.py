"""The rules every order passes. A denial names its figures and what was asked."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from app.core.market.instruments import Instrument, InstrumentStatus
from app.core.market.rounding import is_multiple
from app.core.money import shown
from app.core.orders.types import Side
from app.core.portfolio.positions import exact_product
from app.core.risk.context import RiskCheckResult, RiskContext, RiskRule

PASS: Final = RiskCheckResult(True)


def deny(code: str, **figures: object) -> RiskCheckResult:
    """A refusal as ``CODE: k=v, k=v``."""
    text = ", ".join(
        f"{key}={shown(value) if isinstance(value, Decimal) else value}"
        for key, value in figures.items()
    )
    return RiskCheckResult(False, f"{code}: {text}" if text else code)


@dataclass(frozen=True, slots=True)
class HaltRule:
    """No new order while a halt is in force, or account or instance are not active."""

    name: str = "halt"

    def check(self, context: RiskContext) -> RiskCheckResult:
        """Deny under any halt."""
        if context.halts:
            return deny("TRADING_HALTED", scope=context.halts[0])
        if not context.account_ready:
            return deny("ACCOUNT_NOT_ACTIVE")
        if context.instance_status != "running":
            return deny("INSTANCE_NOT_RUNNING", status=context.instance_status)
        return PASS


@dataclass(frozen=True, slots=True)
class InstrumentLockRule:
    """No new risk where venue and record differed; what only gives back passes."""

    name: str = "instrument_lock"

    def check(self, context: RiskContext) -> RiskCheckResult:
        """Deny a buy, and a sell of more than is owned, in a locked instrument."""
        if context.locks and not context.reduces:
            return deny("INSTRUMENT_LOCKED", symbol=context.intent.symbol, why=context.locks[0])
        return PASS


@dataclass(frozen=True, slots=True)
class PriceRule:
    """Limits need a price: none, or a stale one, denies."""

    name: str = "reference_price"

    def check(self, context: RiskContext) -> RiskCheckResult:
        """Deny without a fresh, finite, positive price."""
        reference = context.reference
        if reference is None:
            return deny("PRICE_MISSING", symbol=context.intent.symbol)
        if not reference.price.is_finite() or reference.price <= 0:
            return deny("PRICE_INVALID", price=reference.price)
        if reference.is_stale:
            return deny("PRICE_STALE", age_ms=reference.age_ms)
        return PASS


@dataclass(frozen=True, slots=True)
class InstrumentRule:
    """The venue's own filters: status, step, tick, smallest and largest order."""

    name: str = "instrument"

    def check(self, context: RiskContext) -> RiskCheckResult:
        """Deny what the venue would refuse; nothing is rounded here."""
        instrument = context.instrument
        if instrument is None:
            return deny("INSTRUMENT_UNKNOWN", symbol=context.intent.symbol)
        if instrument.status is not InstrumentStatus.TRADING:
            return deny("INSTRUMENT_NOT_TRADING", status=instrument.status.value)
        for filtered in (_quantity, _prices, _notional):
            result = filtered(context, instrument)
            if not result.passed:
                return result
        return PASS


def _quantity(context: RiskContext, instrument: Instrument) -> RiskCheckResult:
    quantity = context.intent.quantity
    if quantity <= 0:
        return deny("QUANTITY_NOT_POSITIVE", quantity=quantity)
    if not is_multiple(quantity, instrument.step_size):
        return deny("QUANTITY_OFF_STEP", quantity=quantity, step=instrument.step_size)
    if quantity < instrument.min_quantity:
        return deny("QUANTITY_BELOW_MIN", quantity=quantity, min=instrument.min_quantity)
    if instrument.max_quantity is not None and quantity > instrument.max_quantity:
        return deny("QUANTITY_ABOVE_MAX", quantity=quantity, max=instrument.max_quantity)
    return PASS


def _prices(context: RiskContext, instrument: Instrument) -> RiskCheckResult:
    for price in (context.intent.limit_price, context.intent.stop_price):
        if price is not None and (price <= 0 or not is_multiple(price, instrument.tick_size)):
            return deny("PRICE_OFF_TICK", price=price, tick=instrument.tick_size)
    return PASS


def _notional(context: RiskContext, instrument: Instrument) -> RiskCheckResult:
    reference = context.reference
    price = context.intent.limit_price or (reference.price if reference else None)
    if price is None:
        return deny("PRICE_MISSING", symbol=context.intent.symbol)
    notional = exact_product(price, context.intent.quantity)
    if notional < instrument.min_notional:
        return deny("NOTIONAL_BELOW_MIN", notional=notional, min_notional=instrument.min_notional)
    return PASS


@dataclass(frozen=True, slots=True)
class MaxOrderValueRule:
    """No single order worth more than ``max_value`` quote units; pure reductions pass."""

    max_value: Decimal
    name: str = "max_order_value"

    def check(self, context: RiskContext) -> RiskCheckResult:
        """Deny an order that is too large."""
        value = context.order_value
        if context.reduces:
            return PASS
        if value is None:
            return deny("PRICE_MISSING", symbol=context.intent.symbol)
        if value > self.max_value:
            return deny("ORDER_VALUE_ABOVE_MAX", value=value, max_value=self.max_value)
        return PASS


@dataclass(frozen=True, slots=True)
class PositionLimitRule:
    """Own and account position in one instrument, open and UNKNOWN orders included.

    Attributes:
        max_value: quote worth of the position, at the dearer of limit and market price.
        whole_account: measure the account's position instead of the instance's.
    """

    max_value: Decimal
    whole_account: bool = False
    name: str = "position_limit"

    def check(self, context: RiskContext) -> RiskCheckResult:
        """Deny a buy that could carry the position above the limit."""
        if context.intent.side is Side.SELL:
            return PASS
        price = context.value_price
        if price is None:
            return deny("PRICE_MISSING", symbol=context.intent.symbol)
        book = context.account if self.whole_account else context.instance
        reach = book.position + book.open_buys + context.intent.quantity
        value = exact_product(price, reach)
        if value > self.max_value:
            return deny("POSITION_ABOVE_LIMIT", value=value, max_value=self.max_value)
        return PASS


@dataclass(frozen=True, slots=True)
class QuotaRule:
    """The instance's quota: worth of all its positions, and orders per market day."""

    name: str = "strategy_quota"

    def check(self, context: RiskContext) -> RiskCheckResult:
        """Deny beyond the quota; reductions count as orders and never as position."""
        quota = context.quota
        if quota.max_orders_per_day is not None and (
            quota.orders_today >= quota.max_orders_per_day
        ):
            return deny("ORDERS_PER_DAY_USED_UP", max_orders_per_day=quota.max_orders_per_day)
        if quota.max_position is None or context.intent.side is Side.SELL:
            return PASS
        value = context.order_value
        if value is None:
            return deny("PRICE_MISSING", symbol=context.intent.symbol)
        if quota.used_position + value > quota.max_position:
            return deny(
                "POSITION_QUOTA_USED_UP",
                used=quota.used_position,
                value=value,
                max_position=quota.max_position,
            )
        return PASS


@dataclass(frozen=True, slots=True)
class OwnershipRule:
    """Spot: an instance sells only what it owns and has not already offered."""

    name: str = "ownership"

    def check(self, context: RiskContext) -> RiskCheckResult:
        """Deny a sell beyond the own holding."""
        if context.intent.side is Side.BUY:
            return PASS
        if context.intent.quantity > context.instance.sellable:
            return deny(
                "SELL_ABOVE_OWN_POSITION",
                quantity=context.intent.quantity,
                sellable=context.instance.sellable,
            )
        return PASS


@dataclass(frozen=True, slots=True)
class FundsRule:
    """A buy needs free quote on the account, and cash of the instance's own capital."""

    name: str = "funds"

    def check(self, context: RiskContext) -> RiskCheckResult:
        """Deny a buy that is not paid for."""
        if context.intent.side is Side.SELL:
            return PASS
        needed, buffer = context.quote_needed, context.reserve_buffer
        if needed > context.quote_free:
            return deny(
                "BALANCE_TOO_LOW", needed=needed, reserve_buffer=buffer, free=context.quote_free
            )
        if context.own_cash is not None and needed > context.own_cash:
            return deny(
                "CAPITAL_USED_UP", needed=needed, reserve_buffer=buffer, own_cash=context.own_cash
            )
        return PASS


#: Rules that no setting can switch off, in the order they are asked.
STANDING_RULES: Final[tuple[RiskRule, ...]] = (
    HaltRule(),
    InstrumentLockRule(),
    PriceRule(),
    InstrumentRule(),
    OwnershipRule(),
    QuotaRule(),
    FundsRule(),
)
