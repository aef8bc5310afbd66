"""Fills, postings, positions and equity snapshots."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal

from sqlalchemy import bindparam, func, select

from app.core.money import ZERO
from app.models import AdjustmentRow, EquitySnapshotRow, FillRow, PositionRow, PostingRow
from app.repositories.base import Page, Repository, append
from app.repositories.prepared import Prepared

_FILL = Prepared(
    select(FillRow).where(
        FillRow.account_id == bindparam("account"),
        FillRow.symbol == bindparam("symbol"),
        FillRow.trade_id == bindparam("trade"),
    )
)
_TRADES = Prepared(
    select(FillRow.order_id, FillRow.trade_id).where(
        FillRow.order_id.in_(bindparam("ids", expanding=True))
    ),
    many="ids",
)
_LOCK_POSITION = Prepared(
    select(PositionRow)
    .where(
        PositionRow.account_id == bindparam("account"),
        PositionRow.symbol == bindparam("symbol"),
        PositionRow.instance_id == bindparam("instance"),
    )
    .with_for_update()
)
_OF_INSTANCE = Prepared(
    select(PositionRow)
    .where(PositionRow.instance_id == bindparam("instance"))
    .order_by(PositionRow.symbol)
)
_OF_ACCOUNT = Prepared(
    select(PositionRow)
    .where(PositionRow.account_id == bindparam("account"))
    .order_by(PositionRow.symbol, PositionRow.instance_id)
)


class LedgerRepository(Repository):
    """The double-entry ledger and what is derived from it."""

    def fill(self, account_id: str, symbol: str, trade_id: str) -> FillRow | None:
        """The fill of one venue trade, or None."""
        names = {"account": account_id, "symbol": symbol, "trade": trade_id}
        found: FillRow | None = _FILL.one(self._session, names)
        return found

    def trades_of(self, order_ids: Collection[str]) -> set[tuple[str, str]]:
        """The trades that are applied to the orders, as (order id, trade id)."""
        found = _TRADES.rows(self._session, {"ids": list(order_ids)})
        return {(order_id, trade_id) for order_id, trade_id in found}

    def add_fill(self, row: FillRow) -> None:
        """Insert a fill; the unique key refuses a trade's second one."""
        append(self._session, [row])

    def latest_fills(self, account_id: str, limit: int) -> Sequence[FillRow]:
        """The latest fills of an account that were written down, newest first."""
        return self._session.scalars(
            select(FillRow)
            .where(FillRow.account_id == account_id)
            .order_by(FillRow.id.desc())
            .limit(limit)
        ).all()

    def fills_of_order(self, order_id: str) -> Sequence[FillRow]:
        """Fills of one order by time."""
        return self._session.scalars(
            select(FillRow).where(FillRow.order_id == order_id).order_by(FillRow.ts, FillRow.id)
        ).all()

    def fills_of_instance(self, instance_id: str, limit: int) -> Sequence[FillRow]:
        """Latest fills of an instance, newest first."""
        return self._session.scalars(
            select(FillRow)
            .where(FillRow.instance_id == instance_id)
            .order_by(FillRow.ts.desc(), FillRow.id.desc())
            .limit(limit)
        ).all()

    def count_fills(self, instance_id: str) -> int:
        """How many fills an instance has had."""
        return self._session.scalars(
            select(func.count()).select_from(FillRow).where(FillRow.instance_id == instance_id)
        ).one()

    def fill_page(self, account_id: str | None, limit: int, cursor: str | None) -> Page[FillRow]:
        """Fills, newest first."""
        statement = select(FillRow)
        if account_id is not None:
            statement = statement.where(FillRow.account_id == account_id)
        return self._page(statement, FillRow.id, limit, cursor)

    def post(self, rows: Iterable[PostingRow]) -> None:
        """Insert the postings of one transaction, which the caller has balanced."""
        append(self._session, list(rows))

    def postings(self, account_id: str, book: str | None = None) -> Sequence[PostingRow]:
        """Postings of an account, oldest first."""
        statement = select(PostingRow).where(PostingRow.account_id == account_id)
        if book is not None:
            statement = statement.where(PostingRow.book == book)
        return self._session.scalars(statement.order_by(PostingRow.id)).all()

    def last_posting(self, account_id: str) -> int:
        """Id of the account's latest posting, 0 where it has none: it grows with each change."""
        return (
            self._session.scalars(
                select(PostingRow.id)
                .where(PostingRow.account_id == account_id)
                .order_by(PostingRow.id.desc())
                .limit(1)
            ).one_or_none()
            or 0
        )

    def last_posted_at(self, account_id: str) -> int:
        """Wall time of the account's latest posting, ms; 0 where it has none."""
        return (
            self._session.scalars(
                select(PostingRow.at)
                .where(PostingRow.account_id == account_id)
                .order_by(PostingRow.id.desc())
                .limit(1)
            ).one_or_none()
            or 0
        )

    def add_adjustment(self, row: AdjustmentRow) -> None:
        """Insert an adjustment; its key refuses the same one twice."""
        self._session.add(row)
        self._session.flush()

    def adjustments(self, account_id: str, limit: int) -> Sequence[AdjustmentRow]:
        """Latest adjustments of an account, newest first."""
        return self._session.scalars(
            select(AdjustmentRow)
            .where(AdjustmentRow.account_id == account_id)
            .order_by(AdjustmentRow.at.desc(), AdjustmentRow.id.desc())
            .limit(limit)
        ).all()

    def lock_position(self, account_id: str, symbol: str, instance_id: str) -> PositionRow:
        """The position row, locked; an empty one is made where there is none."""
        names = {"account": account_id, "symbol": symbol, "instance": instance_id}
        row: PositionRow | None = _LOCK_POSITION.held_one(self._session, names)
        if row is None:
            row = PositionRow(
                account_id=account_id,
                symbol=symbol,
                instance_id=instance_id,
                quantity=ZERO,
                average_price=None,
                realized_pnl=ZERO,
                fees=ZERO,
                cash_flow=ZERO,
                updated_at=0,
            )
            self._session.add(row)
            self._session.flush()
        return row

    def positions_of_instance(self, instance_id: str) -> Sequence[PositionRow]:
        """Positions of one instance, flat ones included."""
        return _OF_INSTANCE.all(self._session, {"instance": instance_id})

    def positions_of_account(self, account_id: str) -> Sequence[PositionRow]:
        """Positions of one account, by symbol and instance."""
        return _OF_ACCOUNT.all(self._session, {"account": account_id})

    def held(self, account_id: str, symbol: str) -> Decimal:
        """Own holding of a symbol over all instances of an account, base units."""
        return sum(
            (row.quantity for row in self.positions_of_account(account_id) if row.symbol == symbol),
            ZERO,
        )

    def add_snapshot(self, row: EquitySnapshotRow) -> None:
        """Insert an equity snapshot."""
        self._session.add(row)

    def snapshot_at(self, instance_id: str, ts: int) -> EquitySnapshotRow | None:
        """The snapshot of an instance at exactly that market time, or None."""
        return self._session.scalars(
            select(EquitySnapshotRow).where(
                EquitySnapshotRow.instance_id == instance_id, EquitySnapshotRow.ts == ts
            )
        ).one_or_none()

    def snapshots(self, instance_id: str, limit: int) -> Sequence[EquitySnapshotRow]:
        """Latest snapshots of an instance, newest first."""
        return self._session.scalars(
            select(EquitySnapshotRow)
            .where(EquitySnapshotRow.instance_id == instance_id)
            .order_by(EquitySnapshotRow.ts.desc())
            .limit(limit)
        ).all()
