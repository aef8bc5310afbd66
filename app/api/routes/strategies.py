"""Strategies."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.api.dependencies import App, Principal
from app.api.guard import FileRoute, GuardedRoute
from app.api.openapi import problems
from app.schemas.common import Listing, listing
from app.schemas.strategies import STRATEGY_PATTERN, NewStrategy, Strategy

router = APIRouter(prefix="/api/v1/strategies", tags=["strategies"], route_class=GuardedRoute)
files = APIRouter(prefix="/api/v1/strategies", tags=["strategies"], route_class=FileRoute)


@router.get("", summary="List strategies", responses=problems())
def list_strategies(app: App, _: Principal) -> Listing[Strategy]:
    """Every strategy by name, with the JSON schema of its parameters."""
    return listing(app.catalogue.all(), Strategy.of)


@router.get("/{name}", summary="Get a strategy", responses=problems(404))
def get_strategy(
    name: Annotated[str, Path(pattern=STRATEGY_PATTERN)], app: App, _: Principal
) -> Strategy:
    """One strategy by its name."""
    return Strategy.of(app.catalogue.get(name))


@files.post("", status_code=201, summary="Add a strategy file", responses=problems(409, body=True))
def add_strategy(body: NewStrategy, app: App, _: Principal, response: Response) -> Strategy:
    """Registers a file of at most 256 KiB, or a new version of it, read in a child process."""
    app.catalogue.add_file(body.name, body.source)
    response.headers["Location"] = f"/api/v1/strategies/{body.name}"
    return Strategy.of(app.catalogue.get(body.name))
