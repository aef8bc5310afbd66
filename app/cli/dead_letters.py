"""``tidemark system dead-letters``: hints that no worker could take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.arguments import group
from app.cli.output import Json, emit, table

if TYPE_CHECKING:
    from rich.console import Console

    from app.core.ports import DeadLetter

app = group("Hints that no worker could take: list, requeue, drop.")

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="As listed.")]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.command("list")
def show(as_json: Json = False) -> None:
    """List the dead letters, oldest first."""
    from app.cli.session import session
    from app.services.dead_letters import NONE_KEPT

    with session(migrate=False) as here:
        service = here.container.dead_letters
        letters, kept = service.all(), service.kept

    def human(out: Console) -> None:
        rows = ([_cell(name, each) for name in _COLUMNS] for each in map(_document, letters))
        empty = "No dead letters." if kept else f"{NONE_KEPT[0].upper()}{NONE_KEPT[1:]}."
        table(out, list(_COLUMNS.values()), rows, empty)

    emit(as_json, {"data": [_document(each) for each in letters]}, human)


@app.command("requeue")
def requeue(ids: Ids = None, everything: Everything = False, as_json: Json = False) -> None:
    """Put dead letters back into the queues they came from."""
    from app.cli.session import session

    wanted = _wanted(ids, everything=everything)
    with session(migrate=False) as here:
        gone = here.container.dead_letters.requeue(wanted)
    emit(as_json, {"requeued": gone}, lambda out: out.print(f"{len(gone)} requeued."))


@app.command("drop")
def drop(
    ids: Ids = None,
    everything: Everything = False,
    sure: Annotated[bool, typer.Option("--yes", help="Needed with --all.")] = False,
    as_json: Json = False,
) -> None:
    """Delete dead letters; rows are the truth, so nothing but the evidence goes."""
    from app.cli.session import session
    from app.core.errors import InvalidInput

    wanted = _wanted(ids, everything=everything)
    if everything and not sure:
        raise InvalidInput("--all deletes every dead letter; confirm it with --yes")
    with session(migrate=False) as here:
        gone = here.container.dead_letters.drop(wanted)
    emit(as_json, {"dropped": gone}, lambda out: out.print(f"{len(gone)} dropped."))


_COLUMNS = {
    "id": "id",
    "task": "task",
    "ids": "ids",
    "queue": "queue",
    "reason": "reason",
    "fault": "fault",
    "deaths": "deaths>",
    "first_at": "first died at",
}


def _wanted(ids: list[str] | None, *, everything: bool) -> list[str] | None:
    from app.core.errors import InvalidInput

    if everything == bool(ids):
        raise InvalidInput("give the ids of dead letters, or --all")
    return None if everything else ids


def _document(letter: DeadLetter) -> dict[str, Any]:
    from app.schemas.times import rfc3339

    return {
        "id": letter.id,
        "task": letter.task,
        "ids": list(letter.ids),
        "queue": letter.queue,
        "reason": letter.reason,
        "fault": letter.fault,
        "deaths": letter.deaths,
        "first_at": rfc3339(letter.first_at) if letter.first_at else None,
    }


def _cell(name: str, document: dict[str, Any]) -> Any:
    return ", ".join(document["ids"]) if name == "ids" else document[name]
