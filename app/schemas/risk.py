"""Halts, limits and decisions."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from app.models import RiskDecisionRow, RiskRuleRow, TradingHaltRow
from app.schemas.common import Model, Positive, Remark, Time, Uid, time_text
from app.schemas.times import rfc3339

SCOPE_PATTERN: Final = (
    r"^(global|account:[0-9a-f-]{36}|instance:[0-9a-f-]{36}"
    r"|symbol:[a-z0-9_]{1,32}:[^\s\x00-\x1f]{1,64})$"
)
#: Kind of a limit.
RULE_PATTERN: Final = r"^[a-z_]{1,32}$"
Scope = Annotated[
    str,
    Field(
        min_length=1,
        max_length=190,
        pattern=SCOPE_PATTERN,
        description="global, account:<id>, instance:<id> or symbol:<exchange>:<symbol>",
        examples=["global"],
    ),
]


class NewHalt(Model):
    """A stop of new orders."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"scope": "global", "reason": "the market is not sane"}]}
    )

    scope: Scope = "global"
    reason: Remark


class Resume(Model):
    """The end of a halt."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"scope": "global"}]})

    scope: Scope = "global"


class Resumed(Model):
    """How many halts were lifted."""

    scope: str
    lifted: int


class Halt(Model):
    """A stop of new orders; cancels pass."""

    id: Uid
    scope: str
    reason: str
    set_by: str
    created_at: Time
    lifted_by: str | None
    lifted_at: Time | None

    @classmethod
    def of(cls, row: TradingHaltRow) -> Halt:
        """The halt of a row."""
        return cls(
            id=row.id,
            scope=row.scope,
            reason=row.reason,
            set_by=row.set_by,
            created_at=rfc3339(row.created_at),
            lifted_by=row.lifted_by,
            lifted_at=time_text(row.lifted_at),
        )


class NewRule(Model):
    """A limit to set. Amounts are quote units."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "max_order_value",
                    "scope": "global",
                    "params": {"max_value": "5000"},
                    "enabled": True,
                }
            ]
        }
    )

    kind: Annotated[str, Field(pattern=RULE_PATTERN, examples=["max_order_value"])]
    scope: Scope = "global"
    params: dict[str, Positive] = Field(max_length=8)
    enabled: bool = True


class Rule(Model):
    """A limit in force, or switched off."""

    id: Uid
    kind: str
    scope: str
    params: dict[str, Any]
    enabled: bool
    version: int = Field(description="grows with each change; decisions name it")
    updated_at: Time

    @classmethod
    def of(cls, row: RiskRuleRow) -> Rule:
        """The rule of a row."""
        return cls(
            id=row.id,
            kind=row.kind,
            scope=row.scope,
            params=row.params,
            enabled=row.enabled,
            version=row.version,
            updated_at=rfc3339(row.updated_at),
        )


class Decision(Model):
    """What the gate said of one intent, and all it looked at."""

    id: Uid
    account_id: Uid
    instance_id: Uid
    signal_id: Uid | None
    passed: bool
    rule: str = Field(description="the rule that refused; empty where it passed")
    reason: str
    inputs: dict[str, Any]
    created_at: Time

    @classmethod
    def of(cls, row: RiskDecisionRow) -> Decision:
        """The decision of a row."""
        return cls(
            id=row.id,
            account_id=row.account_id,
            instance_id=row.instance_id,
            signal_id=row.signal_id,
            passed=row.passed,
            rule=row.rule,
            reason=row.reason,
            inputs=row.inputs,
            created_at=rfc3339(row.created_at),
        )
