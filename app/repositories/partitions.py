"""Monthly partitions of the table of bars, on MySQL and MariaDB.

A range read opens only the months that it spans, and a month that nobody keeps any more is dropped
as a file. Every unique key must hold the column that partitions: the primary key has the time.
SQLite has no partitions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import OperationalError

from app.core.errors import Unavailable
from app.core.market.intervals import INTERVALS
from app.models import KlineRecord, KlineSeriesRow
from app.repositories.database import driver_code, is_mysql, reading_engine, schema_engine

#: Months that are made before their first bar. A beat that is away for a quarter is noticed.
MONTHS_AHEAD: Final = 3
#: Of bars behind the last month; it is empty where the months ahead are made in time.
LATER: Final = "p_later"
_MONTH: Final = INTERVALS["1M"]
_MAXVALUE: Final = "MAXVALUE"
# A lock is waited for three seconds, and a transaction that stores bars is shorter.
_LOCK_TRIES: Final = 20
# Lock wait timeout, deadlock.
_LOST_RACES: Final = frozenset({1205, 1213})
_KLINES: Final = KlineRecord.__tablename__
_FOUND: Final = text(
    "SELECT partition_name, partition_description, table_rows, data_length + index_length "
    "FROM information_schema.partitions WHERE table_schema = DATABASE() "
    "AND table_name = :name AND partition_name IS NOT NULL ORDER BY partition_ordinal_position"
)
_SIZE: Final = text(
    "SELECT table_rows, data_length + index_length FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_name = :name"
)


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition.

    Attributes:
        start: open time of the first bar that it may hold; 0 of the first one, which also holds
            whatever is older than its month.
        end: exclusive; None of the last one.
        rows, bytes: as the server estimates them.
    """

    name: str
    start: int
    end: int | None
    rows: int
    bytes: int


