"""Jobs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.models import JobRow
from app.schemas.common import Model, Time, Uid, time_text
from app.schemas.times import rfc3339


class Job(Model):
    """Work longer than a request."""

    id: Uid
    kind: str = Field(examples=["collection"])
    state: str = Field(description="queued, running, succeeded, failed or cancelled")
    params: dict[str, Any]
    progress: dict[str, Any] = Field(
        examples=[{"slices_done": 12, "slices_total": 44, "rows": 12000, "eta_s": 3.1}]
    )
    result: dict[str, Any] | None
    error: dict[str, Any] | None = Field(description="code and message")
    attempt: int
    cancel_requested: bool
    paused: bool = Field(description="it rests until it is resumed")
    not_before: Time | None = Field(description="it waits until then")
    created_at: Time
    started_at: Time | None
    finished_at: Time | None

    @classmethod
    def of(cls, row: JobRow) -> Job:
        """The job of a row."""
        return cls(
            id=row.id,
            kind=row.kind,
            state=row.state,
            params=row.params,
            progress=row.progress,
            result=row.result,
            error=row.error,
            attempt=row.attempt,
            cancel_requested=row.cancel_requested,
            paused=row.paused,
            not_before=rfc3339(row.not_before) if row.not_before else None,
            created_at=rfc3339(row.created_at),
            started_at=time_text(row.started_at),
            finished_at=time_text(row.finished_at),
        )


class StartedJobs(Model):
    """The jobs that a request started; none where nothing was missing."""

    jobs: list[Job]
