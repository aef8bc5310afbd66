"""What an import job says of itself: its time, its progress and its account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.core.errors import InvalidInput
from app.models import JobRow
from app.services.importing.order import ImportFile


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
    """What tells a local file from the one that lay there before.

    Raises:
        InvalidInput: it is gone.
    """
    if file.span is not None:
        return ()
    try:
        found = Path(file.place).stat()
    except OSError as error:
        raise InvalidInput(f"{file.name} cannot be read: {error.strerror or error}") from None
    return found.st_size, found.st_mtime_ns


def progress_of(done: int, total: int, series: dict[str, Any], work_ms: int) -> dict[str, Any]:
    rows = sum(tally["rows"] for tally in series.values())
    return {
        "slices_done": done,
        "slices_total": total,
        "rows": rows,
        "work_ms": work_ms,
        "rows_per_s": round(rows * 1000 / work_ms) if work_ms else None,
    }


def result_of(job: JobRow) -> dict[str, Any]:
    """The account of the whole import."""
    series = list(job.cursor.get("series", {}).values())
    names = ("rows", "new", "unchanged", "revised", "bad", "quarantined")
    return {
        **{name: sum(tally[name] for tally in series) for name in names},
        "rows_per_s": job.progress.get("rows_per_s"),
        "files": job.progress.get("slices_done", 0),
        "series": series,
        "shifts": job.cursor.get("shifts", []),
        "absent": job.cursor.get("absent", []),
        "skipped": job.cursor.get("skipped", []),
    }
