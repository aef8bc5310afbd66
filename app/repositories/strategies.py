"""Strategies and their versions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from app.models import StrategyRow, StrategyVersionRow
from app.repositories.base import KeyedRepository


class StrategyRepository(KeyedRepository[StrategyRow]):
    """Strategies by id and name; versions by content."""

    model = StrategyRow
    key = StrategyRow.id
    noun = "strategy"

    def named(self, name: str) -> StrategyRow | None:
        """The strategy of that name, or None."""
        return self._session.scalars(select(StrategyRow).where(StrategyRow.name == name)).first()

    def all(self) -> Sequence[StrategyRow]:
        """Every strategy by name."""
        return self._session.scalars(select(StrategyRow).order_by(StrategyRow.name)).all()

    def version(self, version_id: str) -> StrategyVersionRow | None:
        """The version of that id, or None."""
        return self._session.get(StrategyVersionRow, version_id)

    def version_of(
        self, strategy_id: str, sha256: str, app_version: str
    ) -> StrategyVersionRow | None:
        """The version with that source under that release, or None."""
        return self._session.scalars(
            select(StrategyVersionRow).where(
                StrategyVersionRow.strategy_id == strategy_id,
                StrategyVersionRow.sha256 == sha256,
                StrategyVersionRow.app_version == app_version,
            )
        ).one_or_none()

    def add_version(self, row: StrategyVersionRow) -> StrategyVersionRow:
        """Insert a version."""
        self._session.add(row)
        self._session.flush()
        return row

    def newest_version(self, strategy_id: str) -> StrategyVersionRow | None:
        """The version recorded last, or None."""
        return self._session.scalars(
            select(StrategyVersionRow)
            .where(StrategyVersionRow.strategy_id == strategy_id)
            .order_by(StrategyVersionRow.id.desc())
            .limit(1)
        ).first()