class KlinePartitions:
    """The partitions of one database's bars.

    Attributes:
        engine: of that database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def are_possible(self) -> bool:
        """Whether the database has partitions at all."""
        return is_mysql(self.engine)

    def all(self) -> list[Partition]:
        """The partitions, ascending; none where the table is whole."""
        if not self.are_possible:
            return []
        found: list[Partition] = []
        with reading_engine(self.engine).connect() as connection:
            for name, below, rows, size in connection.execute(_FOUND, {"name": _KLINES}):
                start = (found[-1].end or 0) if found else 0
                end = None if below == _MAXVALUE else int(below)
                found.append(Partition(name, start, end, int(rows), int(size)))
        return found

    def size(self) -> tuple[int, int]:
        """Rows and bytes of the whole table, as the server estimates them."""
        with reading_engine(self.engine).connect() as connection:
            rows, size = connection.execute(_SIZE, {"name": _KLINES}).one()
        return int(rows), int(size)

    def first_open(self, before: int | None = None) -> int | None:
        """Open time of the first bar of all that opens before a time; None where there is none.

        By the series, one seek for each: a look at all bars at once would read their whole index.
        """
        row = KlineRecord
        with reading_engine(self.engine).connect() as connection:
            found: list[int] = []
            for series_id in connection.scalars(select(KlineSeriesRow.id)).all():
                wanted = select(row.open_ts).where(row.series_id == series_id)
                if before is not None:
                    wanted = wanted.where(row.open_ts < before)
                found += connection.scalars(wanted.order_by(row.open_ts).limit(1)).all()
        return min(found, default=None)

    def holds(self, part: Partition, series_id: int) -> bool:
        """Whether a partition holds a bar of a series."""
        row = KlineRecord
        wanted = select(row.open_ts).where(row.series_id == series_id, row.open_ts >= part.start)
        if part.end is not None:
            wanted = wanted.where(row.open_ts < part.end)
        with reading_engine(self.engine).connect() as connection:
            return connection.execute(wanted.limit(1)).first() is not None

    def drop(self, part: Partition) -> None:
        """Drop a partition with all its bars. Call it while all series are locked."""
        self._alter(f"ALTER TABLE {_KLINES} DROP PARTITION {part.name}")

    def add_months(self, now_ms: int) -> list[str]:
        """Make the months that lack up to so many ahead; their names.

        The last partition is split: an instant while it is empty, as it should be.
        """
        known = self.all()
        if not known:
            return []
        last = max((part.end for part in known if part.end is not None), default=None)
        wanted = month_ends(_month_of(now_ms) if last is None else last, now_ms)
        if not wanted:
            return []
        self._split(known[-1].name, [*_named(wanted), _later()])
        return [_name(end) for end in wanted]

    def split_oldest(self) -> list[str]:
        """Split off the months of bars that are older than the first partition's; their names.

        It copies what the first partition holds; what stores bars waits for it.
        """
        known = self.all()
        if not known or known[0].end is None:
            return []
        end = known[0].end
        first = self.first_open(before=_month_of(end - 1))
        if first is None:
            return []
        ends = [*_ends(first, _month_of(end - 1)), end]
        self._split(known[0].name, _named(ends))
        return [_name(each) for each in ends[:-1]]

    @contextmanager
    def all_series_locked(self) -> Iterator[None]:
        """While nobody stores or removes a bar of any series, known or new.

        The rows of all series are locked, and so is the room for new ones.

        Raises:
            Unavailable: some of them stayed locked for a minute.
        """
        # READ COMMITTED would lock the rows alone.
        options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect().execution_options(**options) as connection:
            _lock_series(connection)
            try:
                yield
            finally:
                connection.rollback()

    def _split(self, name: str, into: Sequence[str]) -> None:
        parts = ", ".join(into)
        self._alter(f"ALTER TABLE {_KLINES} REORGANIZE PARTITION {name} INTO ({parts})")

    def _alter(self, statement: str) -> None:
        with schema_engine(self.engine) as own, own.connect() as connection:
            connection.exec_driver_sql(statement)


def _lock_series(connection: Connection) -> None:
    wanted = select(KlineSeriesRow.id).order_by(KlineSeriesRow.id).with_for_update()
    for _ in range(_LOCK_TRIES):
        try:
            connection.execute(wanted).all()
        except OperationalError as error:
            if driver_code(error.orig) not in _LOST_RACES:
                raise
            connection.rollback()
        else:
            return
    raise Unavailable("some series of klines stayed locked for a minute; try again")


def month_ends(start: int, now_ms: int) -> list[int]:
    """Ends of the months from the one that begins at ``start`` to those ahead of now."""
    stop = _month_of(now_ms)
    for _ in range(MONTHS_AHEAD + 1):
        stop = _MONTH.next(stop)
    return _ends(start, stop)


def partition_by_month(connection: Connection, name: str, first_ms: int, now_ms: int) -> None:
    """Partition an empty table, from the month of the first bar on."""
    parts = ", ".join([*_named(month_ends(_month_of(first_ms), now_ms)), _later()])
    connection.exec_driver_sql(f"ALTER TABLE {name} PARTITION BY RANGE (open_ts) ({parts})")


def _month_of(ts: int) -> int:
    return _MONTH.floor(ts)


def _ends(first: int, stop: int) -> list[int]:
    """Ends of the months from that of ``first`` up to ``stop``, the end of the last one."""
    ends = []
    end = _MONTH.next(_month_of(first))
    while end <= stop:
        ends.append(end)
        end = _MONTH.next(end)
    return ends


def _named(ends: Sequence[int]) -> list[str]:
    return [f"PARTITION {_name(end)} VALUES LESS THAN ({end})" for end in ends]


def _name(end: int) -> str:
    """By the month whose bars it holds, as p202603."""
    return datetime.fromtimestamp(_month_of(end - 1) / 1000, UTC).strftime("p%Y%m")


def _later() -> str:
    return f"PARTITION {LATER} VALUES LESS THAN {_MAXVALUE}"
