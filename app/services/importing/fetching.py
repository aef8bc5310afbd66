"""Files at hand: local ones where they lie, those of an archive fetched and checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.core.errors import InvalidInput
from app.core.market.coverage import CoverageState, account
from app.core.market.files.archive import CHECKSUM, require_checksum, require_checksum_beside
from app.core.market.files.members import require_member
from app.core.ports import FileFetcher
from app.repositories.unit import Units
from app.services.importing.order import ImportFile


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
    def at_hand(self, file: ImportFile) -> Iterator[Path | None]:
        """The file, as its checksum says; None where the archive has none or it is not needed.

        Raises:
            InvalidInput: it is not what its checksum says; no bar of it was read.
            Unavailable: it could not be fetched now.
        """
        if file.span is None:
            path = Path(file.place)
            require_sound(path)
            yield path
        elif self.is_stored(file):
            yield None
        else:
            fetched = self._fetched(file.place)
            try:
                yield fetched
            finally:
                if fetched is not None:
                    fetched.unlink(missing_ok=True)

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

    def _fetched(self, url: str) -> Path | None:
        """The file of a URL; None where there is none."""
        path = self._fetcher.fetch(url, self._folder)
        if path is None:
            return None
        stated = self._fetcher.fetch(url + CHECKSUM, self._folder)
        if stated is None:
            path.unlink(missing_ok=True)
            raise InvalidInput(f"{url} has no checksum beside it; what it holds cannot be trusted")
        try:
            require_checksum(path, stated.read_text(encoding="utf-8", errors="replace"))
            require_member(path)
        except InvalidInput:
            path.unlink(missing_ok=True)  # the next try fetches it whole
            raise
        finally:
            stated.unlink(missing_ok=True)
        return path
