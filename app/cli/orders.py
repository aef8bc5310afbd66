"""``tidemark order``: orders by hand, through the same gate as every strategy's."""

from __future__ import annotations

import time
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.cli.arguments import Cursor, Limit, Symbol, amount_of, group
from app.cli.output import Json, emit, facts, note, percent, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from app.cli.session import Session
    from app.models import FillRow, OrderRow
    from app.schemas.orders import Order

app = group("Orders: place by hand, cancel, list, show.")


class Side(StrEnum):
    """Direction."""

    BUY = "buy"
    SELL = "sell"


class Kind(StrEnum):
    """Order type."""

    MARKET = "market"
    LIMIT = "limit"


class Tif(StrEnum):
    """Time in force."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


# How long `place` waits for the exchange's word beside a runtime, and how often it looks.
_ANSWER_S: Final = 3.0
_POLL_S: Final = 0.05
OrderId = Annotated[str, typer.Argument(help="The order's id.")]


@app.command("place")
def place_order(
    side: Annotated[Side, typer.Argument(help="buy or sell.")],
    quantity: Annotated[str, typer.Argument(help="Base units, as in 0.015.")],
    symbol: Symbol,
    account: Annotated[str, typer.Option("--account", "-a", help="The account's name or id.")],
    kind: Annotated[Kind, typer.Option("--type", help="A limit order needs --price.")] = (
        Kind.MARKET
    ),
    price: Annotated[str, typer.Option("--price", help="Limit price in quote units.")] = "",
    tif: Annotated[Tif, typer.Option("--tif", help="Time in force.")] = Tif.GTC,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Idempotency key: repeated, it makes no second order."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Place an order by hand. It passes the risk gate first."""
    from app.cli.session import session
    from app.core.errors import Conflict
    from app.core.orders.types import OrderStatus, OrderType, TimeInForce
    from app.core.orders.types import Side as OrderSide
    from app.core.risk.words import denial_words
    from app.schemas.orders import Order
    from app.services.orders.intake import ManualOrder

    amount = amount_of("quantity", quantity)
    limit = amount_of("--price", price) if price else None
    with session() as here:
        manual = ManualOrder(
            account_id=here.container.accounts.get(account).id,
            symbol=symbol,
            side=OrderSide(side),
            type=OrderType(kind),
            quantity=amount,
            limit_price=limit,
            time_in_force=TimeInForce(tif),
            # An empty one is refused: a script whose variable is unset meant to be safe.
            idempotency_key=here.container.ids.new() if key is None else key,
        )
        decision, row = here.container.intake.submit_order(manual)
        if row is None:
            raise Conflict(
                f"the risk gate refused the order: {denial_words(decision.reason)}",
                code="risk-denied",
            )
        row = _send(here, row)
        if row.status == OrderStatus.REJECTED:
            raise Conflict(f"the exchange refused the order: {row.reason}", code="venue-rejected")
        order = Order.of(row)
        fills = here.listings.order_fills(row.order_id)
    emit(as_json, order, lambda out: _print_answer(out, order, fills))


@app.command("cancel")
def cancel_order(order_id: OrderId, as_json: Json = False) -> None:
    """Take an order back. Cancels pass every halt and limit."""
    from app.cli.session import session
    from app.core.orders.types import OrderStatus
    from app.schemas.orders import Order

    with session() as here:
        row = here.container.canceller.request(order_id)
        if here.works_alone and row.status == OrderStatus.PENDING_CANCEL:
            here.container.canceller.cancel(order_id)
        order = Order.of(here.listings.order(order_id)[0])
    emit(as_json, order, lambda out: out.print(f"Order {order.order_id} is {order.status}."))


