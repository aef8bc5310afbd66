"""``tidemark system`` and ``tidemark doctor``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import dead_letters
from app.cli.arguments import group
from app.cli.output import Json, emit, table

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

app = group("The installation: doctor, migrate, token, dead-letters.")
app.add_typer(dead_letters.app, name="dead-letters")


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


@app.command("migrate")
def migrate(as_json: Json = False) -> None:
    """Bring the database to this release's schema."""
    from app.cli.session import session
    from app.repositories.migrating import current_revision, pending, upgrade

    with session(migrate=False) as here:
        engine = here.container.engine
        was_pending = pending(engine)
        if was_pending:
            upgrade(engine)
        revision = current_revision(engine)
    emit(
        as_json,
        {"revision": revision, "changed": was_pending},
        lambda out: out.print(f"The schema is at {revision}."),
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
    from app.core.errors import NotFound

    with session() as here:
        path = here.container.settings.data_dir / "api-token"
        if new:
            text = here.container.tokens.create("cli")
            _write_secret(path, text)
        elif path.exists():
            text = path.read_text(encoding="ascii").strip()
        else:
            raise NotFound("no token was made yet; make one with: tidemark system token --new")
    emit(as_json, {"token": text}, lambda out: out.out(text, highlight=False))


def _write_secret(path: Path, text: str) -> None:
    """Put a secret into a file that its owner alone can read, replacing it whole."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text + "\n")
    beside.replace(path)
