"""Signals."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, func, select

from app.core.errors import NotFound
from app.models import AccountRow, SignalRow, StrategyInstanceRow
from app.repositories.base import KeyedRepository, append
from app.repositories.prepared import Prepared

_UNJUDGED = Prepared(
    select(SignalRow)
    .where(SignalRow.instance_id == bindparam("instance"), SignalRow.status == "new")
    .order_by(SignalRow.id)
)
_WITH_ACCOUNT = Prepared(
    select(SignalRow, StrategyInstanceRow, AccountRow)
    .join(StrategyInstanceRow, StrategyInstanceRow.id == SignalRow.instance_id)
    .join(AccountRow, AccountRow.id == StrategyInstanceRow.account_id)
    .where(SignalRow.id == bindparam("signal"))
)


class SignalRepository(KeyedRepository[SignalRow]):
    """Signals by id, by instance, and those not yet judged."""

    model = SignalRow
    key = SignalRow.id
    noun = "signal"

    def write(self, row: SignalRow) -> None:
        """Insert a signal at once; this unit does not change it any more."""
        append(self._session, [row])

    def with_account(self, signal_id: str) -> tuple[SignalRow, StrategyInstanceRow, AccountRow]:
        """A signal, its instance, and the account that this trades on.

        Raises:
            NotFound: there is no such signal.
        """
        found = _WITH_ACCOUNT.tuples(self._session, {"signal": signal_id})
        if not found:
            raise NotFound(f"no signal has the id {signal_id[:40]!r}")
        signal, instance, account = found[0]
        return signal, instance, account

    def waiting(self, before_ms: int, limit: int = 200) -> Sequence[SignalRow]:
        """Signals written before a wall time that the gate has not judged, oldest first."""
        return self._session.scalars(
            select(SignalRow)
            .where(SignalRow.status == "new", SignalRow.created_at <= before_ms)
            .order_by(SignalRow.created_at, SignalRow.id)
            .limit(limit)
        ).all()

    def waiting_of(self, instance_id: str) -> int:
        """How many signals of an instance the gate has not judged."""
        return self._session.scalars(
            select(func.count())
            .select_from(SignalRow)
            .where(SignalRow.instance_id == instance_id, SignalRow.status == "new")
        ).one()

    def of_instance(self, instance_id: str, limit: int = 1000) -> Sequence[SignalRow]:
        """Signals of an instance, oldest first."""
        return self._session.scalars(
            select(SignalRow)
            .where(SignalRow.instance_id == instance_id)
            .order_by(SignalRow.id)
            .limit(limit)
        ).all()

    def latest_bars(self, instance_id: str, limit: int) -> Sequence[int]:
        """Open times of the bars that the newest signals of an instance answer, newest first."""
        return self._session.scalars(
            select(SignalRow.bar_ts)
            .where(SignalRow.instance_id == instance_id)
            .order_by(SignalRow.created_at.desc())
            .limit(limit)
        ).all()

    def unjudged_of(self, instance_id: str) -> Sequence[SignalRow]:
        """Signals of an instance that the gate has not judged, oldest first."""
        return _UNJUDGED.all(self._session, {"instance": instance_id})

    def earlier_legs(self, signal: SignalRow) -> Sequence[SignalRow]:
        """Signals of the same instance, symbol and cause with a lower leg, in order."""
        return self._session.scalars(
            select(SignalRow)
            .where(
                SignalRow.instance_id == signal.instance_id,
                SignalRow.symbol == signal.symbol,
                SignalRow.interval == signal.interval,
                SignalRow.cause == signal.cause,
                SignalRow.leg < signal.leg,
            )
            .order_by(SignalRow.leg)
        ).all()
