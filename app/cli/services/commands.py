"""``tidemark services``: MariaDB, RabbitMQ and Redis of this installation, run natively."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.arguments import group
from app.cli.output import Json, emit, note, table

if TYPE_CHECKING:
    from rich.console import Console

    from app.cli.services.manager import Services

app = group("MariaDB, RabbitMQ and Redis for the full stack: start, stop, status, destroy.")

PORT_HELP = "Client port; a free one, kept from then on, unless given."
Port = Annotated[int | None, typer.Option(min=1, max=65535, help=PORT_HELP)]


@app.command("start")
def start(
    mysql_port: Port = None,
    rabbitmq_port: Port = None,
    redis_port: Port = None,
    as_json: Json = False,
) -> None:
    """Start them as this user, on loopback, and return when they serve; they keep running."""
    wanted = {"mysql": mysql_port, "rabbitmq": rabbitmq_port, "redis": redis_port}
    with _services({name: port for name, port in wanted.items() if port}) as services:
        note("Starting MariaDB, RabbitMQ and Redis ...")
        services.start()
        _show(services, as_json)
        note(f"Settings and passwords are in {services.env_file}; next: tidemark up --full")


@app.command("stop")
def stop(
    force: Annotated[
        bool, typer.Option("--force", help="Although Tidemark runs and may trade on them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Stop them in good order; their data stay. Refused while Tidemark runs on this directory."""
    unused = (
        nullcontext() if force else _unused("stop it first (Ctrl-C or SIGTERM), or say --force")
    )
    with unused, _services() as services:
        services.stop()
        _show(services, as_json)


@app.command("status")
def status(as_json: Json = False) -> None:
    """How each of them is; exit code 1 unless all run."""
    with _services() as services:
        states = _show(services, as_json)
    if any(state != "running" for state in states):
        raise typer.Exit(1)


@app.command("destroy")
def destroy(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Stop them and delete their data for good: orders, klines, everything in the database.

    Refused while Tidemark runs on this directory.
    """
    from app.core.errors import InvalidInput

    directory = _directory()
    if not directory.is_dir():
        raise InvalidInput(f"there are no services in {directory}")
    if not yes:
        typer.confirm(f"Delete {directory} and all data in it?", abort=True, err=True)
    with _unused("stop it first (Ctrl-C or SIGTERM)"), _services() as services:
        services.destroy()
    emit(as_json, {"destroyed": str(directory)}, lambda out: out.print(f"{directory} is deleted."))


def _directory() -> Path:
    from app.config import load_settings

    return load_settings().data_dir / "services"


@contextmanager
def _unused(what_to_do: str) -> Iterator[None]:
    """Hold the data directory as a runtime does, so that none runs nor starts meanwhile.

    Raises:
        Conflict: one runs there; the message says what to do.
    """
    from app.cli.locking import RuntimeLock
    from app.config import load_settings
    from app.core.errors import Conflict

    directory = load_settings().data_dir
    lock = RuntimeLock(directory)
    if not _directory().is_dir():
        yield  # no services that anybody could use, and looking makes no directory
        return
    if lock.held_by_other():
        facts = lock.facts()
        if str(facts.get("record", "")).startswith("sqlite:"):
            yield  # an embedded one, which uses none of them
            return
        pid = facts.get("pid", "unknown")
        raise Conflict(
            f"Tidemark runs in {directory} (process {pid}) and may trade on these services; "
            f"{what_to_do}",
            code="already-running",
        )
    with lock:
        yield


@contextmanager
def _services(ports: dict[str, int] | None = None) -> Iterator[Services]:
    """The services of this data directory; their failure is one sentence."""
    from app.cli.services.machine import ServerError
    from app.cli.services.manager import Services
    from app.core.errors import Unavailable

    try:
        yield Services(_directory(), ports)
    except ServerError as error:
        raise Unavailable(str(error).rstrip(".")) from None


def _show(services: Services, as_json: bool) -> list[str]:
    states = services.status()
    document: list[dict[str, Any]] = [
        {"name": each.name, "state": each.state, "pid": each.pid, "ports": dict(each.ports)}
        for each in states
    ]

    def human(out: Console) -> None:
        rows = (
            [each.name, each.state, each.pid, ", ".join(f"{k} {v}" for k, v in each.ports.items())]
            for each in states
        )
        table(out, ("service", "state", "pid>", "ports"), rows, "None.")

    emit(as_json, {"services": document, "env": str(services.env_file)}, human)
    return [each.state for each in states]
