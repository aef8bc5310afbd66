"""Risk rules, decisions and trading halts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, literal, select, union_all

from app.models import InstrumentLockRow, RiskDecisionRow, RiskRuleRow, TradingHaltRow
from app.repositories.base import Page, Repository, append
from app.repositories.prepared import Prepared

_RULES = Prepared(
    select(RiskRuleRow)
    .where(
        RiskRuleRow.scope.in_(bindparam("scopes", expanding=True)),
        RiskRuleRow.enabled.is_(True),
    )
    .order_by(RiskRuleRow.id),
    many="scopes",
)
_HALTS = (
    select(TradingHaltRow).where(TradingHaltRow.lifted_at.is_(None)).order_by(TradingHaltRow.id)
)
_LOCKS = (
    select(InstrumentLockRow)
    .where(
        InstrumentLockRow.account_id == bindparam("account"),
        InstrumentLockRow.cleared_at.is_(None),
    )
    .order_by(InstrumentLockRow.id)
)
_LOCKS_OF_SYMBOL = _LOCKS.where(InstrumentLockRow.symbol == bindparam("symbol"))
# Asked for twice with every order, so they are one question.
_STOPS = Prepared(
    union_all(
        select(literal(True), TradingHaltRow.scope).where(TradingHaltRow.lifted_at.is_(None)),
        select(literal(False), InstrumentLockRow.reason).where(
            InstrumentLockRow.account_id == bindparam("account"),
            InstrumentLockRow.symbol == bindparam("symbol"),
            InstrumentLockRow.cleared_at.is_(None),
        ),
    )
)


class RiskRepository(Repository):
    """What the gate reads and writes."""

    def rules_for(self, scopes: Sequence[str]) -> Sequence[RiskRuleRow]:
        """Enabled rules of the scopes, in a fixed order."""
        return _RULES.all(self._session, {"scopes": scopes})

    def rules(self) -> Sequence[RiskRuleRow]:
        """Every rule."""
        return self._session.scalars(select(RiskRuleRow).order_by(RiskRuleRow.id)).all()

    def rule(self, kind: str, scope: str) -> RiskRuleRow | None:
        """The rule of one kind and scope, locked, or None."""
        return self._session.scalars(
            select(RiskRuleRow)
            .where(RiskRuleRow.kind == kind, RiskRuleRow.scope == scope)
            .with_for_update()
        ).one_or_none()

    def add_rule(self, row: RiskRuleRow) -> None:
        """Insert a rule."""
        self._session.add(row)

    def add_decision(self, row: RiskDecisionRow) -> None:
        """Insert a decision; the unique key refuses a second one of the same intent."""
        append(self._session, [row])

    def decision_of(self, account_id: str, intent_key: str) -> RiskDecisionRow | None:
        """The decision on one intent, or None."""
        return self._session.scalars(
            select(RiskDecisionRow).where(
                RiskDecisionRow.account_id == account_id,
                RiskDecisionRow.intent_key == intent_key,
            )
        ).one_or_none()

    def decisions(
        self, limit: int, cursor: str | None = None, instance_id: str | None = None
    ) -> Page[RiskDecisionRow]:
        """Decisions, newest first."""
        statement = select(RiskDecisionRow)
        if instance_id is not None:
            statement = statement.where(RiskDecisionRow.instance_id == instance_id)
        return self._page(statement, RiskDecisionRow.id, limit, cursor)

    def decisions_of_instance(self, instance_id: str, limit: int) -> Sequence[RiskDecisionRow]:
        """Decisions on one instance's intents, oldest first."""
        return self._session.scalars(
            select(RiskDecisionRow)
            .where(RiskDecisionRow.instance_id == instance_id)
            .order_by(RiskDecisionRow.id)
            .limit(limit)
        ).all()

    def halts_in_force(self) -> Sequence[TradingHaltRow]:
        """Halts that are not lifted."""
        return self._session.scalars(_HALTS).all()

    def stops(self, account_id: str, symbol: str) -> tuple[set[str], list[str]]:
        """Scopes of all halts in force, and reasons of an account's locks on a symbol."""
        names = {"account": account_id, "symbol": symbol}
        found = _STOPS.rows(self._session, names)
        return {text for halts, text in found if halts}, [
            text for halts, text in found if not halts
        ]

    def add_halt(self, row: TradingHaltRow) -> None:
        """Insert a halt."""
        self._session.add(row)

    def add_instrument_lock(self, row: InstrumentLockRow) -> None:
        """Insert a lock."""
        self._session.add(row)
        self._session.flush()

    def locks_in_force(
        self, account_id: str, symbol: str | None = None
    ) -> Sequence[InstrumentLockRow]:
        """Locks of an account that are not cleared, oldest first; of one symbol if it is given."""
        if symbol is None:
            return self._session.scalars(_LOCKS, {"account": account_id}).all()
        names = {"account": account_id, "symbol": symbol}
        return self._session.scalars(_LOCKS_OF_SYMBOL, names).all()
