"""What an import looks at before it stores a bar: of each series once, and of each large file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Protocol

from app.core.market.files.naming import BARS, TRADES
from app.repositories.unit import Units
from app.services.importing import chunks as chunks_of
from app.services.importing.chunks import Chunk
from app.services.importing.contradictions import is_to_be_foreseen
from app.services.importing.looking import FEW, Against, against_stored
from app.services.importing.order import ImportFile, ImportOrder, ImportPlan
from app.services.importing.tapes import Cursor
from app.services.importing.turns import Turn


class Reads(Protocol):
    """Reads the chunks of a file from its beginning."""

    def __call__(self, file: ImportFile, path: Path, *, most: int | None) -> Iterator[Chunk]:
        """See ``checked_chunks``."""
        ...


class Foresight:
    """Keeps files out by the bars that are stored, before any of theirs is.

    Args:
        turn: that notes what is left out.
        is_stored: whether all bars that a file of an archive can hold are stored.
        at_hand: gives a file whose turn has not come; one of an archive is fetched and waits.
        read: its chunks.

    Attributes:
        has_looked: a series was looked at, which takes its time.
    """

    def __init__(
        self,
        units: Units,
        turn: Turn,
        order: ImportOrder,
        *,
        is_stored: Callable[[ImportFile], bool],
        at_hand: Callable[[ImportFile], AbstractContextManager[Path | None]],
        read: Reads,
    ) -> None:
        self._units = units
        self._turn = turn
        self._order = order
        self._is_stored = is_stored
        self._at_hand = at_hand
        self._read = read
        self.has_looked = False

    def of_series(self, plan: ImportPlan, position: int, cursor: Cursor) -> tuple[int, str]:
        """How many files from a position on are left out as of another market; which one told it.

        It is found out before the first file of a series; for its others the cursor says it.
        """
        file = plan.files[position]
        if self._order.revise or file.is_funding:
            return 0, ""
        judged = cursor.get("judged")
        if judged is None or judged["series"] != list(file.series):
            has_begun = cursor["chunks"] or "|".join(file.series) in cursor["series"]
            is_alone = not any(map(partial(_is_beside, file), plan.files[position + 1 :]))
            if has_begun or (is_alone and file.reading.holds == BARS):
                return 0, ""  # a file of bars alone is foreseen by itself
            against, looked_at = self._looked(plan, file)
            self._turn.judged(file, against, looked_at)
            self.has_looked = True
        else:
            told, looked_at = judged["against"], judged["looked_at"]
            against = None if told is None else Against.of(told)
        if against is None:
            return 0, looked_at
        coming = list(takewhile(partial(_is_beside, file), plan.files[position:]))
        self._turn.leave_out_series(coming, against, position)
        return len(coming), looked_at

    def of_file(self, file: ImportFile, path: Path) -> bool:
        """Whether the bars of a file may come in; False if it is shifted.

        Raises:
            InvalidInput: they contradict what is stored.
        """
        if self._order.revise:
            return True
        with self._units.read() as unit:
            wanted = is_to_be_foreseen(unit, file, path, chunks_of.MOST)
        return not wanted or self._turn.foresees(file, self._read(file, path, most=None))

    def _looked(self, plan: ImportPlan, file: ImportFile) -> tuple[Against | None, str]:
        # Those of an archive first that are to be fetched anyway.
        files = sorted(filter(partial(_is_beside, file), plan.files), key=self._is_stored)
        if self._is_stored(files[0]):
            return None, ""

        def read(each: ImportFile, path: Path) -> Iterator[Chunk]:
            return self._read(each, path, most=FEW if each.reading.holds == TRADES else None)

        return against_stored(self._units, files, self._order, self._at_hand, read)


def _is_beside(file: ImportFile, other: ImportFile) -> bool:
    """Whether two files hold bars or trades of one series."""
    return other.series == file.series and not other.is_funding
