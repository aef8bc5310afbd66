"""``tidemark system partitions``: bars in months, on MySQL and MariaDB."""

from __future__ import annotations

import sys
from typing import Any

from app.cli.arguments import group
from app.cli.backup.commands import Full
from app.cli.output import Json, emit, table

app = group("Bars in monthly partitions, on MySQL: status, enable, disable, maintain.")


@app.command("status")
def status(full: Full = False, as_json: Json = False) -> None:
    """Show the partitions of the bars, with their sizes as the server estimates them."""
    from app.cli.session import session
    from app.schemas.times import rfc3339

    with session(full=full) as here:
        found = here.container.partitioning.status()
    parts = [
        {
            "name": each.name,
            "start": each.start,
            "end": each.end,
            "rows": each.rows,
            "bytes": each.bytes,
        }
        for each in found.partitions
    ]
    document = {
        "possible": found.are_possible,
        "partitions": parts,
        "rows": found.rows,
        "bytes": found.bytes,
    }

    def human(out: Any) -> None:
        if not found.are_possible:
            out.print("SQLite has no partitions.")
            return
        rows = (
            [
                each.name,
                "–" if each.end is None else rfc3339(each.end)[:10],
                each.rows,
                _mb(each.bytes),
            ]
            for each in found.partitions
        )
        none = "The bars lie in one table; in months: tidemark system partitions enable"
        table(out, ("partition", "before", "rows>", "MB>"), rows, none)
        out.print(f"About {found.rows:,} bars in {_mb(found.bytes)} MB.")

    emit(as_json, document, human)


@app.command("enable")
def enable(full: Full = False, as_json: Json = False) -> None:
    """Put the bars into months, while they are read and written.

    Copies every bar, and needs as much room on the disk again as they take. Nobody waits but for
    the last moment, in which all series are locked.
    """
    from app.cli.session import session

    with session(full=full) as here:
        bars = here.container.partitioning.enable(_progress(as_json))
        months = [each.name for each in here.container.partitioning.status().partitions]
    text = f"{bars:,} bars lie in {len(months)} partitions."
    emit(as_json, {"bars": bars, "partitions": months}, lambda out: out.print(text))


@app.command("disable")
def disable(full: Full = False, as_json: Json = False) -> None:
    """Put the bars into one table again, in the same way."""
    from app.cli.session import session

    with session(full=full) as here:
        bars = here.container.partitioning.disable(_progress(as_json))
    text = f"{bars:,} bars lie in one table."
    emit(as_json, {"bars": bars}, lambda out: out.print(text))


@app.command("maintain")
def maintain(full: Full = False, as_json: Json = False) -> None:
    """Make the months that lack; a running Tidemark does it every hour."""
    from app.cli.session import session

    with session(full=full) as here:
        made = here.container.partitioning.maintain()
    text = f"Made {', '.join(made)}." if made else "No month lacks."
    emit(as_json, {"made": made}, lambda out: out.print(text))


def _progress(as_json: bool) -> Any:
    """Bars copied so far, in place on a terminal's stderr."""
    shown = sys.stderr.isatty() and not as_json

    def show(bars: int) -> None:
        if shown:
            sys.stderr.write(f"\r{bars:,} bars copied")

    return show


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f}"
