"""Databases with every table and no row, in milliseconds.

45 tables are 45 files, made and flushed: half a second on MariaDB, and a fifth of one on SQLite.
So MariaDB's databases are used again once a test has left them, and SQLite's are copies of a file.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, inspect
from sqlalchemy.pool import NullPool

from app.models import Base
from app.repositories.database import open_engine
from tests.support.servers import Databases

# A table's definition says where its ids go on, which no two tests leave alike.
_NEXT_ID: Final = re.compile(r" AUTO_INCREMENT=\d+")


def make_tables(engine: Engine) -> None:
    """Every table, where the database has none yet."""
    path = Path(engine.url.database or "")
    if engine.dialect.name == "sqlite" and not path.exists():
        shutil.copyfile(_sqlite_file(), path)
    elif not inspect(engine).has_table("klines"):
        Base.metadata.create_all(engine, checkfirst=False)


class LentDatabases:
    """Databases of a server that tests have one after the other."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._free: list[tuple[str, str]] = []
        self._definitions: dict[str, str] = {}

    def lend(self) -> tuple[str, str]:
        """Name and URL of one that has every table and no row."""
        if self._free:
            return self._free.pop()
        name = f"lent_{uuid.uuid4().hex}"
        url = self._databases.create_database(name)
        engine = open_engine(url)
        make_tables(engine)
        if not self._definitions:
            with engine.connect() as connection:
                self._definitions = _definitions(connection)
        engine.dispose()
        return name, url

    def take_back(self, name: str, url: str) -> None:
        """Empty it for the next test; one whose tables are not what they were is dropped."""
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            is_whole = _definitions(connection) == self._definitions
            if is_whole:
                _empty(connection, list(self._definitions))
        if is_whole:
            self._free.append((name, url))
        else:
            self._databases.drop_database(name)

    def close(self) -> None:
        """Drop those that nobody has."""
        for name, _ in self._free:
            self._databases.drop_database(name)


@cache
def _sqlite_file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tidemark-schema-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    engine = open_engine(f"sqlite:///{folder / 'tidemark.db'}")
    Base.metadata.create_all(engine)
    engine.dispose()
    return folder / "tidemark.db"


def _definitions(connection: Connection) -> dict[str, str]:
    """What each table is, by its name."""
    names = connection.exec_driver_sql("SHOW TABLES").scalars().all()
    return {
        name: _NEXT_ID.sub("", connection.exec_driver_sql(f"SHOW CREATE TABLE `{name}`").one()[1])
        for name in names
    }


def _empty(connection: Connection, names: list[str]) -> None:
    connection.exec_driver_sql("SET foreign_key_checks = 0")
    any_row = " UNION ALL ".join(f"(SELECT '{name}' FROM `{name}` LIMIT 1)" for name in names)  # noqa: S608
    for name in connection.exec_driver_sql(any_row).scalars().all():
        connection.exec_driver_sql(f"TRUNCATE TABLE `{name}`")
