"""What commands print: one JSON document, or tables for people. Progress goes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

#: The option that every command has.
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
# A pipe has no width; rich would cut ids at 80.
_PIPE_WIDTH = 240


def emit(as_json: bool, document: Any, human: Callable[[Console], None]) -> None:
    """Print a document as JSON, or let ``human`` print it."""
    if as_json:
        sys.stdout.write(json.dumps(plain(document), ensure_ascii=False, indent=2) + "\n")
    else:
        human(console())


def console() -> Console:
    """Where tables go."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


def note(text: str) -> None:
    """Say something beside the result, on stderr."""
    sys.stderr.write(f"{text}\n")


def plain(document: Any) -> Any:
    """Models as plain data."""
    if hasattr(document, "model_dump"):
        return document.model_dump(mode="json")
    if isinstance(document, (list, tuple)):
        return [plain(each) for each in document]
    return document


def table(
    target: Console, columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str
) -> None:
    """A table; a column whose name ends in ``>`` is right-aligned."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(name.rstrip(">"), justify="right" if name.endswith(">") else "left")
    for row in rows:
        made.add_row(*(cell(each) for each in row))
    if made.row_count:
        target.print(made)
    else:
        target.print(empty)


def facts(target: Console, pairs: Iterable[tuple[str, Any]]) -> None:
    """Names and values, one a line."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    for name, value in pairs:
        made.add_row(f"[bold]{name}[/bold]", cell(value))
    target.print(made)


def cell(value: Any) -> str:
    """A value as text; markup in it is shown, not obeyed."""
    from rich.markup import escape

    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (dict, list)):
        return escape(json.dumps(value, ensure_ascii=False))
    return escape(str(value))


def percent(part: Decimal) -> str:
    """A part of one as people read it: 0.002 is "0.2 %"."""
    return f"{(part * 100).normalize():f} %"
