"""Data sources."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.api.dependencies import App, Principal
from app.api.guard import FileRoute, GuardedRoute
from app.api.openapi import problems
from app.schemas.common import Listing, listing
from app.schemas.sources import (
    SOURCE_PATTERN,
    DataSource,
    DataSourceDetail,
    NewDataSource,
    RefusedObservation,
)

_PREFIX = "/api/v1/data-sources"
router = APIRouter(prefix=_PREFIX, tags=["market data"], route_class=GuardedRoute)
files = APIRouter(prefix=_PREFIX, tags=["market data"], route_class=FileRoute)
SourceName = Annotated[str, Path(pattern=SOURCE_PATTERN, description="the source's name")]


@files.post("", status_code=201, summary="Add a data source", responses=problems(409, body=True))
def add_source(body: NewDataSource, app: App, _: Principal, response: Response) -> DataSource:
    """Registers a built-in or a file of at most 256 KiB, or a new version of the one of that name.

    The file is read in a child process; an enabled source is asked from then on.
    """
    row = app.sources.add(body.new())
    response.headers["Location"] = f"{_PREFIX}/{row.name}"
    return DataSource.of(row)


@router.get("", summary="List data sources", responses=problems())
def list_sources(app: App, _: Principal) -> Listing[DataSource]:
    """Every data source by name, and how its last run went."""
    return listing(app.sources.all(), DataSource.of)


@router.get("/{name}", summary="Get a data source", responses=problems(404))
def get_source(name: SourceName, app: App, _: Principal) -> DataSourceDetail:
    """One data source, and the series that came of it."""
    return DataSourceDetail.of_view(app.sources.get(name))


@router.get("/{name}/quarantine", summary="List refused observations", responses=problems(404))
def list_refused(
    name: SourceName, app: App, _: Principal, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[RefusedObservation]:
    """Observations that failed their checks, as they came, with the reason, newest first."""
    return [RefusedObservation.of(row) for row in app.sources.quarantined(name, limit)]


@router.post("/{name}/enable", summary="Enable a data source", responses=problems(404))
def enable_source(name: SourceName, app: App, _: Principal) -> DataSource:
    """Ask it again, from now on."""
    return DataSource.of(app.sources.enable(name, True))


@router.post("/{name}/disable", summary="Disable a data source", responses=problems(404))
def disable_source(name: SourceName, app: App, _: Principal) -> DataSource:
    """Ask it no more; what is stored stays."""
    return DataSource.of(app.sources.enable(name, False))


@router.post("/{name}/run", status_code=202, summary="Run a data source", responses=problems(404))
def run_source(name: SourceName, app: App, _: Principal, response: Response) -> DataSource:
    """Has an enabled source asked now, by a worker; `ran_at` and `result` tell when it was."""
    row = app.sources.request(name)
    response.headers["Location"] = f"{_PREFIX}/{row.name}"
    return DataSource.of(row)


@router.delete("/{name}", status_code=204, summary="Remove a data source", responses=problems(404))
def remove_source(name: SourceName, app: App, _: Principal) -> None:
    """Removes a data source; what it gave stays and can be read."""
    app.sources.remove(name)