@app.command("list")
def list_orders(
    account: Annotated[str, typer.Option("--account", "-a", help="Only this account.")] = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only orders under way.")] = False,
    limit: Limit = 50,
    cursor: Cursor = "",
    as_json: Json = False,
) -> None:
    """List orders, newest first."""
    from app.cli.session import session
    from app.schemas.common import listing
    from app.schemas.orders import Order

    with session() as here:
        page = here.listings.orders(
            limit, cursor or None, account=account or None, open_only=open_only
        )
    found = listing(page.rows, Order.of, page.next_cursor)
    columns = (
        "created",
        "symbol",
        "side",
        "type",
        "quantity>",
        "price>",
        "filled>",
        "status",
        "id",
    )
    rows = (
        [
            each.created_at,
            each.symbol,
            each.side,
            each.type,
            each.quantity,
            each.limit_price,
            each.filled_quantity,
            each.status,
            each.order_id,
        ]
        for each in found.data
    )
    emit(as_json, found, lambda out: table(out, columns, rows, "No order."))


@app.command("show")
def show_order(order_id: OrderId, as_json: Json = False) -> None:
    """Show an order, every step of its life, and its fills."""
    from app.cli.session import session
    from app.schemas.accounts import Fill
    from app.schemas.orders import Order, OrderEvent

    with session() as here:
        row, steps = here.listings.order(order_id)
        fills = [Fill.of(each) for each in here.listings.order_fills(order_id)]
    order = Order.of(row).model_dump()
    events = [OrderEvent.of(each) for each in steps]

    def human(out: Console) -> None:
        _print_order(out, order)
        rows = ([each.seq, each.at, each.kind, each.to_status, each.data] for each in events)
        table(out, ("#>", "at", "event", "status", "data"), rows, "No event.")
        trades = ([each.at, each.price, each.quantity, each.fee, each.fee_asset] for each in fills)
        table(out, ("at", "price>", "quantity>", "fee>", "asset"), trades, "No fill.")

    document = {
        **order,
        "events": [each.model_dump(mode="json") for each in events],
        "fills": [each.model_dump(mode="json") for each in fills],
    }
    emit(as_json, document, human)


def _send(here: Session, row: OrderRow) -> OrderRow:
    """Send an order here where no runtime will, or wait for it; the order afterwards."""
    if here.works_alone:
        here.container.sender.send(row.order_id)
        row = here.listings.order(row.order_id)[0]
        if row.status == "unknown":
            note("the exchange's answer was lost; `tidemark up` finds out what became of it")
        return row
    over = time.monotonic() + _ANSWER_S
    while not _is_answered(row) and time.monotonic() < over:
        time.sleep(_POLL_S)
        row = here.listings.order(row.order_id)[0]
    return row


def _is_answered(row: OrderRow) -> bool:
    """Whether the exchange has said what there is to say: it has ended, or it rests there."""
    from app.core.orders.state import FINAL, WORKING

    return row.status in FINAL or (row.time_in_force == Tif.GTC and row.status in WORKING)


def _print_answer(out: Console, order: Order, fills: Sequence[FillRow]) -> None:
    """What became of an order so far, in a few lines."""
    from app.core.money import canonical

    fees: dict[str, Decimal] = {}
    for fill in fills:
        fees[fill.fee_asset] = fees.get(fill.fee_asset, Decimal(0)) + fill.fee
    told = {
        "order": f"{order.side} {order.quantity} {order.symbol}, {order.type}",
        "status": _status_words(order),
        "filled": f"{order.filled_quantity} of {order.quantity}",
        "average price": order.average_price,
        "fee": ", ".join(f"{canonical(fee)} {asset}" for asset, fee in fees.items()),
        "more": f"tidemark order show {order.order_id}",
    }
    facts(out, ((name, value) for name, value in told.items() if value not in (None, "")))


def _status_words(order: Order) -> str:
    """The status, and what it means where the order has not ended."""
    from app.core.orders.state import WORKING

    if order.status in WORKING:
        return f"{order.status}: it is open at the exchange"
    if order.status == "unknown":
        return f"{order.status}: the exchange's answer was lost, and it is asked"
    if order.status in ("new", "sending"):
        return f"{order.status}: no word of the exchange yet; it may be sent until " + (
            order.valid_until
        )
    return order.status


def _print_order(out: Console, order: dict[str, Any]) -> None:
    said = {**order, "reserve_buffer": percent(Decimal(order["reserve_buffer"]))}
    said = {("may be sent until" if name == "valid_until" else name): said[name] for name in said}
    facts(out, ((name, value) for name, value in said.items() if value not in (None, "")))
