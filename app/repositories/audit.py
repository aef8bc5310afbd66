"""Whole tables row by row, for checking what must always hold. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import func, select

from app.core.orders.state import UNSETTLED
from app.models import (
    BalanceRow,
    FillRow,
    JobRow,
    OrderEventRow,
    OrderRow,
    OutboxRow,
    PositionRow,
    PostingRow,
    RiskDecisionRow,
    SignalRow,
)
from app.repositories.base import Repository
from app.repositories.klines import bars_of

# Rows that the driver hands over at once: some MB, however many there are in all.
_AT_ONCE = 5_000


class AuditRepository(Repository):
    """Reads of everything, in bounded memory."""

    def orders(self, account_id: str) -> Iterator[tuple[OrderRow, bool | None, int | None]]:
        """Orders of an account with their decisions: (order, passed, decided_at)."""
        found = self._each(
            select(OrderRow, RiskDecisionRow.passed, RiskDecisionRow.created_at)
            .outerjoin(RiskDecisionRow, RiskDecisionRow.id == OrderRow.decision_id)
            .where(OrderRow.account_id == account_id)
            .order_by(OrderRow.order_id)
        )
        return ((row[0], row[1], row[2]) for row in found)

    def order_events(self, account_id: str) -> Iterator[Any]:
        """(order_id, seq, kind, from_status, to_status, data, at) in the order of each life."""
        row = OrderEventRow
        return self._each(
            select(
                row.order_id, row.seq, row.kind, row.from_status, row.to_status, row.data, row.at
            )
            .join(OrderRow, OrderRow.order_id == row.order_id)
            .where(OrderRow.account_id == account_id)
            .order_by(row.order_id, row.seq)
        )

    def fills(self, account_id: str) -> Iterator[Any]:
        """(order_id, instance_id, symbol, trade_id, side, price, quantity, fee, fee_asset)."""
        row = FillRow
        return self._each(
            select(
                row.order_id,
                row.instance_id,
                row.symbol,
                row.trade_id,
                row.side,
                row.price,
                row.quantity,
                row.fee,
                row.fee_asset,
            ).where(row.account_id == account_id)
        )

    def postings(self, account_id: str) -> Iterator[Any]:
        """(txn_id, instance_id, book, asset, amount, kind)."""
        row = PostingRow
        return self._each(
            select(row.txn_id, row.instance_id, row.book, row.asset, row.amount, row.kind).where(
                row.account_id == account_id
            )
        )

    def positions(self, account_id: str) -> Sequence[PositionRow]:
        """Every position of an account, flat ones too."""
        return self._session.scalars(
            select(PositionRow).where(PositionRow.account_id == account_id)
        ).all()

    def balances(self, account_id: str) -> Sequence[BalanceRow]:
        """Every balance of an account."""
        return self._session.scalars(
            select(BalanceRow).where(BalanceRow.account_id == account_id)
        ).all()

    def stuck_orders(self, before_ms: int) -> Sequence[OrderRow]:
        """Orders that a worker must look at, due and untouched since before a time."""
        return self._session.scalars(
            select(OrderRow).where(
                OrderRow.status.in_(UNSETTLED),
                OrderRow.not_before < before_ms,
                OrderRow.updated_at < before_ms,
            )
        ).all()

    def stuck_signals(self, before_ms: int) -> Sequence[SignalRow]:
        """Signals that nobody has judged since before a time."""
        return self._session.scalars(
            select(SignalRow).where(SignalRow.status == "new", SignalRow.created_at < before_ms)
        ).all()

    def stuck_jobs(self, before_ms: int) -> Sequence[JobRow]:
        """Jobs that are due and that no living worker holds, since before a time."""
        return self._session.scalars(
            select(JobRow).where(
                JobRow.state.in_(("queued", "running")),
                JobRow.not_before < before_ms,
                JobRow.lease_until < before_ms,
                JobRow.created_at < before_ms,
            )
        ).all()

    def unsent_events(self, before_ms: int) -> Sequence[OutboxRow]:
        """The first events, written before a time, that the bus does not have."""
        return self._session.scalars(
            select(OutboxRow)
            .where(OutboxRow.sent_at == 0, OutboxRow.created_at < before_ms)
            .order_by(OutboxRow.id)
            .limit(10)
        ).all()

    def last_event(self, topic: str) -> OutboxRow | None:
        """The latest event of a topic that is still kept."""
        return self._session.scalars(
            select(OutboxRow).where(OutboxRow.topic == topic).order_by(OutboxRow.id.desc()).limit(1)
        ).one_or_none()

    def last_event_id(self) -> int:
        """Id of the latest event that is kept; 0 for none."""
        return self._session.scalars(select(func.max(OutboxRow.id))).one() or 0

    def alerts(self, since_id: int = 0) -> Sequence[OutboxRow]:
        """Alarm events after an id, oldest first."""
        return self._session.scalars(
            select(OutboxRow)
            .where(OutboxRow.id > since_id, OutboxRow.topic.like("risk.alert.%"))
            .order_by(OutboxRow.id)
        ).all()

    def klines(self, series_id: int) -> Iterator[Any]:
        """Every bar of a series by time, as ``KlineRow`` has its fields."""
        return self._each(bars_of(series_id))

    def _each(self, statement: Any) -> Iterator[Any]:
        return iter(self._session.execute(statement.execution_options(yield_per=_AT_ONCE)))
