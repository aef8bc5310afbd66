"""Strategy instances and their quotas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Table, bindparam, func, select, update

from app.core.money import ZERO
from app.models import AccountRow, StrategyInstanceRow, StrategyQuotaRow
from app.repositories.base import KeyedRepository
from app.repositories.prepared import Prepared

_LOCK_QUOTA = Prepared(
    select(StrategyQuotaRow)
    .where(StrategyQuotaRow.instance_id == bindparam("instance"))
    .with_for_update()
)
_WITH_ACCOUNT = Prepared(
    select(StrategyInstanceRow, AccountRow)
    .join(AccountRow, AccountRow.id == StrategyInstanceRow.account_id)
    .where(StrategyInstanceRow.id == bindparam("instance"))
)
_MAY_TRADE = Prepared(
    select(StrategyInstanceRow.id)
    .join(AccountRow, AccountRow.id == StrategyInstanceRow.account_id)
    .where(
        StrategyInstanceRow.id == bindparam("instance"),
        StrategyInstanceRow.status == "running",
        AccountRow.reconciled_epoch >= AccountRow.epoch,
    )
)
_INSTANCES = cast("Table", StrategyInstanceRow.__table__)
_ADVANCE = Prepared(
    update(_INSTANCES)
    .where(
        _INSTANCES.c.id == bindparam("instance"),
        _INSTANCES.c.status == "running",
        # Before a first start there is no run, and before a first bar no cursor: NULL equals
        # nothing.
        func.coalesce(_INSTANCES.c.run_id, "") == func.coalesce(bindparam("run"), ""),
        func.coalesce(_INSTANCES.c.cursor_ts, -1) == func.coalesce(bindparam("seen"), -1),
    )
    .values({name: bindparam(name) for name in ("cursor_ts", "state", "updated_at")})
)
_RUNNING_AT = Prepared(
    select(StrategyInstanceRow.id, StrategyInstanceRow.symbols, StrategyInstanceRow.interval)
    .where(
        StrategyInstanceRow.status == "running",
        StrategyInstanceRow.kind == "strategy",
        StrategyInstanceRow.exchange == bindparam("exchange"),
    )
    .order_by(StrategyInstanceRow.id)
)


class InstanceRepository(KeyedRepository[StrategyInstanceRow]):
    """Instances by id, by account, by what they listen to."""

    model = StrategyInstanceRow
    key = StrategyInstanceRow.id
    noun = "strategy instance"

    def running(self) -> Sequence[StrategyInstanceRow]:
        """Every running strategy instance, oldest first."""
        return self._session.scalars(
            select(StrategyInstanceRow)
            .where(StrategyInstanceRow.status == "running", StrategyInstanceRow.kind == "strategy")
            .order_by(StrategyInstanceRow.id)
        ).all()

    def running_on(self, exchange: str, symbol: str, interval: str) -> list[str]:
        """Ids of the running instances that a new bar of the series may concern.

        A 1m bar concerns every interval: a venue's bars may be derived from it.
        """
        found = _RUNNING_AT.rows(self._session, {"exchange": exchange})
        return [
            instance_id
            for instance_id, symbols, own in found
            if symbol in symbols and interval in (own, "1m")
        ]

    def of_account(self, account_id: str) -> Sequence[StrategyInstanceRow]:
        """All instances of an account, built-in ones included."""
        return self._session.scalars(
            select(StrategyInstanceRow)
            .where(StrategyInstanceRow.account_id == account_id)
            .order_by(StrategyInstanceRow.id)
        ).all()

    def with_account(self, instance_id: str) -> tuple[StrategyInstanceRow, AccountRow]:
        """An instance that is known to exist, and the account it trades on."""
        ((instance, account),) = _WITH_ACCOUNT.tuples(self._session, {"instance": instance_id})
        self._looked[instance_id] = instance
        return instance, account

    def may_trade(self, instance_id: str) -> bool:
        """Whether an instance runs, and its account was compared since its last doubt, as is
        committed now."""
        return bool(_MAY_TRADE.rows(self._session, {"instance": instance_id}))

    def builtin(self, account_id: str, kind: str) -> StrategyInstanceRow:
        """The ``manual`` or ``external`` instance of an account."""
        return self._session.scalars(
            select(StrategyInstanceRow).where(
                StrategyInstanceRow.account_id == account_id, StrategyInstanceRow.kind == kind
            )
        ).one()

    def advance(
        self,
        instance_id: str,
        *,
        run_id: str | None,
        seen: int | None,
        cursor_ts: int | None,
        state: dict[str, Any],
        now_ms: int,
    ) -> bool:
        """Move the cursor on if nobody else moved it since it was ``seen``.

        This compare-and-set makes two evaluations of one instance harmless: the loser writes
        no signals.
        """
        names = {
            "instance": instance_id,
            "run": run_id,
            "seen": seen,
            "cursor_ts": cursor_ts,
            "state": state,
            "updated_at": now_ms,
        }
        return _ADVANCE.run(self._session, names).matched == 1

    def quota(self, instance_id: str) -> StrategyQuotaRow | None:
        """The quota of an instance, or None where it has none."""
        return self._session.get(StrategyQuotaRow, instance_id)

    def lock_quota(self, instance_id: str) -> StrategyQuotaRow:
        """The quota row, locked; an unlimited one is made where there is none."""
        names = {"instance": instance_id}
        row: StrategyQuotaRow | None = _LOCK_QUOTA.held_one(self._session, names)
        if row is None:
            row = StrategyQuotaRow(
                instance_id=instance_id,
                max_position=None,
                used_position=ZERO,
                max_orders_per_day=None,
                orders_today=0,
                day=0,
            )
            self._session.add(row)
            self._session.flush()
        return row
