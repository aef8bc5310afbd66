"""``tidemark instance``: strategies on accounts."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.arguments import Cursor, Interval, Limit, Params, Symbols, amount_of, group, params_of
from app.cli.output import Json, emit, facts, note, percent, table

if TYPE_CHECKING:
    from rich.console import Console

app = group("Instances: a strategy on an account with its own capital.")
Name = Annotated[str, typer.Argument(help="The instance's id, or its name.")]


@app.command("create")
def create_instance(
    name: Annotated[str, typer.Argument(help="A name of your own.")],
    strategy: Annotated[str, typer.Option("--strategy", help="See: tidemark strategy list.")],
    account: Annotated[str, typer.Option("--account", "-a", help="The account's name or id.")],
    symbol: Symbols,
    interval: Interval,
    capital: Annotated[str, typer.Option("--capital", help="Quote units, as in 5000.")],
    param: Params = [],  # noqa: B006 - Typer copies it
    compounding: Annotated[
        bool, typer.Option("--compounding", help="Size by capital and own gains.")
    ] = False,
    max_position: Annotated[str, typer.Option("--max-position", help="Quote units.")] = "",
    max_orders: Annotated[int | None, typer.Option("--max-orders-per-day", min=0)] = None,
    as_json: Json = False,
) -> None:
    """Create an instance; it does nothing until it is started."""
    from app.cli.session import session
    from app.schemas.strategies import Instance
    from app.services.strategies.instances import NewInstance

    new = NewInstance(
        name=name,
        strategy=strategy,
        account=account,
        symbols=tuple(symbol),
        interval=interval,
        capital=amount_of("--capital", capital),
        compounding=compounding,
        params=params_of(param),
        max_position=amount_of("--max-position", max_position) if max_position else None,
        max_orders_per_day=max_orders,
    )
    with session() as here:
        here.container.catalogue.sync_builtins()
        made = Instance.of(here.container.instances.create(new))
    emit(
        as_json,
        made,
        lambda out: out.print(
            f"Instance {made.name} ({made.id}); start it with: tidemark instance start {made.id}"
        ),
    )


@app.command("start")
def start_instance(name: Name, as_json: Json = False) -> None:
    """Start an instance at the market's present bar."""
    from app.cli.session import session
    from app.schemas.strategies import Instance

    with session() as here:
        instance_id = here.listings.instance_id(name)
        started = Instance.of(here.container.instances.start(instance_id))
        if here.works_alone:
            note("tidemark: no runtime is running, so nothing evaluates it; start one: tidemark up")
    emit(as_json, started, lambda out: out.print(f"Instance {started.name} is {started.status}."))


@app.command("stop")
def stop_instance(name: Name, as_json: Json = False) -> None:
    """Stop an instance and cancel its working orders; its position stays."""
    from app.cli.session import session
    from app.schemas.strategies import Instance

    with session() as here:
        stopped = Instance.of(here.container.instances.stop(here.listings.instance_id(name)))
    emit(as_json, stopped, lambda out: out.print(f"Instance {stopped.name} is {stopped.status}."))


@app.command("list")
def list_instances(limit: Limit = 50, cursor: Cursor = "", as_json: Json = False) -> None:
    """List instances, newest first."""
    from app.cli.session import session
    from app.schemas.common import listing
    from app.schemas.strategies import Instance

    with session() as here:
        page = here.container.instances.page(limit, cursor or None)
    found = listing(page.rows, Instance.of, page.next_cursor)
    rows = (
        [each.name, ", ".join(each.symbols), each.interval, each.capital, each.status, each.id]
        for each in found.data
    )
    columns = ("name", "symbols", "interval", "capital>", "status", "id")
    emit(as_json, found, lambda out: table(out, columns, rows, "No instance."))


@app.command("show")
def show_instance(name: Name, limit: Limit = 10, as_json: Json = False) -> None:
    """Show an instance with its latest signals and decisions."""
    from app.cli.session import session
    from app.schemas.common import time_text
    from app.schemas.risk import Decision
    from app.schemas.strategies import Instance, Quota, Signal

    with session() as here:
        view = here.listings.instance(here.listings.instance_id(name))
        signals = here.listings.signals(view.row.id, limit, None).rows
        decisions = here.listings.decisions(limit, None, view.row.id).rows
    quota = None if view.quota is None else Quota.of(view.quota).model_dump()
    document = {
        **Instance.of(view.row).model_dump(),
        "strategy": view.strategy,
        "quota": quota,
        "signals": [Signal.of(row).model_dump() for row in signals],
        "decisions": [Decision.of(row).model_dump() for row in decisions],
    }

    def human(out: Console) -> None:
        shown = {k: v for k, v in document.items() if k not in ("signals", "decisions")}
        shown["cursor_ts"] = time_text(view.row.cursor_ts)
        facts(out, shown.items())
        rows = (
            [s["created_at"], s["symbol"], s["action"], s["side"], s["quantity"], s["status"]]
            for s in document["signals"]
        )
        table(out, ("at", "symbol", "action", "side", "quantity>", "status"), rows, "No signal.")
        said = (
            [d["created_at"], d["passed"], d["rule"], d["reason"], *_held(d["inputs"])]
            for d in document["decisions"]
        )
        columns = ("at", "passed", "rule", "reason", "quote needed>", "with buffer>")
        table(out, columns, said, "No decision.")

    emit(as_json, document, human)


def _held(inputs: dict[str, Any]) -> tuple[str, str]:
    """What a buy would hold back, and the buffer in it."""
    if inputs["side"] != "buy":
        return "", ""
    return inputs["quote_needed"], percent(Decimal(inputs["reserve_buffer"]))
