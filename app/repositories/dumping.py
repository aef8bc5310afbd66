"""The whole record as plain values, out of one consistent snapshot and into an empty database.

The values are the same whichever database they come from, so a backup of SQLite may be restored
to MySQL and the other way round. The columns are those that the database has, not those of the
models: a backup of an older schema is loaded as it was, and migrated then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Engine, MetaData, column, func, inspect, select, table

from app.core.money import canonical
from app.models.base import trimmed
from app.repositories import unfinished
from app.repositories.database import WRITES, is_mysql, schema_engine

#: Kept by Alembic; the schema's revision is part of a backup in its own words.
VERSION_TABLE: Final = "alembic_version"
_READ_ROWS: Final = 2_000
_WRITE_ROWS: Final = 2_000
_ROWS_OF_A_TRANSACTION: Final = 20_000


class Snapshot:
    """The record at one moment, however long it takes to read it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tables = _tables(connection)

    @property
    def tables(self) -> list[str]:
        """Names of the tables; what a table refers to comes before it."""
        return list(self._tables)

    def columns(self, name: str) -> list[str]:
        """The columns of a table."""
        return self._tables[name]

    def rows(self, name: str) -> Iterator[list[Any]]:
        """The rows of a table: texts, integers and NULL; amounts are canonical text.

        Raises:
            TypeError: a column holds something else, which a backup could not keep.
        """
        columns = self._tables[name]
        statement = select(table(name, *map(column, columns)))
        found = self._connection.execution_options(
            stream_results=True, max_row_buffer=_READ_ROWS
        ).execute(statement)
        for row in found:
            yield [_plain(value) for value in row]


@contextmanager
def snapshot(engine: Engine) -> Iterator[Snapshot]:
    """A snapshot of the record; writers go on meanwhile.

    InnoDB and SQLite's WAL both show one transaction what was committed before its first read.
    """
    options: dict[str, Any] = {WRITES: False}
    if is_mysql(engine):
        options["isolation_level"] = "REPEATABLE READ"
    with engine.connect().execution_options(**options) as connection:
        yield Snapshot(connection)


def table_names(engine: Engine) -> list[str]:
    """Every table of a database."""
    return sorted(inspect(engine).get_table_names())


def load_table(
    engine: Engine, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """Insert rows into a table; how many. Committed every 20 000 rows."""
    statement = table(name, *map(column, columns)).insert()
    pending = iter(rows)
    total = 0
    while True:
        with engine.begin() as connection:
            loaded = 0
            while loaded < _ROWS_OF_A_TRANSACTION:
                part = [
                    dict(zip(columns, row, strict=True)) for row in islice(pending, _WRITE_ROWS)
                ]
                if not part:
                    break
                connection.execute(statement, part)
                loaded += len(part)
        total += loaded
        if loaded < _ROWS_OF_A_TRANSACTION:
            return total


def loading_order(engine: Engine) -> list[str]:
    """The tables of a database; what a table refers to comes before it."""
    with engine.connect() as connection:
        return list(_tables(connection))


def count_rows(engine: Engine, name: str) -> int:
    """How many rows a table has."""
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table(name))).scalar_one()


def empty_tables(engine: Engine, names: Iterable[str]) -> None:
    """Delete every row of tables: what a migration put there is in the backup too."""
    with engine.begin() as connection:
        for name in names:
            connection.execute(table(name).delete())


def drop_everything(engine: Engine) -> None:
    """Drop every table of a database that was empty when a restore began.

    The mark goes last: killed before that, what is left is still known as a restore's.
    """
    metadata = MetaData()
    # A table of a whole record may take the server longer than any query may.
    with schema_engine(engine) as own, own.begin() as connection:
        metadata.reflect(connection)
        mark = metadata.tables.get(unfinished.TABLE)
        metadata.drop_all(connection, [each for each in metadata.sorted_tables if each is not mark])
        if mark is not None:
            mark.drop(connection)


def _tables(connection: Connection) -> dict[str, list[str]]:
    metadata = MetaData()
    metadata.reflect(connection)
    return {
        each.name: [column.name for column in each.columns]
        for each in metadata.sorted_tables
        if each.name not in (VERSION_TABLE, unfinished.TABLE)
    }


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Decimal):
        return canonical(trimmed(value))
    raise TypeError(f"a backup cannot keep a {type(value).__name__}")
