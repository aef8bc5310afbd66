"""Monthly partitions of the bars: how they stand, switching them on and off, months ahead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.core.errors import Conflict, InvalidInput
from app.core.ports import Clock
from app.repositories.partitioning import rebuild
from app.repositories.partitions import KlinePartitions, Partition

_NONE = (
    "SQLite has no partitions; a large installation runs on MySQL or MariaDB, and this one keeps "
    "its bars in one table"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the bars lie.

    Attributes:
        are_possible: False on SQLite.
        partitions: none where the table is whole.
        rows, bytes: of all bars, as the server estimates them; 0 on SQLite.
    """

    are_possible: bool
    partitions: Sequence[Partition]
    rows: int
    bytes: int


class PartitioningService:
    """Partitions of the record's bars."""

    def __init__(self, partitions: KlinePartitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock

    def status(self) -> Standing:
        """How the bars lie now."""
        if not self._partitions.are_possible:
            return Standing(False, (), 0, 0)
        return Standing(True, self._partitions.all(), *self._partitions.size())

    def enable(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Put the bars into months while they are read and written; how many there are.

        Raises:
            InvalidInput: the database has no partitions.
            Conflict: they lie in months already.
            Unavailable: another process migrates or backs up the database.
        """
        self._require_possible()
        if self._partitions.all():
            raise Conflict("the bars lie in monthly partitions already")
        return self._rebuild(True, progress)

    def disable(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Put the bars into one table again, in the same way; how many there are.

        Raises:
            InvalidInput: the database has no partitions.
            Conflict: they lie in one table already.
            Unavailable: another process migrates or backs up the database.
        """
        self._require_possible()
        if not self._partitions.all():
            raise Conflict("the bars lie in one table already")
        return self._rebuild(False, progress)

    def maintain(self) -> list[str]:
        """Make the months that lack, before the first bar's and ahead; their names.

        Nothing, where the table is whole.
        """
        now = self._clock.now_ms()
        return [*self._partitions.split_oldest(), *self._partitions.add_months(now)]

    def _rebuild(self, by_month: bool, progress: Callable[[int], None]) -> int:
        now = self._clock.now_ms()
        return rebuild(self._partitions.engine, by_month=by_month, now_ms=now, progress=progress)

    def _require_possible(self) -> None:
        if not self._partitions.are_possible:
            raise InvalidInput(_NONE)
