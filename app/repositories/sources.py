"""Data sources: what is asked, how often, and who asks it now."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select

from app.models import DataSourceRow
from app.repositories.base import KeyedRepository


class DataSourceRepository(KeyedRepository[DataSourceRow]):
    """Data sources by id, by name, and those whose time has come."""

    model = DataSourceRow
    key = DataSourceRow.id
    noun = "data source"

    def all(self) -> Sequence[DataSourceRow]:
        """Every source by name."""
        return self._session.scalars(select(DataSourceRow).order_by(DataSourceRow.name)).all()

    def named(self, name: str) -> DataSourceRow | None:
        """The source of that name, or None."""
        return self._session.scalars(
            select(DataSourceRow).where(DataSourceRow.name == name)
        ).one_or_none()

    def due(self, now_ms: int, limit: int = 100) -> Sequence[DataSourceRow]:
        """Enabled sources that nobody runs and whose time has come, the longest waiting first."""
        row = DataSourceRow
        return self._session.scalars(
            select(row)
            .where(row.enabled.is_(True), row.due_at <= now_ms, row.lease_until <= now_ms)
            .order_by(row.due_at, row.id)
            .limit(limit)
        ).all()

    def delete(self, source_id: str) -> None:
        """Delete a source; what it gave stays."""
        self._session.execute(delete(DataSourceRow).where(DataSourceRow.id == source_id))
