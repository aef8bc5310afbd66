"""Health, readiness, and what this installation is."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from app.api.dependencies import App, Principal
from app.api.guard import GuardedRoute, OpenRoute
from app.api.openapi import open_problems, problems
from app.api.problems import problem_response
from app.core.exchanges.factory import VENUES
from app.core.market.intervals import INTERVALS
from app.schemas.system import CheckResult, Health, Meta, Readiness
from app.schemas.times import rfc3339
from app.services.doctor import as_json, examine

router = APIRouter(tags=["system"], route_class=OpenRoute)
guarded = APIRouter(prefix="/api/v1", tags=["system"], route_class=GuardedRoute)

_OK: Literal["ok"] = "ok"


@router.get("/health", summary="Whether the process lives", responses=open_problems())
def get_health(app: App) -> Health:
    """Answers without looking at anything else."""
    return Health(status=_OK, version=app.version)


@router.get(
    "/ready",
    summary="Whether requests can be served",
    response_model=Readiness,
    responses=open_problems(503),
)
def get_readiness(app: App, request: Request) -> Readiness | JSONResponse:
    """Looks at the database, its schema, the broker and the disk."""
    findings = examine(app.readiness)
    failed = [finding for finding in findings if not finding.ok]
    if failed:
        return problem_response(
            503,
            "not-ready",
            "; ".join(f"{finding.component}: {finding.detail}" for finding in failed),
            request.state.trace_id,
            headers={"Retry-After": "5"},
            checks=as_json(findings),
        )
    checks = [
        CheckResult(component=finding.component, ok=finding.ok, detail=finding.detail)
        for finding in findings
    ]
    return Readiness(status="ready", checks=checks)


@guarded.get("/meta", summary="What this installation is", responses=problems())
def get_meta(app: App, _: Principal) -> Meta:
    """Version, environment, reporting currency, exchanges and intervals."""
    return Meta(
        version=app.version,
        environment=app.environment,
        reporting_currency=app.reporting_currency,
        exchanges=list(VENUES),
        intervals=list(INTERVALS),
        now=rfc3339(app.clock.now_ms()),
    )
