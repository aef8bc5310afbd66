"""The risk gate: the one way from an intent to an order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from app.core.errors import InvalidInput
from app.core.money import canonical, parse_amount
from app.core.risk.context import Decision, RiskContext, RiskRule
from app.core.risk.rules import STANDING_RULES, MaxOrderValueRule, PositionLimitRule


def pre_trade_check(context: RiskContext, limits: Sequence[RiskRule]) -> Decision:
    """Ask the standing rules and then the configured limits; the first refusal decides.

    A rule that raises denies: the gate fails closed.
    """
    asked: list[str] = []
    for rule in (*STANDING_RULES, *limits):
        asked.append(rule.name)
        try:
            result = rule.check(context)
        except Exception as error:  # noqa: BLE001 - any failure of a rule is a refusal
            reason = f"RULE_FAILED: {type(error).__name__}"
            return Decision(False, rule.name, reason, tuple(asked), failure=error)
        if not result.passed:
            return Decision(False, rule.name, result.reason, tuple(asked))
    return Decision(True, "", "", tuple(asked))


def _max_order_value(params: Mapping[str, Any], _scope: str) -> RiskRule:
    return MaxOrderValueRule(_amount(params, "max_value"))


def _position_limit(params: Mapping[str, Any], scope: str) -> RiskRule:
    return PositionLimitRule(
        _amount(params, "max_value"), whole_account=not scope.startswith("instance:")
    )


#: Kinds of rule that a ``risk_rules`` row can hold.
LIMIT_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any], str], RiskRule]]] = {
    "max_order_value": _max_order_value,
    "position_limit": _position_limit,
}


def limit_rule(kind: str, params: Mapping[str, Any], scope: str) -> RiskRule:
    """The rule that a ``risk_rules`` row describes.

    Raises:
        InvalidInput: the kind is unknown or its parameters do not fit.
    """
    try:
        build = LIMIT_KINDS[kind]
    except KeyError:
        raise InvalidInput(
            f"risk rule {kind[:40]!r} is not known; use one of {', '.join(LIMIT_KINDS)}"
        ) from None
    return build(params, scope)


def canonical_params(kind: str, params: Mapping[str, Any], scope: str) -> dict[str, str]:
    """The parameters as they are stored: amounts as canonical text.

    Raises:
        InvalidInput: the kind is unknown or its parameters do not fit.
    """
    limit_rule(kind, params, scope)
    return {key: canonical(parse_amount(str(value))) for key, value in params.items()}


def _amount(params: Mapping[str, Any], name: str) -> Decimal:
    if set(params) != {name}:
        raise InvalidInput(f"this risk rule takes exactly one parameter, {name!r}")
    value = parse_amount(str(params[name]))
    if value <= 0:
        raise InvalidInput(f"{name} was {value}; it must be above 0")
    return value
