"""``tidemark data plans``: what to keep complete."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.arguments import Cursor, Exchange, Limit, time_of
from app.cli.output import Json, emit, table

if TYPE_CHECKING:
    from rich.console import Console

    from app.cli.session import Session
    from app.models import CollectionPlanRow
    from app.schemas.market import Plan

app = typer.Typer(
    help="Collection plans: list, add, enable, disable, delete.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# More symbols make a table too wide to read.
_NAMED = 5
Name = Annotated[str, typer.Argument(help="The plan's name or id.")]


@app.callback()
def plans(context: typer.Context, as_json: Json = False) -> None:
    """Collection plans; without a command, list them."""
    if context.invoked_subcommand is None:
        list_plans(as_json=as_json)


@app.command("list")
def list_plans(limit: Limit = 50, cursor: Cursor = "", as_json: Json = False) -> None:
    """List plans, newest first."""
    from app.cli.session import session
    from app.schemas.common import listing
    from app.schemas.market import Plan

    with session() as here:
        page = here.container.collection.plans.page(limit, cursor or None)
        skipped = here.container.collection.plans.skipped(page.rows)
        full = here.container.collection.plans.full(page.rows)
    found = listing(page.rows, lambda row: Plan.of(row, skipped, full), page.next_cursor)
    rows = (
        [
            each.name,
            each.exchange,
            _symbols_of(each),
            ", ".join(each.intervals),
            each.since,
            each.enabled,
            each.id,
        ]
        for each in found.data
    )
    columns = ("name", "exchange", "symbols", "intervals", "since", "enabled", "id")

    def human(out: Console) -> None:
        table(out, columns, rows, "No plan.")
        for each in found.data:
            say_skipped(out, each)

    emit(as_json, found, human)


@app.command("add")
def add_plan(
    name: Annotated[str, typer.Argument(help="A name of your own.")],
    interval: Annotated[list[str], typer.Option("--interval", "-i", help="Repeatable.")],
    since: Annotated[str, typer.Option("--since", help="2026-01-01, RFC 3339 or ms (UTC).")],
    symbol: Annotated[list[str], typer.Option("--symbol", "-s", help="Repeatable.")] = [],  # noqa: B006
    pattern: Annotated[
        str, typer.Option("--pattern", help="Symbols by a pattern, as in '*/USDT'.")
    ] = "",
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="Only so many, by turnover of 24 hours.")
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", help="trade, or mark or index of perpetuals.")
    ] = "trade",
    after: Annotated[
        list[str], typer.Option("--after", help="Plans that fill a symbol first. Repeatable.")
    ] = [],  # noqa: B006
    extra: Annotated[
        list[str],
        typer.Option("--extra", help="Of perpetuals: funding, open_interest:1h. Repeatable."),
    ] = [],  # noqa: B006
    exchange: Exchange = "binance",
    priority: Annotated[int, typer.Option("--priority", min=0, max=1000)] = 100,
    as_json: Json = False,
) -> None:
    """Say what to keep complete; a running Tidemark follows it from then on."""
    from app.cli.session import session
    from app.core.errors import InvalidInput
    from app.services.collection.selection import Selection

    chosen = Selection(pattern or "*", top) if pattern or top else None
    since_ms = time_of("--since", since)
    if since_ms is None:
        raise InvalidInput("--since says from when, as in --since 2026-01-01")
    with session() as here:
        row = here.container.collection.plans.create(
            name=name,
            exchange=exchange,
            symbols=symbol,
            intervals=interval,
            since_ms=since_ms,
            kind=kind,
            selection=chosen,
            after=after,
            extras=extra,
            priority=priority,
        )
        made = shown(here, row)

    def human(out: Console) -> None:
        collect = f"tidemark data collect {shlex.quote(made.name)}"
        out.print(f"Plan {made.name}; fill it with: {collect}", markup=False)
        say_skipped(out, made)

    emit(as_json, made, human)


@app.command("enable")
def enable_plan(name: Name, as_json: Json = False) -> None:
    """Follow a plan again."""
    _enable(name, True, as_json)


@app.command("disable")
def disable_plan(name: Name, as_json: Json = False) -> None:
    """Follow a plan no more; what is stored stays."""
    _enable(name, False, as_json)


@app.command("delete")
def delete_plan(name: Name, as_json: Json = False) -> None:
    """Delete a plan; what it collected stays."""
    from app.cli.session import session

    with session() as here:
        row = plan_of(here, name)
        here.container.collection.plans.delete(row.id)
    emit(as_json, {"deleted": row.id}, lambda out: out.print(f"Plan {row.name} is deleted."))


def _symbols_of(plan: Plan) -> str:
    """Few by name, many by their number, chosen ones by how."""
    how = f" ({plan.pattern}{f', top {plan.top}' if plan.top else ''})" if plan.pattern else ""
    if len(plan.symbols) > _NAMED:
        return f"{len(plan.symbols)} symbols{how}"
    return ", ".join(plan.symbols) + how


def say_skipped(out: Console, plan: Plan) -> None:
    """Say which symbols of a plan are not collected, and why; and whether it takes in no more."""
    if plan.full is not None:
        out.print(f"{plan.full}.", markup=False)
    for each in plan.skipped:
        out.print(f"{plan.name} skips {each.symbol}, {each.reason}.")


def shown(here: Session, row: CollectionPlanRow) -> Plan:
    """A plan as it is shown, with what it skips."""
    from app.schemas.market import Plan

    plans_ = here.container.collection.plans
    return Plan.of(row, plans_.skipped([row]), plans_.full([row]))


def plan_of(here: Session, name: str) -> CollectionPlanRow:
    """The plan of a name or id.

    Raises:
        NotFound: there is none.
    """
    from app.core.errors import NotFound

    plans_ = here.container.collection.plans
    try:
        return plans_.named(name) or plans_.get(name)
    except NotFound:
        raise NotFound(
            f"no collection plan has the name or id {name[:64]!r}; see: tidemark data plans list"
        ) from None


def _enable(name: str, enabled: bool, as_json: bool) -> None:
    from app.cli.session import session

    with session() as here:
        row = plan_of(here, name)
        plan = shown(here, here.container.collection.plans.enable(row.id, enabled))
    state = "enabled" if plan.enabled else "disabled"
    emit(as_json, plan, lambda out: out.print(f"Plan {plan.name} is {state}."))
