"""What an import job says of itself: its time, its progress and its account."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from app.core.errors import InvalidInput
from app.core.market.character import Character
from app.core.market.files.endings import UnendedLine
from app.core.market.intervals import HOUR_MS
from app.repositories.unit import Unit
from app.services.activity import profile_of
from app.services.importing.order import ImportFile, ImportPlan, names_of

#: Code of what is left out since its file is gone.
GONE: Final = "gone"
#: Between how many files were left out, and the reason of the first.
FIRST: Final = ", the first because "
_TEXT_LIMIT: Final = 200


class Slice:
    """The time that a slice has taken, and that each of its chunks has."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._began = self._lap = monotonic()

    def spent(self) -> float:
        """Seconds since the slice began."""
        return self._monotonic() - self._began

    def lap_ms(self) -> int:
        """Milliseconds since the last chunk; a transaction that is run again counts once more."""
        before, self._lap = self._lap, self._monotonic()
        return round((self._lap - before) * 1000)


def stamp_of(file: ImportFile) -> Sequence[int]:
    """What tells a local file from the one that lay there before; nothing of one that is gone."""
    if file.span is not None:
        return ()
    try:
        found = Path(file.place).stat()
    except OSError:
        return ()  # it is left out when its turn comes, as one that cannot be read
    return found.st_size, found.st_mtime_ns


