"""``tidemark risk``: halts and limits. Needs nothing but the database.

A halt must be had in mid-upgrade too: halts touch tables that every release has, so those of the
old release work on the schema of the new one.
"""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.arguments import amount_of, group, pairs_of
from app.cli.backup.commands import Full
from app.cli.output import Json, emit, note, table

if TYPE_CHECKING:
    from app.cli.session import Session

app = group("Risk: halt and resume trading, limits.")
Scope = Annotated[
    str,
    typer.Option(
        "--scope", help="global, account:<id>, instance:<id> or symbol:<exchange>:<symbol>."
    ),
]


@app.command("halt")
def halt(
    reason: Annotated[str, typer.Argument(help="Why; it is kept and shown.")] = "by hand",
    scope: Scope = "global",
    full: Full = False,
    as_json: Json = False,
) -> None:
    """Stop new orders at once (紧急停止). Cancels pass."""
    from app.cli.session import session
    from app.core.errors import InvalidInput
    from app.schemas.risk import Halt

    if not reason.strip():
        raise InvalidInput("say why trading is halted; the reason is kept and shown")
    with session(full=full, newer=True) as here:
        made = Halt.of(here.container.risk.halt(scope, reason, who()))
        _name_record(here)
    emit(as_json, made, lambda out: out.print(f"Trading is halted: {made.scope}."))


@app.command("resume")
def resume(scope: Scope = "global", full: Full = False, as_json: Json = False) -> None:
    """Lift the halt of a scope."""
    from app.cli.session import session
    from app.schemas.risk import Resumed

    with session(full=full, newer=True) as here:
        done = Resumed(scope=scope, lifted=here.container.risk.resume(scope, who()))
        _name_record(here)
    said = "Trading goes on" if done.lifted else "Nothing was halted"
    emit(as_json, done, lambda out: out.print(f"{said}: {scope}."))


@app.command("status")
def status(full: Full = False, as_json: Json = False) -> None:
    """Show the halts in force."""
    from app.cli.session import session
    from app.schemas.risk import Halt

    with session(full=full, newer=True) as here:
        found = [Halt.of(row) for row in here.container.risk.halts()]
        _name_record(here)
    rows = ([each.scope, each.reason, each.set_by, each.created_at] for each in found)
    emit(
        as_json,
        {"halted": bool(found), "halts": [each.model_dump(mode="json") for each in found]},
        lambda out: table(out, ("scope", "reason", "by", "since"), rows, "Nothing is halted."),
    )


@app.command("rules")
def rules(as_json: Json = False) -> None:
    """List the limits."""
    from app.cli.session import session
    from app.schemas.risk import Rule

    with session() as here:
        found = [Rule.of(row) for row in here.container.risk.rules()]
    rows = ([each.kind, each.scope, each.params, each.enabled, each.version] for each in found)
    columns = ("kind", "scope", "parameters", "enabled", "version>")
    emit(as_json, found, lambda out: table(out, columns, rows, "No limit is set."))


@app.command("set-rule")
def set_rule(
    kind: Annotated[str, typer.Argument(help="max_order_value or position_limit.")],
    given: Annotated[list[str], typer.Argument(help="As in max_value=5000 (quote units).")],
    scope: Scope = "global",
    off: Annotated[bool, typer.Option("--off", help="Keep it, switched off.")] = False,
    as_json: Json = False,
) -> None:
    """Set a limit; its version grows with each change."""
    from app.cli.session import session
    from app.core.money import canonical
    from app.schemas.risk import Rule

    params = {
        name: canonical(amount_of(name, text)) for name, text in pairs_of("limit", given).items()
    }
    with session() as here:
        made = Rule.of(here.container.risk.set_rule(kind, scope, params, enabled=not off))
    emit(
        as_json,
        made,
        lambda out: out.print(f"{made.kind} on {made.scope} is at version {made.version}."),
    )


def _name_record(here: Session) -> None:
    """Say on whose record this was where nothing runs on it: it may not be the one meant."""
    if here.works_alone:
        record = here.container.engine.url.render_as_string(hide_password=True)
        note(
            f"No Tidemark runs on this record, {record}. For another, set TIDEMARK_HOME to its "
            "directory; for the full stack of `make services`, add --full."
        )


def who() -> str:
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"
