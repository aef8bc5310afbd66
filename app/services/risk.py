"""Risk: halts and limits as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.errors import InvalidInput
from app.core.ports import Ids
from app.core.risk.context import RiskRule
from app.core.risk.gate import canonical_params, limit_rule
from app.models import RiskRuleRow, TradingHaltRow
from app.repositories.unit import Unit, Units
from app.services.alarms import tell_alarm


def order_scopes(account_id: str, instance_id: str) -> list[str]:
    """Scopes of limits that concern an order."""
    return ["global", f"account:{account_id}", f"instance:{instance_id}"]


@dataclass(frozen=True, slots=True)
class Stops:
    """What stands in the way of an order.

    Attributes:
        halts: scopes of the halts that concern it.
        locks: why its instrument takes no new risk.
    """

    halts: tuple[str, ...]
    locks: tuple[str, ...]


def stops_on(unit: Unit, account_id: str, instance_id: str, exchange: str, symbol: str) -> Stops:
    """The halts and locks in force that concern an order."""
    halted, locks = unit.risk.stops(account_id, symbol)
    concerned = (*order_scopes(account_id, instance_id), f"symbol:{exchange}:{symbol}")
    return Stops(tuple(scope for scope in concerned if scope in halted), tuple(locks))


def limits_for(unit: Unit, account_id: str, instance_id: str) -> tuple[list[RiskRule], list[str]]:
    """The configured limits that concern an order, and ``kind@scope#version`` of each."""
    rows = unit.risk.rules_for(order_scopes(account_id, instance_id))
    rules = [limit_rule(row.kind, row.params, row.scope) for row in rows]
    return rules, [f"{row.kind}@{row.scope}#{row.version}" for row in rows]


class RiskService:
    """Halts, resumes, and sets limits."""

    def __init__(self, units: Units, ids: Ids) -> None:
        self._units = units
        self._ids = ids

    def halt(self, scope: str, reason: str, by: str) -> TradingHaltRow:
        """Stop new orders of a scope at once; cancels still pass.

        Raises:
            InvalidInput: the scope is malformed.
            NotFound: it names an account or instance that does not exist.
            UnknownName: it names a symbol that the venue's catalogue does not hold.
        """

        def work(unit: Unit) -> TradingHaltRow:
            _check_scope(unit, scope)
            standing = [halt for halt in unit.risk.halts_in_force() if halt.scope == scope]
            if standing:
                return standing[0]
            row = TradingHaltRow(
                id=self._ids.new(),
                scope=scope,
                reason=reason[:300],
                set_by=by[:64],
                created_at=unit.now_ms,
            )
            unit.risk.add_halt(row)
            tell_alarm(unit, "critical", "halt", reason, scope=scope)
            return row

        return self._units.run(work)

    def resume(self, scope: str, by: str) -> int:
        """Lift the halts of a scope; how many there were."""

        def work(unit: Unit) -> int:
            lifted = [halt for halt in unit.risk.halts_in_force() if halt.scope == scope]
            for halt in lifted:
                halt.lifted_at, halt.lifted_by = unit.now_ms, by[:64]
            if lifted:
                tell_alarm(unit, "info", "resume", by, scope=scope)
            return len(lifted)

        return self._units.run(work)

    def halts(self) -> Sequence[TradingHaltRow]:
        """Halts in force."""
        with self._units.read() as unit:
            return unit.risk.halts_in_force()

    def set_rule(
        self, kind: str, scope: str, params: Mapping[str, Any], *, enabled: bool = True
    ) -> RiskRuleRow:
        """Set a limit; its version grows.

        Raises:
            InvalidInput: kind, scope or parameters do not fit.
        """

        def work(unit: Unit) -> RiskRuleRow:
            _check_scope(unit, scope)
            if scope.startswith("symbol:"):
                raise InvalidInput("limits have the scope global, account:<id> or instance:<id>")
            kept = canonical_params(kind, params, scope)
            row = unit.risk.rule(kind, scope)
            if row is None:
                row = RiskRuleRow(
                    id=self._ids.new(),
                    kind=kind,
                    scope=scope,
                    params=kept,
                    enabled=enabled,
                    version=1,
                    updated_at=unit.now_ms,
                )
                unit.risk.add_rule(row)
            else:
                row.params, row.enabled = kept, enabled
                row.version, row.updated_at = row.version + 1, unit.now_ms
            return row

        return self._units.run(work)

    def rules(self) -> Sequence[RiskRuleRow]:
        """Every limit."""
        with self._units.read() as unit:
            return unit.risk.rules()


def _check_scope(unit: Unit, scope: str) -> None:
    kind, _, name = scope.partition(":")
    if scope == "global":
        return
    if kind == "account" and name:
        unit.accounts.get(name)
    elif kind == "instance" and name:
        unit.instances.get(name)
    elif kind == "symbol" and ":" in name:
        exchange, _, symbol = name.partition(":")
        unit.instruments.get(exchange, symbol)  # a halt of a misspelt symbol would stop nothing
    else:
        raise InvalidInput(
            f"scope {scope[:60]!r} is not known; use global, account:<id>, instance:<id> or "
            "symbol:<exchange>:<symbol>"
        )
