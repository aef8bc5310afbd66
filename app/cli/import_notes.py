"""What of the files of an import was not stored, as lines that a trader reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def notes(result: dict[str, Any], said: str | None) -> Iterator[str]:
    """What of the files was not stored, or in part alone, and why.

    Args:
        said: why the import failed, which its last line says.
    """
    yield from _counts(result)
    for shift in result["shifts"]:
        hours = shift["shift_ms"] // 3_600_000
        yield f"{shift['file']} is shifted by {hours:+d} h against what is stored: not kept."
    for left in result["left_out"]:
        what = "came in in part alone" if left["in_part"] else "was left out"
        if left["in_part"] or left["reason"] != said:
            yield f"{left['file']} {what}: {_of_it(left)}"
    for cut in result["unended"]:
        yield (
            f"{cut['file']}: line {cut['line']}, its last, has no line end and may be cut: it was "
            f"not stored. If the file is whole, import it again with --whole: {cut['text']}"
        )
    for name in result["absent"]:
        yield f"The archive has no {name}."
    for name, reason in result["skipped"]:
        yield f"{name} was left out: {reason}."
    for name, advice in result["unplaced"]:
        yield f"{name} was not imported: {advice}"


def _counts(result: dict[str, Any]) -> Iterator[str]:
    if filled := result.get("filled", 0):
        yield (
            f"{filled:,} stored bars got what they lacked of quote volume or trade count; their "
            "prices and volumes are the same."
        )
    if outside := sum(each["outside"] for each in result["series"]):
        yield f"{outside:,} rows lie outside of --start and --end: not stored."
    if unfinished := sum(each["unfinished"] for each in result["series"]):
        yield f"{unfinished:,} rows are of bars that have not closed yet: not stored."


def _of_it(left: dict[str, Any]) -> str:
    """The reason for which a file was left out, in a line that begins with its name."""
    name, reason = str(left["file"]), str(left["reason"])
    return "it" + reason.removeprefix(name) if reason.startswith(f"{name} ") else reason
