"""Every statement of the suite, compiled for both dialects, whichever database it ran on."""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy import ClauseElement, Connection, Engine, event
from sqlalchemy.dialects import mysql, sqlite

#: Spelled differently, or missing, on one of MySQL 8.4, MariaDB 10.11 and SQLite.
FORBIDDEN: Final = re.compile(
    r"\b(RETURNING|AS new|FOR SHARE|LOCK IN SHARE MODE|ILIKE|NULLS (FIRST|LAST)|ON CONFLICT)\b",
    re.IGNORECASE,
)
DIALECTS: Final[tuple[Any, ...]] = (mysql.dialect(), sqlite.dialect())


class NotShared(AssertionError):
    """A statement that one of the databases does not understand."""


def check(statement: ClauseElement) -> None:
    """Compile a statement for MySQL and SQLite.

    Raises:
        NotShared: it compiles for one alone, or uses what the databases spell differently.
    """
    for dialect in DIALECTS:
        try:
            text = str(statement.compile(dialect=dialect))
        except Exception as error:
            raise NotShared(f"no statement of {dialect.name}: {statement!r}") from error
        if found := FORBIDDEN.search(text):
            raise NotShared(f"{found[0]} is not shared SQL: {text}")


class BothDialects:
    """Checks each statement that any engine is about to execute, once.

    Textual SQL of the driver (PRAGMA, LOAD DATA) is written for one database on purpose and
    does not pass here.
    """

    def __init__(self) -> None:
        self._seen: set[Any] = set()

    def __enter__(self) -> BothDialects:
        event.listen(Engine, "before_execute", self._before)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_execute", self._before)

    def _before(self, _connection: Connection, statement: Any, *_: Any) -> None:
        if not isinstance(statement, ClauseElement) or _is_alembics(statement):
            return
        key = statement._generate_cache_key()
        known = None if key is None else key.key
        if known is None or known not in self._seen:
            check(statement)
            self._seen.add(known)


def _is_alembics(statement: ClauseElement) -> bool:
    """Whether it keeps the migrations' own table, which SQLAlchemy fits to the database."""
    return str(getattr(statement, "table", "")) == "alembic_version"
