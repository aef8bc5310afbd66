"""Collection plans."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select, update

from app.models import CollectionPlanRow
from app.repositories.base import KeyedRepository


class PlanRepository(KeyedRepository[CollectionPlanRow]):
    """Plans by id and by name."""

    model = CollectionPlanRow
    key = CollectionPlanRow.id
    noun = "collection plan"

    def named(self, name: str) -> CollectionPlanRow | None:
        """The plan of that name, or None."""
        return self._session.scalars(
            select(CollectionPlanRow).where(CollectionPlanRow.name == name)
        ).one_or_none()

    def enabled(self) -> Sequence[CollectionPlanRow]:
        """Enabled plans, most urgent first."""
        return self._session.scalars(
            select(CollectionPlanRow)
            .where(CollectionPlanRow.enabled.is_(True))
            .order_by(CollectionPlanRow.priority, CollectionPlanRow.id)
        ).all()

    def since(self, exchange: str, symbol: str, interval: str, kind: str) -> int | None:
        """From when the first of the enabled plans that keep a series keeps it, ms, or None."""
        row = CollectionPlanRow
        found = self._session.execute(
            select(row.since_ts, row.symbols, row.intervals)
            .where(row.enabled.is_(True), row.exchange == exchange, row.kind == kind)
            .order_by(row.since_ts)
        )
        for since, symbols, intervals in found:
            if symbol in symbols and interval in intervals:
                return int(since)
        return None

    def delete(self, plan_id: str) -> None:
        """Delete a plan; what it collected stays."""
        self._session.execute(delete(CollectionPlanRow).where(CollectionPlanRow.id == plan_id))

    def mark_followed(self, plan_ids: Sequence[str], market_ts: int) -> None:
        """Note up to which market time every series of some plans was asked for."""
        self._session.execute(
            update(CollectionPlanRow)
            .where(CollectionPlanRow.id.in_(plan_ids), CollectionPlanRow.followed_ts < market_ts)
            .values(followed_ts=market_ts)
        )
