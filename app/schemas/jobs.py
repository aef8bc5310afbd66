"""Jobs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.core.ports import ALWAYS
from app.models import JobRow
from app.schemas.common import Model, Time, Uid, time_text
from app.schemas.times import rfc3339
from app.services.job_venues import VenueLoad


class JobVenue(Model):
    """How the venue of a job stands: what its requests wait for.

    ETA and rows per second are in the job's progress. The rate counts the time of its requests
    alone; the ETA has in it what the job waits for: the next minute's budget, now and again until
    it is done, a ban, and the gaps and rests of a venue that is treated gently.
    """

    exchange: str = Field(examples=["binance"])
    budget_used: int | None = Field(
        description="request weight used of this minute, by all addresses and processes; null "
        "where another process counts it"
    )
    budget_limit: int = Field(description="weight of a minute, of all addresses", examples=[6000])
    banned_until: Time | None = Field(description="nothing is sent before; null without a ban")
    ban_s: int | None = Field(description="seconds until then")
    is_polite: bool = Field(
        False,
        description="the venue is treated gently: a request in 3 s by each address, and 30 s of "
        "rest after 20",
    )
    polite_until: Time | None = Field(
        None, description="so long after a ban; null too where a setting has it so for good"
    )

    @classmethod
    def of(cls, found: VenueLoad) -> JobVenue:
        """What the service found."""
        return cls(
            exchange=found.exchange,
            budget_used=found.used,
            budget_limit=found.limit,
            banned_until=None if found.banned_until is None else rfc3339(found.banned_until),
            ban_s=found.ban_s,
            is_polite=found.polite_until is not None,
            polite_until=_ends(found.polite_until),
        )


def _ends(at: int | None) -> str | None:
    return None if at is None or at == ALWAYS else rfc3339(at)


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
    venue: JobVenue | None = Field(None, description="of a live job that asks one")

    @classmethod
    def of(cls, row: JobRow, venue: VenueLoad | None = None) -> Job:
        """The job of a row."""
        return cls(
            id=row.id,
            kind=row.kind,
            state=row.state,
            params=row.params,
            progress=row.progress if venue is None else venue.progress_of(row),
            result=row.result,
            error=row.error,
            attempt=row.attempt,
            cancel_requested=row.cancel_requested,
            paused=row.paused,
            not_before=rfc3339(row.not_before) if row.not_before else None,
            created_at=rfc3339(row.created_at),
            started_at=time_text(row.started_at),
            finished_at=time_text(row.finished_at),
            venue=None if venue is None else JobVenue.of(venue),
        )


class StartedJobs(Model):
    """The jobs that a request started; none where nothing was missing."""

    jobs: list[Job]
