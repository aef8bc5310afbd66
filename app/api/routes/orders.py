"""Orders by hand, and all orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from app.api.dependencies import (
    AccountQuery,
    App,
    Cursor,
    IdPath,
    InstanceQuery,
    Limit,
    Principal,
)
from app.api.guard import GuardedRoute
from app.api.openapi import problems
from app.api.problems import ApiProblem
from app.core.errors import InvalidInput
from app.core.money import canonical
from app.core.orders.types import OrderType, Side, TimeInForce
from app.core.risk.words import denial_words
from app.models import RiskDecisionRow
from app.schemas.accounts import Fill
from app.schemas.common import Listing, listing
from app.schemas.orders import (
    KEY_PATTERN,
    NewOrder,
    Order,
    OrderEvent,
    OrderReceipt,
    OrderWithEvents,
)
from app.services.orders.intake import ManualOrder

router = APIRouter(prefix="/api/v1", tags=["orders"], route_class=GuardedRoute)

IdempotencyKey = Annotated[
    str | None,
    Header(
        description="the same key never makes a second order",
        pattern=KEY_PATTERN,
        examples=["5f0c9a52-7f0e-4a6e-9b7e-0d0c64a3a1de"],
    ),
]
_REPLAYED = {"Idempotency-Replayed": "true"}
_RECEIPT_HEADERS: dict[str, Any] = {
    "Location": {"description": "the order", "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "`true` where the key was used before: nothing was done",
        "schema": {"type": "string"},
    },
}


@router.post(
    "/orders",
    status_code=201,
    summary="Place an order by hand",
    responses={
        201: {"headers": _RECEIPT_HEADERS},
        **problems(404, 409, 503, body=True),
    },
)
def create_order(
    body: NewOrder,
    app: App,
    _: Principal,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> OrderReceipt:
    """Takes an order to the risk gate; where it passes it is committed and then sent.

    A refusal is a 422 `risk-denied` with the rule and its figures, or a 409 `trading-halted`.
    """
    if idempotency_key is None:
        raise ApiProblem(
            "missing-idempotency-key",
            "send an Idempotency-Key header: with it, a repeated request makes no second order",
        )
    account_id = app.accounts.get(body.account).id
    known = app.listings.manual_decision(account_id, idempotency_key)
    if known is not None and known.inputs.get("time_in_force") != body.time_in_force:
        raise InvalidInput(
            "this idempotency key was used for another order; use a new key",
            code="idempotency-mismatch",
        )
    decision, order = app.intake.submit_order(_manual(body, account_id, idempotency_key))
    headers = {} if known is None else _REPLAYED
    if order is None:
        raise _refusal(decision, headers)
    response.headers.update({"Location": f"/api/v1/orders/{order.order_id}", **headers})
    return OrderReceipt.of(order)


@router.get("/orders", summary="List orders", responses=problems(404))
def list_orders(
    app: App,
    _: Principal,
    account: AccountQuery = None,
    instance: InstanceQuery = None,
    open_only: Annotated[bool, Query(alias="open", description="only those under way")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Listing[Order]:
    """Orders by hand and of strategies, newest first."""
    page = app.listings.orders(
        limit, cursor, account=account, instance_id=instance, open_only=open_only
    )
    return listing(page.rows, Order.of, page.next_cursor)


@router.get("/orders/{order_id}", summary="Get an order", responses=problems(404))
def get_order(order_id: IdPath, app: App, _: Principal) -> OrderWithEvents:
    """An order and every step of its life."""
    row, events = app.listings.order(order_id)
    known = Order.of(row).model_dump()
    return OrderWithEvents(**known, events=[OrderEvent.of(event) for event in events])


@router.get("/orders/{order_id}/fills", summary="List an order's fills", responses=problems(404))
def list_order_fills(order_id: IdPath, app: App, _: Principal) -> Listing[Fill]:
    """Trades of one order by time."""
    app.listings.order(order_id)
    return listing(app.listings.order_fills(order_id), Fill.of)


@router.delete(
    "/orders/{order_id}",
    status_code=202,
    summary="Cancel an order",
    responses=problems(404, 409),
)
def cancel_order(order_id: IdPath, app: App, _: Principal, response: Response) -> Order:
    """Asks for an order to be taken back. Cancels pass every halt and limit.

    An order whose outcome is unknown keeps the wish until it is known.
    """
    return _cancelled(app, order_id, response)


@router.post(
    "/orders/{order_id}/cancel",
    status_code=202,
    summary="Cancel an order (as a POST)",
    responses=problems(404, 409),
)
def request_cancel(order_id: IdPath, app: App, _: Principal, response: Response) -> Order:
    """The same as DELETE, for clients that cannot send one."""
    return _cancelled(app, order_id, response)


def _cancelled(app: App, order_id: str, response: Response) -> Order:
    row = app.canceller.request(order_id)
    response.headers["Location"] = f"/api/v1/orders/{order_id}"
    return Order.of(row)


def _manual(body: NewOrder, account_id: str, key: str) -> ManualOrder:
    return ManualOrder(
        account_id=account_id,
        symbol=body.symbol,
        side=Side(body.side),
        type=OrderType(body.type),
        # In canonical form: "0.10" under the same key is the same order as "0.1".
        quantity=Decimal(canonical(body.quantity)),
        limit_price=None if body.limit_price is None else Decimal(canonical(body.limit_price)),
        time_in_force=TimeInForce(body.time_in_force),
        idempotency_key=key,
        tag=body.tag,
    )


def _refusal(decision: RiskDecisionRow, headers: dict[str, str]) -> ApiProblem:
    halted = decision.reason.startswith("TRADING_HALTED")
    return ApiProblem(
        "trading-halted" if halted else "risk-denied",
        "trading is halted; cancels still pass"
        if halted
        else f"the risk gate refused the order: {denial_words(decision.reason)}",
        status=409 if halted else 422,
        headers=headers,
        rule=decision.rule,
        reason=decision.reason,
        decision_id=decision.id,
    )
