"""``tidemark strategy``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.arguments import group
from app.cli.output import Json, emit, facts, table

if TYPE_CHECKING:
    from rich.console import Console

app = group("Strategies: list, show, add and check files.")
File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A strategy file.")
]


@app.command("list")
def list_strategies(as_json: Json = False) -> None:
    """List built-in strategies and your own."""
    from app.cli.session import session
    from app.schemas.strategies import Strategy

    with session() as here:
        here.container.catalogue.sync_builtins()
        found = [Strategy.of(row) for row in here.container.catalogue.all()]
    rows = ([each.name, each.origin, each.title] for each in found)
    emit(as_json, found, lambda out: table(out, ("name", "origin", "title"), rows, "No strategy."))


@app.command("show")
def show_strategy(
    name: Annotated[str, typer.Argument(help="The strategy's name.")], as_json: Json = False
) -> None:
    """Show a strategy and its parameters."""
    from app.cli.session import session
    from app.schemas.strategies import Strategy

    with session() as here:
        here.container.catalogue.sync_builtins()
        strategy = Strategy.of(here.container.catalogue.get(name))

    def human(out: Console) -> None:
        facts(out, [("name", strategy.name), ("origin", strategy.origin), ("", strategy.title)])
        fields = strategy.parameters.get("properties", {})
        rows = (
            [
                name,
                field.get("type", "enum" if "enum" in field else None),
                field.get("default"),
                field.get("minimum", field.get("exclusiveMinimum")),
                field.get("maximum", field.get("exclusiveMaximum")),
                field.get("description"),
            ]
            for name, field in fields.items()
        )
        columns = ("parameter", "type", "default>", "min>", "max>", "meaning")
        table(out, columns, rows, "It has no parameter.")

    emit(as_json, strategy, human)


@app.command("add")
def add_strategy(
    file: File,
    name: Annotated[str, typer.Option("--name", help="By default the file's name.")] = "",
    as_json: Json = False,
) -> None:
    """Register a strategy file, or a new version of it. It is read in a child process."""
    from app.cli.session import session
    from app.core.strategies.loader import StrategyRef

    source = StrategyRef.from_file(file).source or ""
    chosen = name or file.stem
    with session() as here:
        info = here.container.catalogue.add_file(chosen, source)
    document = {"name": chosen, "title": info.title, "version": info.version}
    emit(
        as_json,
        document,
        lambda out: out.print(_titled(f"{chosen} {info.version[:12]}", ": ", info.title)),
    )


@app.command("check")
def check_strategy(file: File, as_json: Json = False) -> None:
    """Check a strategy file without registering it."""
    from app.cli.session import session
    from app.core.strategies.loader import StrategyRef

    ref = StrategyRef.from_file(file)
    with session(migrate=False) as here:
        info = here.container.runtime.inspect(ref)
    document = {"class": info.class_name, "title": info.title, "parameters": info.schema}
    emit(
        as_json,
        document,
        lambda out: out.print(_titled(f"{file} is usable: {info.class_name}", ", ", info.title)),
    )


def _titled(name: str, between: str, title: str) -> str:
    """A name and its title, where its file has one."""
    return f"{name}{between}{title}" if title else name
