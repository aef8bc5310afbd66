"""Collection plans."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.dependencies import App, Cursor, IdPath, Limit, Principal
from app.api.guard import GuardedRoute
from app.api.openapi import problems
from app.models import CollectionPlanRow
from app.schemas.common import Listing, listing
from app.schemas.jobs import Job, StartedJobs
from app.schemas.market import NewPlan, Plan

router = APIRouter(prefix="/api/v1/plans", tags=["market data"], route_class=GuardedRoute)


@router.post(
    "",
    status_code=201,
    summary="Create a collection plan",
    responses=problems(409, 502, 503, body=True),
)
def create_plan(body: NewPlan, app: App, _: Principal, response: Response) -> Plan:
    """Says what to keep complete; an enabled plan is followed from then on.

    Symbols that do not trade are skipped until they do; a plan of nothing else is refused.
    """
    row = app.collection.plans.create(
        name=body.name,
        exchange=body.exchange,
        symbols=body.symbols,
        intervals=body.intervals,
        since_ms=body.since,
        kind=body.kind,
        selection=body.selection(),
        after=body.after,
        extras=body.extras,
        priority=body.priority,
        enabled=body.enabled,
    )
    response.headers["Location"] = f"/api/v1/plans/{row.id}"
    return _shown(app, row)


@router.get("", summary="List collection plans", responses=problems())
def list_plans(app: App, _: Principal, limit: Limit = 100, cursor: Cursor = None) -> Listing[Plan]:
    """Plans, newest first."""
    page = app.collection.plans.page(limit, cursor)
    skipped, full = app.collection.plans.skipped(page.rows), app.collection.plans.full(page.rows)
    return listing(page.rows, lambda row: Plan.of(row, skipped, full), page.next_cursor)


@router.get("/{plan_id}", summary="Get a collection plan", responses=problems(404))
def get_plan(plan_id: IdPath, app: App, _: Principal) -> Plan:
    """One plan."""
    return _shown(app, app.collection.plans.get(plan_id))


@router.post("/{plan_id}/enable", summary="Enable a plan", responses=problems(404))
def enable_plan(plan_id: IdPath, app: App, _: Principal) -> Plan:
    """Follow it again."""
    return _shown(app, app.collection.plans.enable(plan_id, True))


@router.post("/{plan_id}/disable", summary="Disable a plan", responses=problems(404))
def disable_plan(plan_id: IdPath, app: App, _: Principal) -> Plan:
    """Follow it no more; its jobs end at their next slice, and what is stored stays."""
    return _shown(app, app.collection.plans.enable(plan_id, False))


@router.delete("/{plan_id}", status_code=204, summary="Delete a plan", responses=problems(404))
def delete_plan(plan_id: IdPath, app: App, _: Principal) -> None:
    """Deletes a plan; what it collected stays."""
    app.collection.plans.delete(plan_id)


@router.post(
    "/{plan_id}/collect",
    status_code=202,
    summary="Start collection",
    responses=problems(404, 409, 503),
)
def collect_plan(
    plan_id: IdPath,
    app: App,
    _: Principal,
    response: Response,
    heal: Annotated[
        bool, Query(description="ask at once also for what was asked for in vain")
    ] = False,
) -> StartedJobs:
    """One job for each series that lacks any bar; a series that has one keeps it."""
    jobs = app.collection.start(plan_id, heal=heal)
    path = f"/api/v1/jobs/{jobs[0].id}" if len(jobs) == 1 else "/api/v1/jobs?kind=collection"
    response.headers["Location"] = path
    return StartedJobs(jobs=[Job.of(row) for row in jobs])


def _shown(app: App, row: CollectionPlanRow) -> Plan:
    return Plan.of(row, app.collection.plans.skipped([row]), app.collection.plans.full([row]))
