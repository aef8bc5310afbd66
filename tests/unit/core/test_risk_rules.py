"""The risk gate: what passes, what is refused, and with which figures."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from app.core.errors import InvalidInput
from app.core.market.instruments import InstrumentStatus
from app.core.orders.types import OrderType, Side
from app.core.risk import rules
from app.core.risk.context import (
    Intent,
    OwnBook,
    Quota,
    ReferencePrice,
    RiskCheckResult,
    RiskContext,
)
from app.core.risk.gate import canonical_params, limit_rule, pre_trade_check
from app.core.risk.rules import MaxOrderValueRule, PositionLimitRule
from app.core.risk.words import denial_words
from tests.support.catalogue import instrument

D = Decimal
BUY = Intent("BTC/USDT", Side.BUY, OrderType.MARKET, D("0.1"), None, None)
SELL = replace(BUY, side=Side.SELL)
#: 0.1 BTC at 50,000 with everything in order.
CALM = RiskContext(
    intent=BUY,
    instrument=instrument(),
    reference=ReferencePrice(D(50_000), 0, False),
    instance=OwnBook(),
    account=OwnBook(),
    quota=Quota(None, D(0), None, 0),
    quote_needed=D(5_050),
    quote_free=D(10_000),
    own_cash=D(10_000),
    account_ready=True,
)


def test_an_order_in_order_passes_every_rule() -> None:
    decision = pre_trade_check(CALM, [MaxOrderValueRule(D(6_000))])
    assert decision.passed
    assert decision.checked == (
        "halt",
        "instrument_lock",
        "reference_price",
        "instrument",
        "ownership",
        "strategy_quota",
        "funds",
        "max_order_value",
    )


@pytest.mark.parametrize(
    ("change", "rule", "reason"),
    [
        ({"halts": ("global",)}, "halt", "TRADING_HALTED: scope=global"),
        ({"account_ready": False}, "halt", "ACCOUNT_NOT_ACTIVE"),
        ({"reference": None}, "reference_price", "PRICE_MISSING: symbol=BTC/USDT"),
        (
            {"reference": ReferencePrice(D(50_000), 20_000, True)},
            "reference_price",
            "PRICE_STALE: age_ms=20000",
        ),
        ({"reference": ReferencePrice(D("NaN"), 0, False)}, "reference_price", "PRICE_INVALID"),
        ({"reference": ReferencePrice(D(0), 0, False)}, "reference_price", "PRICE_INVALID"),
        ({"instrument": None}, "instrument", "INSTRUMENT_UNKNOWN"),
        (
            {"instrument": replace(instrument(), status=InstrumentStatus.HALTED)},
            "instrument",
            "INSTRUMENT_NOT_TRADING: status=halted",
        ),
        ({"intent": replace(BUY, quantity=D("0.000001"))}, "instrument", "QUANTITY_OFF_STEP"),
        ({"intent": replace(BUY, quantity=D(0))}, "instrument", "QUANTITY_NOT_POSITIVE"),
        ({"intent": replace(BUY, quantity=D("0.00005"))}, "instrument", "NOTIONAL_BELOW_MIN"),
        (
            {"instrument": replace(instrument(), max_quantity=D("0.01"))},
            "instrument",
            "QUANTITY_ABOVE_MAX",
        ),
        (
            {"instrument": replace(instrument(), min_quantity=D(1))},
            "instrument",
            "QUANTITY_BELOW_MIN",
        ),
        (
            {"intent": replace(BUY, type=OrderType.LIMIT, limit_price=D("50000.001"))},
            "instrument",
            "PRICE_OFF_TICK",
        ),
        ({"intent": SELL}, "ownership", "SELL_ABOVE_OWN_POSITION: quantity=0.1, sellable=0"),
        (
            {"intent": SELL, "instance": OwnBook(D("0.15"), D(0), D("0.1"))},
            "ownership",
            "SELL_ABOVE_OWN_POSITION: quantity=0.1, sellable=0.05",
        ),
        ({"quota": Quota(None, D(0), 3, 3)}, "strategy_quota", "ORDERS_PER_DAY_USED_UP"),
        (
            {"quota": Quota(D(7_000), D(3_000), None, 0)},
            "strategy_quota",
            "POSITION_QUOTA_USED_UP: used=3000, value=5000, max_position=7000",
        ),
        (
            {"quote_free": D(5_000)},
            "funds",
            "BALANCE_TOO_LOW: needed=5050, reserve_buffer=0.01, free=5000",
        ),
        (
            {"own_cash": D(5_000)},
            "funds",
            "CAPITAL_USED_UP: needed=5050, reserve_buffer=0.01, own_cash=5000",
        ),
    ],
)
def test_refusals_name_their_figures(change: dict[str, object], rule: str, reason: str) -> None:
    decision = pre_trade_check(replace(CALM, **change), [])  # type: ignore[arg-type]
    assert (decision.passed, decision.rule) == (False, rule)
    assert decision.reason.startswith(reason)


def test_open_and_unknown_orders_count_towards_the_position_limit() -> None:
    """0.1 held, 0.05 under way: another 0.1 at 50,000 reaches 12,500."""
    busy = replace(CALM, instance=OwnBook(D("0.1"), D("0.05"), D(0)))
    assert PositionLimitRule(D(12_500)).check(busy).passed
    refused = PositionLimitRule(D(12_499)).check(busy)
    assert refused.reason == "POSITION_ABOVE_LIMIT: value=12500, max_value=12499"
    # Selling never makes a spot position larger.
    assert PositionLimitRule(D(1)).check(replace(busy, intent=SELL)).passed


def test_a_limit_of_the_account_counts_all_instances() -> None:
    shared = replace(CALM, account=OwnBook(D(1), D(0), D(0)))
    assert PositionLimitRule(D(10_000)).check(shared).passed
    assert not PositionLimitRule(D(10_000), whole_account=True).check(shared).passed


def test_an_exit_is_not_stopped_for_being_large() -> None:
    rich = replace(CALM, intent=SELL, instance=OwnBook(D("0.1")))
    assert MaxOrderValueRule(D(1)).check(rich).passed
    assert not MaxOrderValueRule(D(1)).check(CALM).passed


def test_a_limit_price_above_the_market_is_what_a_buy_is_measured_at() -> None:
    dear = replace(CALM, intent=replace(BUY, type=OrderType.LIMIT, limit_price=D(60_000)))
    assert dear.order_value == D(6_000)
    cheap = replace(CALM, intent=replace(BUY, type=OrderType.LIMIT, limit_price=D(40_000)))
    assert cheap.order_value == D(5_000)


def test_a_rule_that_breaks_denies() -> None:
    class Broken:
        name = "broken"

        def check(self, context: RiskContext) -> RiskCheckResult:
            raise ZeroDivisionError

    decision = pre_trade_check(CALM, [Broken()])
    assert (decision.passed, decision.rule) == (False, "broken")
    assert decision.reason == "RULE_FAILED: ZeroDivisionError"


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("no_such_rule", {"max_value": "1"}),
        ("max_order_value", {}),
        ("max_order_value", {"max_value": "0"}),
        ("max_order_value", {"max_value": "1e3"}),
        ("position_limit", {"max_value": "1", "more": "2"}),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(kind: str, params: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        limit_rule(kind, params, "global")


def test_rule_parameters_are_kept_in_canonical_text() -> None:
    assert canonical_params("position_limit", {"max_value": "8000.50"}, "global") == {
        "max_value": "8000.5"
    }


def test_every_denial_has_a_sentence_before_its_code() -> None:
    codes = set(re.findall(r'deny\(\s*"([A-Z_]+)"', Path(rules.__file__).read_text()))
    assert len(codes) > 20
    for code in codes:
        said = denial_words(f"{code}: quantity=0.02")
        assert said.endswith(f" ({code}: quantity=0.02)")
        assert said[0].islower()
    assert denial_words("SOMETHING_ELSE") == "SOMETHING_ELSE"
