"""Backtests."""

from __future__ import annotations

from sqlalchemy import select

from app.models import BacktestRow
from app.repositories.base import KeyedRepository


class BacktestRepository(KeyedRepository[BacktestRow]):
    """Backtests by id and by job."""

    model = BacktestRow
    key = BacktestRow.id
    noun = "backtest"

    def of_job(self, job_id: str) -> BacktestRow | None:
        """The backtest that a job runs, or None."""
        return self._session.scalars(
            select(BacktestRow).where(BacktestRow.job_id == job_id)
        ).one_or_none()
