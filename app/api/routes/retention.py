"""How long bars are kept."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.dependencies import App, IdPath, Principal
from app.api.guard import GuardedRoute
from app.api.openapi import problems
from app.schemas.retention import CollectedAgain, Freed, KeepRuleView, NewKeepRule

router = APIRouter(prefix="/api/v1/retention", tags=["market data"], route_class=GuardedRoute)


@router.get("", summary="List retention rules", responses=problems())
def list_retention_rules(app: App, _: Principal) -> list[KeepRuleView]:
    """Without a rule nothing is ever removed."""
    return [KeepRuleView.of(rule) for rule in app.retention.rules()]


@router.post("", summary="Set a retention rule", responses=problems(body=True))
def set_retention_rule(body: NewKeepRule, app: App, _: Principal) -> KeepRuleView:
    """Keeps bars of matching series for so many days; replaces the rule of the same names.

    What is older is removed within minutes, and does not come back by itself: look at the preview
    of what stands, and set what you mean.
    """
    rule = app.retention.set(body.exchange, body.symbol, body.interval, body.keep_days)
    return KeepRuleView.of(rule)


@router.get("/preview", summary="Preview retention", responses=problems())
def preview_retention(app: App, _: Principal) -> list[Freed]:
    """What the rules would remove now, by series."""
    return [Freed.of(each) for each in app.retention.preview()]


@router.post("/collect-again", summary="Collect removed bars again", responses=problems(503))
def collect_removed_again(app: App, _: Principal) -> CollectedAgain:
    """What was removed and no rule removes any more is asked for again by the plans it is in."""
    return CollectedAgain(bars=app.retention.collect_again())


@router.delete(
    "/{rule_id}", status_code=204, summary="Delete a retention rule", responses=problems(404)
)
def delete_retention_rule(rule_id: IdPath, app: App, _: Principal) -> None:
    """Deletes a rule; what it removed stays away."""
    app.retention.remove(rule_id)
