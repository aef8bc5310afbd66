"""Accounts and balances."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.core.errors import NotFound
from app.core.money import ZERO
from app.models import AccountRow, BalanceRow
from app.repositories.base import KeyedRepository
from app.repositories.prepared import Prepared

# One statement for all assets of an order. It reads the primary key in its order, and so locks.
_LOCK_BALANCES = Prepared(
    select(BalanceRow)
    .where(
        BalanceRow.account_id == bindparam("account"),
        BalanceRow.asset.in_(bindparam("assets", expanding=True)),
    )
    .order_by(BalanceRow.asset)
    .with_for_update(),
    many="assets",
)


class AccountRepository(KeyedRepository[AccountRow]):
    """Accounts by id and name, and their balances."""

    model = AccountRow
    key = AccountRow.id
    noun = "account"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._locked: dict[str, dict[str, BalanceRow]] = {}

    def named(self, name: str) -> AccountRow | None:
        """The account of that name, or None."""
        return self._session.scalars(select(AccountRow).where(AccountRow.name == name)).first()

    def resolve(self, name_or_id: str) -> AccountRow:
        """The account of that id or name.

        Raises:
            NotFound: there is none.
        """
        row = self.find(name_or_id) or self.named(name_or_id)
        if row is None:
            raise NotFound(f"no account has the id or name {name_or_id[:40]!r}")
        return row

    def all(self) -> Sequence[AccountRow]:
        """Every account, oldest first."""
        return self._session.scalars(select(AccountRow).order_by(AccountRow.id)).all()

    def distrusted(self, now_ms: int) -> Sequence[AccountRow]:
        """Active accounts that must be compared with their venue before they may trade."""
        row = AccountRow
        return self._session.scalars(
            select(row)
            .where(
                row.status == "active",
                row.reconciled_epoch < row.epoch,
                row.sync_not_before <= now_ms,
            )
            .order_by(row.id)
        ).all()

    def opening(self, now_ms: int) -> Sequence[AccountRow]:
        """Accounts whose opening is due."""
        row = AccountRow
        return self._session.scalars(
            select(row)
            .where(row.status == "opening", row.sync_not_before <= now_ms)
            .order_by(row.id)
        ).all()

    def balances(self, account_id: str) -> Sequence[BalanceRow]:
        """Every asset of an account by name."""
        return self._session.scalars(
            select(BalanceRow).where(BalanceRow.account_id == account_id).order_by(BalanceRow.asset)
        ).all()

    def lock_balances(self, account_id: str, assets: Sequence[str]) -> dict[str, BalanceRow]:
        """Balance rows of the assets, locked in the order of their names; missing ones made.

        The fixed order keeps two orders on one account from locking each other out. What this
        unit has locked before is not asked for again: nobody else can have changed it.
        """
        held = self._locked.setdefault(account_id, {})
        missing = sorted(set(assets) - held.keys())
        if missing:
            names = {"account": account_id, "assets": missing}
            held.update({row.asset: row for row in _LOCK_BALANCES.held(self._session, names)})
        for asset in missing:
            if asset not in held:
                held[asset] = self._made(account_id, asset)
        return {asset: held[asset] for asset in assets}

    def _made(self, account_id: str, asset: str) -> BalanceRow:
        row = BalanceRow(account_id=account_id, asset=asset, free=ZERO, locked=ZERO, updated_at=0)
        self._session.add(row)
        self._session.flush()
        return row

    def move(
        self, row: BalanceRow, *, free: Decimal = ZERO, locked: Decimal = ZERO, at: int
    ) -> None:
        """Change a locked balance row by signed amounts."""
        row.free += free
        row.locked += locked
        row.updated_at = at
