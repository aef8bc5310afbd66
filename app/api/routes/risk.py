"""Halts, limits, and what the gate decided."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.dependencies import App, Cursor, InstanceQuery, Limit, Principal
from app.api.guard import GuardedRoute
from app.api.openapi import problems
from app.core.money import canonical
from app.schemas.common import Listing, listing
from app.schemas.risk import Decision, Halt, NewHalt, NewRule, Resume, Resumed, Rule

router = APIRouter(prefix="/api/v1/risk", tags=["risk"], route_class=GuardedRoute)


@router.post("/halt", status_code=201, summary="Halt trading", responses=problems(404, body=True))
def halt_trading(body: NewHalt, app: App, principal: Principal) -> Halt:
    """Stops new orders of a scope at once. A scope that is halted already stays as it is."""
    return Halt.of(app.risk.halt(body.scope, body.reason, f"api:{principal}"))


@router.post("/resume", summary="Resume trading", responses=problems(body=True))
def resume_trading(body: Resume, app: App, principal: Principal) -> Resumed:
    """Lifts the halts of exactly this scope."""
    return Resumed(scope=body.scope, lifted=app.risk.resume(body.scope, f"api:{principal}"))


@router.get("/halts", summary="List halts in force", responses=problems())
def list_halts(app: App, _: Principal) -> Listing[Halt]:
    """Halts that are not lifted, oldest first."""
    return listing(app.risk.halts(), Halt.of)


@router.get("/rules", summary="List limits", responses=problems())
def list_rules(app: App, _: Principal) -> Listing[Rule]:
    """Every limit, those switched off included."""
    return listing(app.risk.rules(), Rule.of)


@router.put("/rules", summary="Set a limit", responses=problems(404, body=True))
def set_rule(body: NewRule, app: App, _: Principal) -> Rule:
    """Sets the limit of one kind and scope; there is one of each, and its version grows."""
    params = {name: canonical(value) for name, value in body.params.items()}
    return Rule.of(app.risk.set_rule(body.kind, body.scope, params, enabled=body.enabled))


@router.get("/decisions", summary="List risk decisions", responses=problems(404))
def list_decisions(
    app: App,
    _: Principal,
    instance: InstanceQuery = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Listing[Decision]:
    """What the gate said of each intent, newest first."""
    page = app.listings.decisions(limit, cursor, instance)
    return listing(page.rows, Decision.of, page.next_cursor)
