"""The table of bars rebuilt with months, or without, while it is read and written.

MySQL's own ALTER would let nobody store a bar for as long as it copies. Here the bars go into
another table beside: series by series, then what came meanwhile, then, with all series locked for
a moment, the rest, and the two tables change their names. Bars change only under the lock of
their series' row, and a change of the past shows in its ``past_version``: so what came meanwhile
is known exactly. Killed at any point before the change of names, nothing has changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import Connection, CursorResult, Engine, TextClause, select, text

from app.core.market.intervals import INTERVALS
from app.models import KlineRecord, KlineSeriesRow
from app.repositories.database import schema_engine
from app.repositories.migrating import alone
from app.repositories.partitions import KlinePartitions, partition_by_month

_OLD: Final = KlineRecord.__tablename__
_NEW: Final = "klines_rebuilt"
_AWAY: Final = "klines_before"
# One statement and one transaction: 0.3 s, and an undo log of some megabytes.
_CHUNK: Final = 50_000
# Rounds end when one is so short that writers can wait for the last one.
_SHORT_S: Final = 1.0
_ROUNDS: Final = 20
_COLUMNS: Final = ", ".join(column.name for column in KlineRecord.__table__.columns)
_COPY: Final = text(
    f"INSERT INTO {_NEW} ({_COLUMNS}) SELECT {_COLUMNS} FROM {_OLD} "  # noqa: S608 - our names
    "WHERE series_id = :series_id AND open_ts >= :start AND open_ts < :end"
)
_CLEAR: Final = text(f"DELETE FROM {_NEW} WHERE series_id = :series_id")  # noqa: S608
_COUNT: Final = f"ANALYZE NO_WRITE_TO_BINLOG TABLE {_OLD}"
_CLEAN: Final = f"DROP TABLE IF EXISTS {_NEW}, {_AWAY}"

#: Called with the bars copied so far.
Progress = Callable[[int], None]


class _Series(NamedTuple):
    id: int
    interval: str
    past_version: int


@dataclass(slots=True)
class _Copied:
    """What the new table holds: of each series the version of its past, and where it ends."""

    version: dict[int, int] = field(default_factory=dict)
    end: dict[int, int] = field(default_factory=dict)
    bars: int = 0


def rebuild(
    engine: Engine, *, by_month: bool, now_ms: int, progress: Progress = lambda _: None
) -> int:
    """Rebuild the bars' table with months or without; how many bars it holds.

    Needs as much room on the disk again as the bars take.

    Raises:
        Unavailable: another process migrates or backs up the database.
    """
    partitions = KlinePartitions(engine)
    first = partitions.first_open()
    with alone(engine), schema_engine(engine) as own, own.connect() as connection:
        connection.exec_driver_sql(_CLEAN)  # what a killed one left
        try:
            connection.exec_driver_sql(f"CREATE TABLE {_NEW} LIKE {_OLD}")
            if partitions.all():
                connection.exec_driver_sql(f"ALTER TABLE {_NEW} REMOVE PARTITIONING")
            if by_month:
                partition_by_month(connection, _NEW, now_ms if first is None else first, now_ms)
            copied = _copied(connection, progress)
            with partitions.all_series_locked():
                _round(connection, copied, progress)
                connection.exec_driver_sql(f"RENAME TABLE {_OLD} TO {_AWAY}, {_NEW} TO {_OLD}")
        finally:
            connection.rollback()
            connection.exec_driver_sql(_CLEAN)
        # MySQL would take the table for empty, and plan for that, until it counts by itself.
        connection.exec_driver_sql(_COUNT)
    return copied.bars


def _copied(connection: Connection, progress: Progress) -> _Copied:
    """Copy until so little is left that writers can wait for it."""
    copied = _Copied()
    for _ in range(_ROUNDS):
        began = time.monotonic()
        _round(connection, copied, progress)
        if time.monotonic() - began < _SHORT_S:
            break
    return copied


def _round(connection: Connection, copied: _Copied, progress: Progress) -> None:
    """Copy what the new table lacks, as it is now."""
    row = KlineSeriesRow
    found = connection.execute(select(row.id, row.interval, row.past_version).order_by(row.id))
    for series in [_Series._make(each) for each in found]:
        known = copied.version.get(series.id)
        if known is not None and known != series.past_version:
            copied.bars -= _changed(connection, _CLEAR, series_id=series.id)
            copied.end.pop(series.id, None)
        # A change that comes while it is copied has another version, and is found next time.
        copied.version[series.id] = series.past_version
        _copy(connection, series, copied, progress)
    connection.commit()


def _copy(connection: Connection, series: _Series, copied: _Copied, progress: Progress) -> None:
    row = KlineRecord
    mine = select(row.open_ts).where(row.series_id == series.id)
    last = connection.scalar(mine.order_by(row.open_ts.desc()).limit(1))
    position = copied.end.get(series.id)
    if position is None:
        position = connection.scalar(mine.order_by(row.open_ts).limit(1))
    if last is None or position is None:
        return
    reach = _CHUNK * INTERVALS[series.interval].length_ms
    while position <= last:
        end = min(last + 1, position + reach)
        copied.bars += _changed(connection, _COPY, series_id=series.id, start=position, end=end)
        connection.commit()
        copied.end[series.id] = position = end
        progress(copied.bars)


def _changed(connection: Connection, statement: TextClause, **values: int) -> int:
    """How many rows a statement inserted or deleted."""
    return cast("CursorResult[Any]", connection.execute(statement, values)).rowcount
