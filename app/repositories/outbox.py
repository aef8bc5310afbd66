"""Events that wait to be sent."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, func, select, update

from app.models import OutboxRow
from app.repositories.base import Repository
from app.repositories.prepared import Prepared

_MARK_SENT = Prepared(
    update(OutboxRow)
    .where(OutboxRow.id.in_(bindparam("ids", expanding=True)))
    .values(sent_at=bindparam("at")),
    many="ids",
)


class OutboxRepository(Repository):
    """Unsent events in the order they were written."""

    def unsent(self, before_ms: int, limit: int = 500) -> Sequence[OutboxRow]:
        """Events written before a time and not sent, oldest first."""
        return self._session.scalars(
            select(OutboxRow)
            .where(OutboxRow.sent_at == 0, OutboxRow.created_at <= before_ms)
            .order_by(OutboxRow.id)
            .limit(limit)
        ).all()

    def mark_sent(self, ids: Sequence[int], at: int) -> None:
        """Note that events were sent."""
        if ids:
            _MARK_SENT.run(self._session, {"ids": ids, "at": at})

    def backlog(self) -> int:
        """How many events are unsent."""
        return self._session.scalars(
            select(func.count()).select_from(OutboxRow).where(OutboxRow.sent_at == 0)
        ).one()

    def prune(self, sent_before_ms: int) -> None:
        """Delete events that were sent before a time."""
        self._session.execute(
            delete(OutboxRow).where(OutboxRow.sent_at > 0, OutboxRow.sent_at < sent_before_ms)
        )
