"""MariaDB as the full stack wants it: durable, utf8mb4_bin, short lock waits, local infile."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess

from app.cli.services import machine
from app.cli.services.machine import LOOPBACK
from app.cli.services.server import USER, NativeServer


class MariaDBServer(NativeServer):
    """A private MariaDB. Its administrator owns all; an application's user one schema."""

    title = "MariaDB"
    program = "mariadbd"
    passwords_needed = ("admin", "application")
    #: 1 writes every commit through to the disk. Tests, which survive no power cut, say 2.
    flush_log_at_commit = 1

    @property
    def url(self) -> str:
        """The server without a database, for its administrator."""
        return self.database_url("")

    @property
    def application_password(self) -> str:
        """For the user of `create_application`; it lasts from run to run as the others do."""
        return self._passwords["application"]

    def database_url(self, name: str) -> str:
        """The administrator's SQLAlchemy URL of a database, whether it exists or not."""
        return f"mysql+pymysql://{USER}:{self.password}@{LOOPBACK}:{self.port}/{name}"

    def create_database(self, name: str, *, exist_ok: bool = False) -> str:
        """Create an empty database and return its SQLAlchemy URL."""
        condition = "IF NOT EXISTS " if exist_ok else ""
        self._execute(f"CREATE DATABASE {condition}{_quoted(name)}")
        return self.database_url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database that `create_database` made."""
        self._execute(f"DROP DATABASE {_quoted(name)}")

    def create_application(self, name: str, password: str) -> str:
        """A schema and a user of one name, who may do all in it and nothing beside it.

        Done again, it sets the password and nothing else. Returns the user's SQLAlchemy URL of
        the schema.
        """
        self.create_database(name, exist_ok=True)
        user = f"'{name}'@'{LOOPBACK}'"
        self._execute(f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}'")
        self._execute(f"ALTER USER {user} IDENTIFIED BY '{password}'")
        self._execute(f"GRANT ALL PRIVILEGES ON {_quoted(name)}.* TO {user}")
        return f"mysql+pymysql://{name}:{password}@{LOOPBACK}:{self.port}/{name}"

    def _execute(self, statement: str) -> None:
        # Imported here: a command that only looks at the servers does without.
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        engine = create_engine(self.url, poolclass=NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)

    def _configure(self) -> None:
        initialised = self.directory / "initialised"
        if not initialised.exists():
            data = self.directory / "data"
            shutil.rmtree(data, ignore_errors=True)  # what an interrupted attempt left
            self._initialise()
            initialised.touch()
        # Run before the first connection is accepted, at each start: the initial accounts,
        # which have no password, are gone by then.
        self._write(
            "init.sql",
            "DELETE FROM mysql.global_priv WHERE User IN ('', 'root');\n"  # noqa: S608
            "FLUSH PRIVILEGES;\n"
            f"CREATE OR REPLACE USER '{USER}'@'{LOOPBACK}' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'{LOOPBACK}' WITH GRANT OPTION;\n",
        )

    def _initialise(self) -> None:
        here = os.open(self.directory, os.O_RDONLY)
        try:
            with self.log.open("ab") as log:
                done = subprocess.run(
                    self._installer(here),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.directory,
                    pass_fds=(here,),
                    env={
                        "PATH": machine.PROGRAM_PATH,
                        "HOME": str(self.directory),
                        # Not in /tmp: a MariaDB that starts deletes what looks like the temporary
                        # tables of an earlier one, those of another that is being set up too.
                        "TMPDIR": f"/proc/self/fd/{here}",
                        "LANG": "C.UTF-8",
                    },
                    check=False,
                )
        finally:
            os.close(here)
        if done.returncode != 0:
            raise self._failure(f"mariadb-install-db ended with status {done.returncode}", 0)

    def _installer(self, here: int) -> list[str]:
        return [
            machine.find_program(self.title, "mariadb-install-db"),
            "--no-defaults",
            # A shell script that does not quote the path where it runs as root: this one leads
            # to the directory by a file that it inherits open, whatever the true path holds.
            f"--datadir=/proc/self/fd/{here}/data",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            # Go on where this machine's own name does not resolve: nobody asks for it.
            "--force",
            *_as_root(),
        ]

    def _command(self) -> list[str]:
        return [
            machine.find_program(self.title, self.program),
            "--no-defaults",
            *_as_root(),
            f"--datadir={self.directory / 'data'}",
            f"--init-file={self.directory / 'init.sql'}",
            f"--tmpdir={self.directory}",
            # Relative to the data directory: a longer path than 107 bytes cannot be bound.
            "--socket=server.sock",
            "--pid-file=server.pid",
            f"--port={self.port}",
            f"--bind-address={LOOPBACK}",
            "--skip-name-resolve",
            # No binary log, so its durability (sync_binlog) is no question.
            "--skip-log-bin",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_bin",
            "--default-time-zone=+00:00",
            "--transaction-isolation=READ-COMMITTED",
            "--local-infile=1",
            "--max-connections=300",
            "--innodb-lock-wait-timeout=3",
            "--innodb-rollback-on-timeout=1",
            f"--innodb-flush-log-at-trx-commit={self.flush_log_at_commit}",
            # So small a pool wants the system's cache behind it, which MariaDB passes by unless
            # told: pages of klines out of three million took 14 ms at p95 by disk, 6 so.
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-method=fsync",
            "--innodb-log-file-size=32M",
        ]

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                # The greeting: three bytes of length, a sequence number, protocol 10.
                greeting = connection.recv(5)
        except OSError:
            return False
        return len(greeting) == 5 and greeting[4] == 10


def _quoted(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", name):
        raise ValueError(f"{name!r} is no database name: letters, digits and _ only.")
    return f"`{name}`"


def _as_root() -> list[str]:
    # It refuses to run as root unless told so, and warns an ordinary user who says it.
    return ["--user=root"] if os.geteuid() == 0 else []
