"""``tidemark system`` and ``tidemark doctor``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import dead_letters, partitions
from app.cli.arguments import group
from app.cli.backup import commands as backup_commands
from app.cli.output import Json, emit, table

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

app = group(
    "The installation: status, doctor, check-invariants, migrate, backup, restore, partitions, "
    "token, dead-letters."
)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(partitions.app, name="partitions")
app.command("backup")(backup_commands.backup)
app.command("restore")(backup_commands.restore)


@app.command("doctor")
def doctor(as_json: Json = False) -> None:
    """Check each component and say what is wrong and how to mend it."""
    from app.cli.probes import everything
    from app.cli.session import session
    from app.core.errors import InvalidInput
    from app.services.doctor import Finding, examine
    from app.services.doctor import as_json as findings_json

    try:
        with session(migrate=False) as here:
            findings = examine(everything(here.container))
    except InvalidInput as error:
        findings = [Finding("settings", False, error.message)]
    well = all(finding.ok for finding in findings)

    def human(out: Console) -> None:
        rows = (["ok" if each.ok else "WRONG", each.component, each.detail] for each in findings)
        table(out, ("", "component", "finding"), rows, "Nothing to check.")

    emit(as_json, {"ok": well, "checks": findings_json(findings)}, human)
    if not well:
        wrong = ", ".join(finding.component for finding in findings if not finding.ok)
        sys.stderr.write(f"tidemark: not well: {wrong}\n")
        raise typer.Exit(1)


@app.command("status")
def status(as_json: Json = False) -> None:
    """Show the processes of the full stack that runs here; exit code 1 unless all are up."""
    from app.cli.locking import RuntimeLock
    from app.cli.supervision import state
    from app.config import load_settings
    from app.core.errors import Unavailable

    data_dir = load_settings().data_dir
    facts = RuntimeLock(data_dir).facts()
    known = state.read(data_dir)
    if not facts or facts.get("pid") != known.get("pid"):
        raise Unavailable("no full stack runs here; start one with: tidemark up --full")
    processes = known["processes"]

    def human(out: Console) -> None:
        rows = (
            [each["name"], each["state"], each["pid"], each["restarts"], each["reason"]]
            for each in processes
        )
        table(out, ("process", "state", "pid>", "restarts>", "last reason"), rows, "None.")

    emit(as_json, {**facts, "at": known["at"], "processes": processes}, human)
    if any(each["state"] != "up" for each in processes):
        raise typer.Exit(1)


@app.command("check-invariants")
def check_invariants(
    klines: Annotated[
        bool, typer.Option("--klines/--no-klines", help="Read every stored bar too.")
    ] = True,
    full: backup_commands.Full = False,
    as_json: Json = False,
) -> None:
    """Check what must always hold, while everything runs; exit code 1 with each breach."""
    from app.cli.session import session

    # An empty record breaks nothing: one that is made here would be a false all-clear.
    with session(full=full, create=False) as here:
        breaches = here.container.invariants.check(klines=klines)
        record = here.record

    def human(out: Console) -> None:
        for each in breaches:
            out.print(str(each), highlight=False, markup=False, soft_wrap=True)
        if not breaches:
            out.print(f"Every invariant holds in {record}.", markup=False, soft_wrap=True)

    found = [
        {"invariant": each.invariant, "subject": each.subject, "sentence": each.sentence}
        for each in breaches
    ]
    emit(as_json, {"ok": not breaches, "record": record, "breaches": found}, human)
    if breaches:
        sys.stderr.write(
            f"tidemark: {len(breaches)} breaches of what must always hold in {record}\n"
        )
        raise typer.Exit(1)


@app.command("migrate")
def migrate(
    to: Annotated[
        str,
        typer.Option("--to", help="Take the schema back to an older release's revision."),
    ] = "",
    full: backup_commands.Full = False,
    as_json: Json = False,
) -> None:
    """Bring the database to this release's schema and its built-in strategies, or take it back."""
    from app.cli.session import session
    from app.repositories.migrating import current_revision, pending, take_back, upgrade_alone
    from app.wiring.vault import open_vault

    with session(migrate=False, full=full) as here:
        engine = here.container.engine
        if to:
            with here.lock:
                take_back(engine, to)
            changed = True
        else:
            changed = pending(engine)
            upgrade_alone(engine)
            here.container.catalogue.sync_builtins()
            # The pair is made here, once, before the API asks for its public half.
            open_vault(here.container.settings.vault_key_path, can_read=True)
        revision, record = current_revision(engine), here.record
    emit(
        as_json,
        {"revision": revision, "changed": changed, "record": record},
        lambda out: out.print(
            f"The schema of {record} is at {revision}.", markup=False, soft_wrap=True
        ),
    )


@app.command("token")
def token(
    new: Annotated[bool, typer.Option("--new", help="Make another one; the old stay valid.")] = (
        False
    ),
    as_json: Json = False,
) -> None:
    """Print the API token that the first start made."""
    from app.cli.session import session
    from app.core.errors import Unavailable

    with session() as here:
        path = here.container.settings.data_dir / "api-token"
        if new:
            text = here.container.tokens.create("cli")
            _write_secret(path, text)
        elif path.exists():
            text = path.read_text(encoding="ascii").strip()
        else:
            raise Unavailable("no token was made yet; make one with: tidemark system token --new")
    emit(as_json, {"token": text}, lambda out: out.out(text, highlight=False))


def _write_secret(path: Path, text: str) -> None:
    """Put a secret into a file that its owner alone can read, replacing it whole."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text + "\n")
    beside.replace(path)
