"""The commands: arguments in, one sentence out."""

from __future__ import annotations

import os
import shlex
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import Json, emit, note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from app.cli.session import Session

Full = Annotated[
    bool, typer.Option("--full", help="Of the full stack whose services are in var/services.")
]


def backup(
    path: Annotated[
        str,
        typer.Argument(help="A new file, or a directory to put it in; DIR/ is made."),
    ],
    with_key: Annotated[
        bool,
        typer.Option("--with-key", help="Put the vault's private key into it: guard it as such."),
    ] = False,
    full: Full = False,
    as_json: Json = False,
) -> None:
    """Write the whole record to a file, while everything goes on."""
    from app.cli.backup.work import back_up
    from app.cli.session import session

    target = _target(path)
    with session(migrate=False, full=full) as here:
        made = back_up(
            here.container, target, with_key=with_key, tell=_silent, migrate=here.migrate
        )
        key_path = here.container.settings.vault_key_path
    size = target.stat().st_size
    rows = sum(each["rows"] for each in made.tables.values())

    def human(out: Console) -> None:
        out.print(f"{target}: {rows:,} rows, {size / 1024**2:.1f} MiB, schema {made.revision}.")
        if made.with_key:
            out.print("It holds the vault's private key: who has it can use the accounts' keys.")
        else:
            out.print(
                f"The vault's key is not in it. Keep {key_path} apart: without it the accounts' "
                "keys must be entered again."
            )

    document = {
        "path": str(target.absolute()),
        "bytes": size,
        "rows": rows,
        "revision": made.revision,
        "made_at": made.made_at,
        "with_key": made.with_key,
    }
    emit(as_json, document, human)


def _target(path: str) -> Path:
    """The file to write: what is named, or one named by the time in the directory named."""
    from app.core.errors import InvalidInput

    target = Path(path)
    if path.endswith(os.sep):
        try:
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"{path} cannot be made: {error.strerror}") from None
    if not target.is_dir():
        return target
    return target / time.strftime("tidemark-%Y%m%dT%H%M%SZ.zip", time.gmtime())


def restore(
    path: Annotated[Path, typer.Argument(help="A file that `system backup` wrote.")],
    without_key: Annotated[
        bool,
        typer.Option("--without-key", help="Go on although the accounts' keys cannot be opened."),
    ] = False,
    full: Full = False,
    as_json: Json = False,
) -> None:
    """Load a backup into an empty database. Trading stays halted until you resume it."""
    from app.cli.backup.work import restore as load

    again = ["tidemark", "system", "restore", str(path.absolute())]
    again += ["--without-key"] * without_key + ["--full"] * full
    with _alone(full) as here:
        done = load(
            here.container, path, without_key=without_key, tell=_silent, again=shlex.join(again)
        )
    manifest, fenced = done.manifest, done.fenced
    rows = sum(each["rows"] for each in manifest.tables.values())
    if done.key == "missing":
        note("tidemark: the accounts' keys cannot be opened here; enter them again")

    def human(out: Console) -> None:
        out.print(
            f"Restored {rows:,} rows of {manifest.made_at} (release {manifest.version}); the "
            f"schema is at {done.revision}."
        )
        out.print(
            f"{fenced.accounts} accounts are compared with their venues before they trade; "
            f"{fenced.orders} orders may have been sent since and are asked for."
        )
        out.print(
            "Everything is halted. Start, look at `tidemark account show NAME`, then: "
            "tidemark risk resume"
        )

    document = {
        "rows": rows,
        "made_at": manifest.made_at,
        "revision": done.revision,
        "key": done.key,
        "accounts_to_reconcile": fenced.accounts,
        "orders_in_doubt": fenced.orders,
    }
    emit(as_json, document, human)


@contextmanager
def _alone(full: bool) -> Iterator[Session]:
    """The installation, while no runtime is on it and none can start."""
    from app.cli.session import session

    with session(migrate=False, full=full) as here, here.lock:
        yield here


def _silent(_table: str, _rows: int) -> None:
    """Nobody watches."""
