"""The product's own servers, as tests use them: private, temporary, gone with the test.

Each instance has free ports, generated passwords and, unless it is given a directory, a
temporary one that goes with it; it leaves no process behind, not even when its owner is killed.

``TIDEMARK_TEST_MYSQL_URL`` names a MySQL or MariaDB to use instead of a private MariaDB: a URL
of a user who may create databases, ``mysql+pymysql://root:secret@127.0.0.1:3306/``.
"""

from __future__ import annotations

import os
import sys
from typing import Final, Protocol

from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from app.cli.services import mariadb
from app.cli.services.machine import (
    PROGRAM_PATH,
    ServerError,
    ServerNotInstalledError,
    free_port,
    port_is_free,
)
from app.cli.services.rabbitmq import RabbitMQServer
from app.cli.services.redis import RedisServer
from app.cli.services.server import NativeServer as PrivateServer

__all__ = [
    "PROGRAM_PATH",
    "Databases",
    "ExternalMySQL",
    "MariaDBServer",
    "PrivateServer",
    "RabbitMQServer",
    "RedisServer",
    "ServerError",
    "ServerNotInstalledError",
    "external_mysql",
    "free_port",
    "port_is_free",
]

EXTERNAL_MYSQL: Final = "TIDEMARK_TEST_MYSQL_URL"


class MariaDBServer(mariadb.MariaDBServer):
    """The product's, less every flush to the disk: no test cuts the power."""

    flush_log_at_commit = 2

    def _command(self) -> list[str]:
        return [*super()._command(), "--debug-no-sync", "--innodb-flush-method=nosync"]


class Databases(Protocol):
    """Where tests get empty databases from."""

    @property
    def url(self) -> str:
        """The server without a database."""
        ...

    def create_database(self, name: str, *, exist_ok: bool = False) -> str:
        """Create an empty database and return its SQLAlchemy URL."""
        ...

    def drop_database(self, name: str) -> None:
        """Drop it."""
        ...


class ExternalMySQL:
    """A server that somebody else runs, such as the service container of a CI job."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)

    @property
    def url(self) -> str:
        """The server without a database."""
        return self._of("")

    def create_database(self, name: str, *, exist_ok: bool = False) -> str:
        """Create an empty database, as strictly collated as the private server's."""
        condition = "IF NOT EXISTS " if exist_ok else ""
        self.execute(
            f"CREATE DATABASE {condition}`{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )
        return self._of(name)

    def drop_database(self, name: str) -> None:
        """Drop it."""
        self.execute(f"DROP DATABASE `{name}`")

    def _of(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def execute(self, statement: str) -> None:
        """Run one statement as its administrator."""
        engine = create_engine(self._url.set(database=None), poolclass=NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)


# What `make services` and compose say on the command line; the isolation each session says.
_SETTINGS: Final = (
    "local_infile = ON",
    "innodb_lock_wait_timeout = 3",
    "time_zone = '+00:00'",
)


def prepare(server: ExternalMySQL) -> None:
    """Set on a running server what the full stack wants of it."""
    for setting in _SETTINGS:
        server.execute(f"SET GLOBAL {setting}")


def external_mysql() -> ExternalMySQL | None:
    """The server that ``TIDEMARK_TEST_MYSQL_URL`` names, or None."""
    url = os.environ.get(EXTERNAL_MYSQL)
    return ExternalMySQL(url) if url else None


def main() -> int:
    """`python -m tests.support.servers`: prepare the server of TIDEMARK_TEST_MYSQL_URL."""
    server = external_mysql()
    if server is None:
        sys.stderr.write(f"set {EXTERNAL_MYSQL}\n")
        return 2
    prepare(server)
    return 0


if __name__ == "__main__":
    sys.exit(main())
