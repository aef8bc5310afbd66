"""Files at hand: local ones where they lie, those of an archive fetched and checked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from app.core.errors import InvalidInput, NotFetched, TidemarkError
from app.core.market.coverage import CoverageState, account
from app.core.market.files.archive import CHECKSUM, require_checksum, require_checksum_beside
from app.core.market.files.members import require_member
from app.core.ports import FileFetcher
from app.repositories.unit import Units
from app.services.importing.order import ImportFile
from app.services.jobs import LIVE

#: Code of the end of a job whose archive was never reached.
UNREACHABLE: Final = "unreachable"
# Tries of a host that was never reached: its name may be mistyped.
_FIRST_TRIES: Final = 3
# An archive that is away for longer is asked for by a person again.
_PATIENCE_MS: Final = 3_600_000
# What a file and what its checksum may take at least, s: with the 40 s of a slice that a file may
# take at most, and half of each again, a task stays under its minute.
_LEAST_S: Final = 10.0
_FETCHED: Final = "fetched"
_UNREACHED_SINCE: Final = "unreached_since"


def fetched(cursor: dict[str, Any]) -> dict[str, Any]:
    """The cursor of a job to which an archive gave an answer: it begins to be patient anew."""
    left_out = (_UNREACHED_SINCE, "failures")
    kept = {name: value for name, value in cursor.items() if name not in left_out}
    return {**kept, _FETCHED: True}


def not_fetched(
    cursor: dict[str, Any], error: NotFetched, now_ms: int
) -> tuple[dict[str, Any], TidemarkError | None]:
    """The cursor of a job that got no file, and the error with which it is to end by now."""
    since = int(cursor.get(_UNREACHED_SINCE, now_ms))
    kept = {**cursor, _UNREACHED_SINCE: since}
    if not error.was_reached and _FETCHED not in cursor:
        if int(cursor.get("failures", 0)) + 1 < _FIRST_TRIES:
            return kept, None
        said = f"{error.message}; {_FIRST_TRIES} tries were in vain: is the URL right?"
        return kept, InvalidInput(said, code=UNREACHABLE)
    if now_ms - since < _PATIENCE_MS:
        return kept, None
    said = f"{error.message}; it was tried for an hour: import again when the archive is there"
    return kept, TidemarkError(said, code=error.error_code)


def require_sound(path: Path) -> None:
    """Nothing, where a local file is what its name and the checksum beside it say.

    Raises:
        InvalidInput: it is not.
    """
    require_checksum_beside(path)
    require_member(path)


class FilesAtHand:
    """Gives the files of a plan as local ones.

    Args:
        folder: where fetched files lie while they are read.
    """

    def __init__(self, units: Units, fetcher: FileFetcher, folder: Path) -> None:
        self._units = units
        self._fetcher = fetcher
        self._folder = folder

    @contextmanager
    def at_hand(
        self, job_id: str, file: ImportFile, most_s: float, *, is_needed: bool = False
    ) -> Iterator[Path | None]:
        """The file, as its checksum says; None where the archive has none or it is not needed.

        A file that was fetched stays here for the job's next slice, until ``forget``.

        Args:
            most_s: seconds that are left to fetch it.
            is_needed: also where all of its bars are stored.

        Raises:
            InvalidInput: it is not what its checksum says; no bar of it was read.
            NotFetched: it could not be had now.
            NotYetWhole: a part of it has come.
        """
        if file.span is None:
            path = Path(file.place)
            require_sound(path)
            yield path
        elif not is_needed and self.is_stored(file):
            yield None
        else:
            yield self._fetched(job_id, file, max(most_s, _LEAST_S))

    def forget(self, job_id: str) -> None:
        """Delete what was fetched for a job."""
        shutil.rmtree(self._folder / job_id, ignore_errors=True)

    def tidy(self) -> None:
        """Delete what was fetched for jobs that have ended, be it here or by another process."""
        if not self._folder.is_dir():
            return
        for name in [each.name for each in self._folder.iterdir()]:
            with self._units.read() as unit:
                job = unit.jobs.find(name)
            if job is None or job.state not in LIVE:
                self.forget(name)

    def is_stored(self, file: ImportFile) -> bool:
        """Whether every bar that a file can hold, by its name, is stored already."""
        if file.span is None:
            return False
        exchange, symbol, name, kind = file.series
        with self._units.read() as unit:
            series = unit.klines.find_series(exchange, symbol, name, kind)
            if series is None:
                return False
            spans = account(unit.coverage.spans(series.id, *file.span), *file.span)
        return all(span.state is CoverageState.PRESENT for span in spans)

    def _fetched(self, job_id: str, file: ImportFile, most_s: float) -> Path | None:
        """The file of a URL; None where there is none."""
        folder, url = self._folder / job_id, file.place
        path = self._fetcher.fetch(url, folder, most_s)
        if path is None:
            return None
        stated = self._fetcher.fetch(url + CHECKSUM, folder, _LEAST_S)
        try:
            if stated is None:
                raise InvalidInput(
                    f"{url} has no checksum beside it; what it holds cannot be trusted"
                )
            said = stated.read_text(encoding="utf-8", errors="replace")
            require_checksum(path, said, again="import again")
            require_member(path)
        except InvalidInput:
            self.forget(job_id)  # the next try fetches it whole
            raise
        return path
