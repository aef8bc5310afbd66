"""The mark of a record that is being restored: from before its first row until it is fenced.

A restore commits many times, and what a kill leaves of it looks like any other record: trusted
accounts, no halt, orders that were sent long ago. So a table that no release's schema has stands
in the database meanwhile, and whoever would use the record looks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Column, Engine, MetaData, Table, Text, inspect, select, text

from app.core.errors import Unavailable
from app.repositories.database import WRITES, is_mysql

TABLE: Final = "unfinished_restore"
#: The code of the error for a record that bears the mark.
UNFINISHED: Final = "unfinished-restore"
_mark: Final = Table(
    TABLE, MetaData(), Column("again", Text, nullable=False), mysql_charset="utf8mb4"
)


def begin(engine: Engine, again: str) -> None:
    """Mark the record, or mark it anew.

    Args:
        again: the command that restores again, for the one who finds it unfinished.
    """
    with engine.begin() as connection:
        _mark.create(connection, checkfirst=True)
        connection.execute(_mark.delete())
        connection.execute(_mark.insert().values(again=again))


def end(engine: Engine) -> None:
    """Take the mark away; the record is whole, and fenced."""
    with engine.begin() as connection:
        _mark.drop(connection)


def is_unfinished(engine: Engine) -> bool:
    """Whether the record bears the mark."""
    with engine.connect().execution_options(**{WRITES: False}) as connection:
        return inspect(connection).has_table(TABLE)


def require_whole(engine: Engine) -> None:
    """Nothing, unless the record bears the mark.

    Raises:
        Unavailable: it does; the sentence holds the command that restores again.
    """
    with engine.connect().execution_options(**{WRITES: False}) as connection:
        if not inspect(connection).has_table(TABLE):
            return
        # Killed between the table and its row, it is a mark as well.
        again = connection.execute(select(_mark.c.again)).scalar()
    raise Unavailable(
        "this record is a restore that did not end, and nothing else may use it; unless it is "
        "running now, restore again, which empties it first: "
        + (again or "tidemark system restore FILE (--full for the full stack)"),
        code=UNFINISHED,
    )


@contextmanager
def restoring_alone(engine: Engine) -> Iterator[None]:
    """While nobody else restores into this database; SQLite's users share a runtime lock.

    Raises:
        Unavailable: another process is restoring.
    """
    if not is_mysql(engine):
        yield
        return
    # The server has one name for all its databases, of 64 characters at most.
    name = {"name": f"tidemark.restore.{engine.url.database}"[:64]}
    with engine.connect() as connection:
        # The server takes a moment to see that a restore was killed.
        if connection.execute(text("SELECT GET_LOCK(:name, 5)"), name).scalar() != 1:
            raise Unavailable("another process is restoring into this database; wait for its end")
        # Not to be idle in a transaction for as long as a restore takes.
        connection.commit()
        try:
            yield
        finally:
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), name)
