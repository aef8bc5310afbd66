"""The tape of trades in the cursor of an import: what one file leaves to the next.

``tape`` is what the file under way began with, so that a slice that takes it up again reads the
same; ``tape_next`` is what it ends with, and takes that place once the file is done.
"""

from __future__ import annotations

from typing import Any

from app.core.market.files.tape import Carried
from app.services.importing.chunks import UNENDED, Chunk
from app.services.importing.order import ImportFile, ImportPlan

Cursor = dict[str, Any]


def carried_to(cursor: Cursor, file: ImportFile) -> Carried | None:
    """What a file of trades goes on with; None where the file before is of another series."""
    tape = cursor.get("tape")
    return Carried.of(tape["carried"]) if tape and tape["series"] == list(file.series) else None


def after_chunk(cursor: Cursor, file: ImportFile, chunk: Chunk) -> Cursor:
    """The cursor behind a chunk: of a file, or of a tape that has ended between two files."""
    if chunk.ends_tape:
        return {**cursor, "tape": None}
    # Of rows that say the same, the one that is kept counts, be it good or bad.
    fine = len(chunk.good) + chunk.unfinished + chunk.outside
    known = cursor.get("verdict") or {"rows": 0, "fine": 0, "reason": ""}
    reason = known["reason"] or (chunk.bad[0].reason if chunk.bad else UNENDED)
    verdict = {
        "rows": known["rows"] + chunk.rows,
        "read": known.get("read", 0) + (chunk.trades or chunk.rows),
        "fine": known["fine"] + fine,
        "reason": reason,
    }
    found = {**cursor, "chunks": cursor["chunks"] + 1, "verdict": verdict}
    if chunk.carried is not None:
        told = {"series": list(file.series), "at": cursor["file"]}
        found["tape_next"] = {**told, "carried": chunk.carried.params()}
    return found


def moved_on(cursor: Cursor) -> Cursor:
    """The cursor with its file done."""
    return {**cursor, "tape": cursor.get("tape_next") or cursor.get("tape"), "tape_next": None}


def torn(cursor: Cursor, file: ImportFile, *, is_over: bool = False) -> Cursor:
    """The cursor where a file is left out: no other one goes on with what is before it.

    Args:
        is_over: not the file, but the last bar of its tape.
    """
    tape = cursor.get("tape")
    if is_over:
        return {**cursor, "tape": None}
    if not tape or tape["series"] != list(file.series):
        return {**cursor, "tape_next": None}
    # A part of the file is stored, and with it the bar that it went on with.
    if cursor["chunks"]:
        return {**cursor, "tape": None, "tape_next": None}
    broken = {**tape, "carried": {**tape["carried"], "is_broken": True}}
    return {**cursor, "tape": broken, "tape_next": None}


def tape_that_ends(
    cursor: Cursor, plan: ImportPlan, file: ImportFile | None
) -> tuple[ImportFile, Carried] | None:
    """The tape that a file, or the end of the import, does not go on with, and its last file."""
    tape = cursor.get("tape")
    if not tape or (file is not None and tape["series"] == list(file.series)):
        return None
    return plan.files[tape["at"]], Carried.of(tape["carried"])
