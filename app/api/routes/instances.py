"""Strategy instances and what they did."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.dependencies import App, Cursor, IdPath, Limit, Principal
from app.api.guard import GuardedRoute
from app.api.openapi import problems
from app.schemas.accounts import EquityPoint
from app.schemas.common import Listing, listing
from app.schemas.risk import Decision
from app.schemas.strategies import Instance, InstanceDetail, NewInstance, Quota, Signal
from app.services.strategies.instances import NewInstance as InstanceOrder

router = APIRouter(prefix="/api/v1/instances", tags=["strategies"], route_class=GuardedRoute)


@router.post(
    "", status_code=201, summary="Create an instance", responses=problems(404, 409, 503, body=True)
)
def create_instance(body: NewInstance, app: App, _: Principal, response: Response) -> Instance:
    """Creates a strategy instance; it does nothing until it is started."""
    row = app.instances.create(
        InstanceOrder(
            name=body.name,
            strategy=body.strategy,
            account=body.account,
            symbols=tuple(body.symbols),
            interval=body.interval,
            capital=body.capital,
            compounding=body.compounding,
            params=body.params,
            max_position=body.max_position,
            max_orders_per_day=body.max_orders_per_day,
        )
    )
    response.headers["Location"] = f"/api/v1/instances/{row.id}"
    return Instance.of(row)


@router.get("", summary="List instances", responses=problems())
def list_instances(
    app: App, _: Principal, limit: Limit = 100, cursor: Cursor = None
) -> Listing[Instance]:
    """Instances of strategies, newest first."""
    page = app.instances.page(limit, cursor)
    return listing(page.rows, Instance.of, page.next_cursor)


@router.get("/{instance_id}", summary="Get an instance", responses=problems(404))
def get_instance(instance_id: IdPath, app: App, _: Principal) -> InstanceDetail:
    """An instance with its strategy's name and its quota."""
    view = app.listings.instance(instance_id)
    return InstanceDetail(
        **Instance.of(view.row).model_dump(),
        strategy=view.strategy,
        quota=None if view.quota is None else Quota.of(view.quota),
    )


@router.post("/{instance_id}/start", summary="Start an instance", responses=problems(404, 409, 503))
def start_instance(instance_id: IdPath, app: App, _: Principal) -> Instance:
    """Starts at the market's present bar; a stopped instance begins a new run."""
    return Instance.of(app.instances.start(instance_id))


@router.post("/{instance_id}/stop", summary="Stop an instance", responses=problems(404))
def stop_instance(instance_id: IdPath, app: App, _: Principal) -> Instance:
    """Stops, and cancels its working orders; its position stays."""
    return Instance.of(app.instances.stop(instance_id))


@router.get("/{instance_id}/signals", summary="List signals", responses=problems(404))
def list_signals(
    instance_id: IdPath, app: App, _: Principal, limit: Limit = 100, cursor: Cursor = None
) -> Listing[Signal]:
    """Intents of an instance, newest first."""
    page = app.listings.signals(instance_id, limit, cursor)
    return listing(page.rows, Signal.of, page.next_cursor)


@router.get(
    "/{instance_id}/decisions", summary="List an instance's decisions", responses=problems(404)
)
def list_instance_decisions(
    instance_id: IdPath, app: App, _: Principal, limit: Limit = 100, cursor: Cursor = None
) -> Listing[Decision]:
    """What the gate said of its intents, newest first."""
    page = app.listings.decisions(limit, cursor, instance_id)
    return listing(page.rows, Decision.of, page.next_cursor)


@router.get("/{instance_id}/equity", summary="List equity snapshots", responses=problems(404))
def list_equity(
    instance_id: IdPath,
    app: App,
    _: Principal,
    limit: Annotated[int, Query(ge=1, le=5000, description="the latest so many")] = 500,
) -> Listing[EquityPoint]:
    """The instance's worth by market time, newest first."""
    return listing(app.listings.equity(instance_id, limit), EquityPoint.of)
