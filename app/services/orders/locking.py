"""Locks on instruments where venue and record differed: no new risk, while sells pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from app.core.errors import NotFound
from app.core.events import body, topic
from app.core.ports import Ids
from app.models import AdjustmentRow, InstrumentLockRow
from app.repositories.unit import Unit, Units
from app.services.alarms import tell_alarm


def lock_instrument(
    unit: Unit, ids: Ids, account_id: str, symbol: str, reason: str, *, explained: bool
) -> None:
    """Take no new risk in an instrument of an account; one lock is in force at a time.

    A difference that nothing explains outweighs one that trades explain.
    """
    unit.accounts.lock(account_id)
    standing = unit.risk.locks_in_force(account_id, symbol)
    if standing:
        if standing[0].explained and not explained:
            standing[0].explained, standing[0].reason = False, reason[:300]
        return
    unit.risk.add_instrument_lock(
        InstrumentLockRow(
            id=ids.new(),
            account_id=account_id,
            symbol=symbol,
            reason=reason[:300],
            explained=explained,
            created_at=unit.now_ms,
        )
    )


def lift_explained(unit: Unit, account_id: str, known: Collection[str]) -> None:
    """Lift the locks whose difference was explained and that stood when a comparison began."""
    for row in unit.risk.locks_in_force(account_id):
        if row.explained and row.id in known:
            _clear(unit, row, "reconciliation")


def report_difference(unit: Unit, account_id: str, text: str, **facts: object) -> None:
    """Raise the alarm about a difference between venue and record."""
    tell_alarm(unit, "critical", "reconciliation-difference", text, account_id=account_id, **facts)


def _clear(unit: Unit, row: InstrumentLockRow, by: str) -> None:
    row.cleared_at, row.cleared_by = unit.now_ms, by[:64]
    unit.emit(
        topic("system", "lock", row.account_id),
        body(
            "locks.v1",
            lock_id=row.id,
            account_id=row.account_id,
            symbol=row.symbol,
            state="cleared",
            by=row.cleared_by,
            at=unit.now_ms,
        ),
    )


class InstrumentLocks:
    """Locks as a person sees them."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def locks(self, account: str) -> Sequence[InstrumentLockRow]:
        """Locks in force of an account, oldest first.

        Raises:
            NotFound: no such account.
        """
        with self._units.read() as unit:
            return unit.risk.locks_in_force(unit.accounts.resolve(account).id)

    def adjustments(self, account: str, limit: int) -> Sequence[AdjustmentRow]:
        """Differences that were posted without an explanation, newest first.

        Raises:
            NotFound: no such account.
        """
        with self._units.read() as unit:
            return unit.ledger.adjustments(unit.accounts.resolve(account).id, limit)

    def unlock(self, account: str, symbol: str | None, by: str) -> int:
        """Lift the locks of an account, or of one symbol of it; how many.

        Raises:
            NotFound: no such account, or the symbol is not locked there.
        """

        def work(unit: Unit) -> int:
            row = unit.accounts.lock(unit.accounts.resolve(account).id)
            standing = unit.risk.locks_in_force(row.id, symbol)
            if symbol is not None and not standing:
                raise NotFound(f"{symbol[:40]!r} is not locked on account {row.name}")
            for lock in standing:
                _clear(unit, lock, by)
            return len(standing)

        return self._units.run(work)