def new_cursor(plan: ImportPlan, mark: list[Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Of a job before its first chunk, or of one whose files have changed since.

    Args:
        mark: by which the plan's files are told from others of their names.
        before: the cursor so far. What of its files is gone before it came in is left out.
    """
    return {
        "files": mark,
        "file": 0,
        "chunks": 0,
        "series": {},
        "funding": [],
        "shifts": [],
        "left_out": _gone(before, {place for place, *_ in mark}),
        "absent": [],
        "unended": [],
        "skipped": [list(each) for each in plan.skipped],
        "unplaced": [list(each) for each in plan.unplaced],
    }


def _gone(before: Mapping[str, Any], places: Collection[str]) -> list[dict[str, Any]]:
    """Files that an import did not come to the end of, and that are not there any more."""
    found = [each for each in before.get("left_out", ()) if each["code"] == GONE]
    at = before.get("file", 0)
    for position, (place, *_) in enumerate(before.get("files", ())):
        if position >= at and place not in places:
            name = place.rsplit("/", 1)[-1]
            reason = "it is gone since the import began; import it again when it is there"
            in_part = position == at and before["chunks"] > 0
            found.append({"file": name, "code": GONE, "reason": reason, "in_part": in_part})
    return found


def with_unended(cursor: dict[str, Any], file: ImportFile, line: UnendedLine) -> dict[str, Any]:
    """The cursor with a last line that may be cut and was not stored."""
    found = {"file": file.name, "line": line.number, "text": line.text[:_TEXT_LIMIT]}
    return {**cursor, "unended": [*cursor.get("unended", []), found]}


def with_left_out(
    cursor: dict[str, Any], file: ImportFile, error: InvalidInput, *, in_part: bool
) -> dict[str, Any]:
    """The cursor with a file that did not come in, or not all of it, and why."""
    told = {"file": file.name, "code": error.error_code, "reason": error.message}
    left = [*cursor.get("left_out", []), {**told, "in_part": in_part}]
    return {**cursor, "left_out": left}


def with_verdict(cursor: dict[str, Any], file: ImportFile) -> dict[str, Any]:
    """The cursor at the end of a file: where not one of its rows was good, it did not come in."""
    found = cursor.get("verdict")
    after = {**cursor, "verdict": None}
    if not found or not found["rows"] or found["fine"]:
        return after
    error = InvalidInput(
        f"not one of the {found['rows']:,} rows of {file.name} can be a bar of {file.interval}, "
        f"the first because {found['reason']}; look at --interval, --columns and --utc-offset",
        code="no-good-row",
    )
    return with_left_out(after, file, error, in_part=False)


def at_file(cursor: Mapping[str, Any], position: int) -> dict[str, Any]:
    """The cursor of a job whose files before a position are done."""
    return {**cursor, "file": position, "chunks": 0, "is_right": False, "verdict": None}


def progress_of(cursor: Mapping[str, Any], work_ms: int, file_rows: int = 0) -> dict[str, Any]:
    """Progress of a job by its cursor, with the accounts of its series and of its funding rates.

    Rows are bars and funding rates. Of trades, which are many to a bar, those that were read are
    told beside; the speed is that of what was read. A slice is a file.

    Args:
        file_rows: about how many rows the file under way has; 0 where that is not known.
    """
    series, funding = cursor["series"], cursor.get("funding", ())
    rows = sum(tally["rows"] for tally in [*series.values(), *funding])
    trades = sum(tally.get("trades", 0) for tally in series.values())
    read = sum(tally.get("trades", 0) or tally["rows"] for tally in [*series.values(), *funding])
    return {
        "slices_done": cursor["file"],
        "slices_total": len(cursor["files"]),
        "rows": rows,
        "work_ms": work_ms,
        "rows_per_s": round(read * 1000 / work_ms) if work_ms else None,
        **({"trades": trades} if trades else {}),
        "eta_s": _eta_s(cursor, work_ms, file_rows),
    }


def _eta_s(cursor: Mapping[str, Any], work_ms: int, file_rows: int) -> float | None:
    """Seconds until a job is done, by how long that took which is; None before anything is.

    Local files count by their size, files of an archive alike: theirs is not known beforehand. Of
    the file under way, the part of its rows that was read is done.
    """
    sizes: list[int] = [stamp[0] if stamp else 1 for _, *stamp in cursor["files"]]
    at = cursor["file"]
    done, left = float(sum(sizes[:at])), float(sum(sizes[at:]))
    if file_rows and at < len(sizes):
        read = (cursor.get("verdict") or {}).get("read", 0)
        part = sizes[at] * min(1.0, read / file_rows)
        done, left = done + part, left - part
    return round(work_ms * left / done / 1000, 1) if done else None


def with_characters(unit: Unit, result: dict[str, Any]) -> dict[str, Any]:
    """The account with what the series are by all of their stored bars.

    ``looks_like`` is what a series is if its gaps are the venue's, which a file does not prove.
    """
    series = []
    for tally in result["series"]:
        names = (tally["exchange"], tally["symbol"], tally["interval"], tally["kind"])
        row = unit.klines.find_series(*names)
        found = None if row is None else profile_of(unit, row, None, None)
        told_of = {
            "character": found.character.value if found else Character.UNKNOWN.value,
            "looks_like": found.looks_like.value if found else Character.UNKNOWN.value,
            "is_dead": found is not None and found.is_dead,
        }
        series.append({**tally, **told_of})
    return {**result, "series": series}


def shift_error(shift: dict[str, Any]) -> InvalidInput:
    """A file's shift as the error of its import."""
    hours = shift["shift_ms"] // HOUR_MS
    way = "ahead of" if hours > 0 else "behind"
    return InvalidInput(
        f"the bars of {shift['file']} are {abs(hours)} h {way} the same bars as they are stored, "
        f"and were not kept; if the file is wrong, say --utc-offset {hours:+03d}:00, and if what "
        "is stored is wrong, --despite-shift",
        code="shifted",
    )


def left_out_error(result: Mapping[str, Any], files: int) -> InvalidInput:
    """Files that were left out as the error of their import: of one file, its own.

    Args:
        files: how many the import is of.
    """
    left = result["left_out"]
    first = left[0]
    if files == 1:
        return InvalidInput(first["reason"], code=first["code"])
    return InvalidInput(
        f"{len(left):,} of {files:,} files were left out{FIRST}{first['reason']}; the "
        "account names each with its reason",
        code="files-left-out",
    )


def absent_error(order: Mapping[str, Any], absent: Sequence[str]) -> InvalidInput:
    """An archive that has not one of the files that an import asks it for, as its error."""
    return InvalidInput(
        f"{order['source']} has not one file of {order['symbol']} {order['interval']} for that "
        f"time ({len(absent):,} asked for, {absent[0]} first); look at --symbol, --interval, "
        "--start, --end and the URL",
        code="nothing-there",
    )


def unplaced_error(result: Mapping[str, Any]) -> InvalidInput:
    """What became of a folder of which not every file could be placed, as the import's error."""
    left, done = result["unplaced"], result["files"]
    return InvalidInput(
        f"{done:,} of {done + len(left):,} files went in; it is not known what to make of "
        f"{names_of(left)}: the account says for each what to do",
        code="unplaced-files",
    )
