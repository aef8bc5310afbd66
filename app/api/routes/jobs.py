"""Jobs."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from app.api.dependencies import App, Cursor, IdPath, Limit, Principal
from app.api.guard import GuardedRoute
from app.api.openapi import problems
from app.schemas.common import Listing, listing
from app.schemas.jobs import Job

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], route_class=GuardedRoute)

Kind = Annotated[
    Literal["collection", "verification", "import", "backtest"] | None,
    Query(description="only this kind"),
]


@router.get("", summary="List jobs", responses=problems())
def list_jobs(
    app: App, _: Principal, kind: Kind = None, limit: Limit = 100, cursor: Cursor = None
) -> Listing[Job]:
    """Jobs, newest first."""
    page = app.jobs.page(limit, cursor, kind)
    loads = app.job_venues.of_all(page.rows)
    return listing(page.rows, lambda row: Job.of(row, loads.get(row.id)), page.next_cursor)


@router.get("/{job_id}", summary="Get a job", responses=problems(404))
def get_job(job_id: IdPath, app: App, _: Principal) -> Job:
    """A job with its progress, its result or its error, and how its venue stands."""
    row = app.jobs.get(job_id)
    return Job.of(row, app.job_venues.of(row))


@router.post(
    "/{job_id}/cancel", status_code=202, summary="Cancel a job", responses=problems(404, 409)
)
def cancel_job(job_id: IdPath, app: App, _: Principal, response: Response) -> Job:
    """A queued job ends at once, a running one after its slice."""
    response.headers["Location"] = f"/api/v1/jobs/{job_id}"
    return Job.of(app.jobs.cancel(job_id))


@router.post(
    "/{job_id}/pause", status_code=202, summary="Pause a job", responses=problems(404, 409)
)
def pause_job(job_id: IdPath, app: App, _: Principal, response: Response) -> Job:
    """It rests where it is until it is resumed; a running one ends its slice first."""
    response.headers["Location"] = f"/api/v1/jobs/{job_id}"
    return Job.of(app.jobs.pause(job_id))


@router.post(
    "/{job_id}/resume", status_code=202, summary="Resume a job", responses=problems(404, 409)
)
def resume_job(job_id: IdPath, app: App, _: Principal, response: Response) -> Job:
    """It goes on at once, be it paused or waiting for its time."""
    response.headers["Location"] = f"/api/v1/jobs/{job_id}"
    return Job.of(app.jobs.resume(job_id))


@router.post(
    "/{job_id}/retry", status_code=202, summary="Try a job again", responses=problems(404, 409)
)
def retry_job(job_id: IdPath, app: App, _: Principal, response: Response) -> Job:
    """A new job for what a failed or cancelled one was to do; it goes on where that ended."""
    job = Job.of(app.jobs.retry(job_id))
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return job
