"""Jobs: those that are free, that wait, that have ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, or_, select, update

from app.models import BacktestRow, JobRow
from app.repositories.base import KeyedRepository

LIVE_STATES = ("queued", "running")


class JobRepository(KeyedRepository[JobRow]):
    """Jobs by id, by purpose, and those that wait for a worker."""

    model = JobRow
    key = JobRow.id
    noun = "job"

    def live_with(self, dedupe_key: str) -> JobRow | None:
        """The queued or running job of that purpose, or None."""
        return self._session.scalars(
            select(JobRow).where(JobRow.dedupe_key == dedupe_key)
        ).one_or_none()

    def any_live(self, purpose_begins: str) -> bool:
        """Whether a live job has a purpose that begins so."""
        found = self._session.scalars(
            select(JobRow.id)
            .where(JobRow.dedupe_key.startswith(purpose_begins, autoescape=True))
            .limit(1)
        )
        return found.one_or_none() is not None

    def due(self, now_ms: int, limit: int = 100) -> Sequence[JobRow]:
        """Live jobs that nobody works on and whose time has come, most urgent first.

        A job that is to be cancelled has no time to wait for.
        """
        return self._session.scalars(
            select(JobRow)
            .where(
                JobRow.state.in_(LIVE_STATES),
                or_(
                    JobRow.cancel_requested,
                    and_(JobRow.paused.is_(False), JobRow.not_before <= now_ms),
                ),
                JobRow.lease_until <= now_ms,
            )
            .order_by(JobRow.priority, JobRow.created_at)
            .limit(limit)
        ).all()

    def worked_on(self, kind: str, now_ms: int) -> Sequence[JobRow]:
        """Jobs of a kind that somebody works on now."""
        return self._session.scalars(
            select(JobRow).where(
                JobRow.kind == kind, JobRow.state == "running", JobRow.lease_until > now_ms
            )
        ).all()

    def failed(self, kind: str, since_ms: int) -> list[tuple[dict[str, Any], int]]:
        """Parameters of the jobs of a kind that failed and were made since then, and when, the
        oldest first."""
        rows = self._session.execute(
            select(JobRow.params, JobRow.created_at)
            .where(JobRow.kind == kind, JobRow.created_at >= since_ms, JobRow.state == "failed")
            .order_by(JobRow.created_at)
        )
        return [(params, created_at) for params, created_at in rows]

    def free_leases(self) -> None:
        """End the leases of all live jobs."""
        self._session.execute(
            update(JobRow)
            .where(JobRow.state.in_(LIVE_STATES), JobRow.lease_until > 0)
            .values(lease_owner=None, lease_until=0)
        )

    def prune(self, ended_before_ms: int, limit: int = 1_000) -> int:
        """Delete jobs that ended before a time, those apart that a backtest came of; how many.

        Args:
            limit: no more than so many.
        """
        ended = select(JobRow.id).where(
            JobRow.state.not_in(LIVE_STATES),
            JobRow.finished_at < ended_before_ms,
            JobRow.id.not_in(select(BacktestRow.job_id)),
        )
        ids = self._session.scalars(ended.limit(limit)).all()
        if ids:
            self._session.execute(delete(JobRow).where(JobRow.id.in_(ids)))
        return len(ids)

    def free(self, job_id: str, owner: str, now_ms: int) -> JobRow | None:
        """A live job that nobody else works on, locked; None where there is none."""
        job = self._session.scalars(
            select(JobRow)
            .where(JobRow.id == job_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).one_or_none()
        if job is None or job.state not in LIVE_STATES:
            return None
        return None if job.lease_until > now_ms and job.lease_owner != owner else job
