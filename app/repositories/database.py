"""Engines: one place where the database's settings are decided, with their reasons."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, PoolProxiedConnection, QueuePool

from app.core.errors import InvalidInput

# Execution option that marks a connection's transaction as one that writes.
WRITES = "tidemark_writes"
# Without all four PyMySQL timeouts a silent network hole blocks a thread for ever.
_CONNECT_TIMEOUT_S = 5
# A hole costs a request the look at its connection and the greeting of a new one: 20 s together.
_READ_TIMEOUT_S = 10
_WRITE_TIMEOUT_S = 10
# A file that is being loaded answers at its end.
_BULK_S = 30
# A text that the server joins of many bars (``columns``); its default would cut it at 1 MB.
TEXT_LIMIT = 12 * 1024 * 1024
# MySQL alone (MariaDB reads a comment where it says 80000): how many rows a table holds would be
# told as it was up to a day ago.
_FRESH_ESTIMATES = " /*!80000 , information_schema_stats_expiry=0 */"
_POOL_SIZE = 10
_POOL_TIMEOUT_S = 10
# /ready asks twice (does it answer, is the schema there) and says so within five seconds.
_PROBE_S = 2
# Below MySQL's wait_timeout (8 h) and the idle cut of common proxies.
_POOL_RECYCLE_S = 1800
_IDLE_S = 1.0
_USED_AT = "used_at"
_SQLITE_BUSY_S = 15
_LOCK_WAIT_S = 3
# While a statement of a migration waits for its table, every other that comes to the table waits
# behind it. So it waits for a second, lets them through for two, and tries again: three minutes
# in all, which is longer than any transaction of ours is open.
_SCHEMA_WAIT_S = 1
_SCHEMA_PAUSE_S = 2.0
_SCHEMA_TRIES = 60
# An index over a hundred million bars takes so long.
_SCHEMA_S = 3_600
_LOCK_WAIT_TIMEOUT = 1205
_DEADLOCK = 1213
# 1114: InnoDB could not make a table's file longer. 1021: another file of the server's.
_DISK_FULL = frozenset({1021, 1114})
_LOST_AT: dict[URL, float] = {}
_READERS: WeakKeyDictionary[Engine, Engine] = WeakKeyDictionary()


def open_probe(url: str) -> Engine:
    """Engine for asking whether the database is well: a new connection each time, and at most
    two seconds for each answer. Through the pool a silent network hole would hold the question
    for as long as a query may take.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, 1)
    return _mysql(parsed, 1, False, answer_s=_PROBE_S)


def open_engine(url: str, *, pool_size: int = _POOL_SIZE, local_infile: bool = False) -> Engine:
    """Engine for a database URL: ``sqlite:///path`` or ``mysql+pymysql://…``.

    Args:
        pool_size: connections kept; as many again may be opened under load.
        local_infile: allow LOAD DATA LOCAL. Only the bulk engine asks for it.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, pool_size)
    return _mysql(parsed, pool_size, local_infile)


def reading_engine(engine: Engine) -> Engine:
    """The engine of units that only read one committed state after the other.

    On MySQL a twin with connections of its own that have no transactions: nothing is begun and
    nothing rolled back, which was one statement in eight of all. It is disposed with its twin.
    """
    if not is_mysql(engine):
        return engine.execution_options(**{WRITES: False})
    twin = _READERS.get(engine)
    if twin is None:
        twin = _READERS[engine] = _mysql(engine.url, _size_of(engine), False, reads=True)
        event.listen(engine, "engine_disposed", lambda _: twin.dispose())
    return twin


@contextmanager
def schema_engine(engine: Engine) -> Iterator[Engine]:
    """The engine by which the schema of a database is changed while others use it.

    On MySQL one of its own, patient with a statement that works and impatient with one that waits
    for a table. SQLite changes all in one transaction, for which others wait.
    """
    if not is_mysql(engine):
        yield engine
        return
    own = _mysql(engine.url, 1, False, answer_s=_SCHEMA_S)

    @event.listens_for(own, "connect")
    def give_way(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"SET lock_wait_timeout={_SCHEMA_WAIT_S}")

    event.listen(own, "do_execute", _execute_again_and_again)
    try:
        yield own
    finally:
        own.dispose()


def _execute_again_and_again(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool:
    """Execute a statement; again after a pause where it has waited for its lock in vain."""
    for attempt in range(_SCHEMA_TRIES):
        try:
            cursor.execute(statement, parameters)
        except Exception as error:
            if not _has_waited_in_vain(error, statement) or attempt == _SCHEMA_TRIES - 1:
                raise
            time.sleep(_SCHEMA_PAUSE_S)
        else:
            break
    return True


def _has_waited_in_vain(error: Exception, statement: str) -> bool:
    """Whether a statement only lost its turn, and nothing of what went before it was lost.

    A change of a table may be the victim of a deadlock with those who use it. It has committed
    what was before it; another statement's transaction would be gone.
    """
    code = driver_code(error)
    if code == _DEADLOCK:
        return statement.lstrip().upper().startswith(("ALTER ", "CREATE ", "DROP "))
    return code == _LOCK_WAIT_TIMEOUT


def _size_of(engine: Engine) -> int:
    """Connections that an engine's pool keeps; of one that keeps none, the default."""
    return engine.pool.size() if isinstance(engine.pool, QueuePool) else _POOL_SIZE


def _mysql(
    url: URL,
    pool_size: int,
    local_infile: bool,
    answer_s: int | None = None,
    *,
    reads: bool = False,
) -> Engine:
    pool: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": pool_size,
        "pool_timeout": _POOL_TIMEOUT_S,
        "pool_recycle": _POOL_RECYCLE_S,
        # Sessions and connections end their transaction themselves; a ROLLBACK more for each
        # unit was one statement in eight of an order's.
        "pool_reset_on_return": None,
    }
    engine = create_engine(
        url.update_query_dict({"charset": "utf8mb4"}),
        # REPEATABLE READ loses updates silently and takes gap locks; we lock rows we change.
        isolation_level="AUTOCOMMIT" if reads else "READ COMMITTED",
        skip_autocommit_rollback=reads,
        **(pool if answer_s is None else {"poolclass": NullPool}),
        connect_args={
            "connect_timeout": answer_s or _CONNECT_TIMEOUT_S,
            "read_timeout": answer_s or (_BULK_S if local_infile else _READ_TIMEOUT_S),
            "write_timeout": answer_s or (_BULK_S if local_infile else _WRITE_TIMEOUT_S),
            "local_infile": local_infile,
            # The default lock wait of 50 s would hold the order path behind one slow client.
            "init_command": (
                f"SET innodb_lock_wait_timeout={_LOCK_WAIT_S}, group_concat_max_len={TEXT_LIMIT}"
                f"{_FRESH_ESTIMATES}"
            ),
        },
    )
    event.listen(engine, "do_connect", _connected)
    _ping_idle(engine)
    return engine


def _connected(_dialect: Any, _record: Any, args: Any, given: dict[str, Any]) -> DBAPIConnection:
    from app.repositories.driver import FastConnection

    return FastConnection(*args, **given)


def _ping_idle(engine: Engine) -> None:
    """Replace a connection that died while it was idle before anybody gets it.

    As ``pool_pre_ping``, but for those unused for a second, or since any connection to the server
    was lost: under load a ping before each unit is a round trip for nothing.
    """

    @event.listens_for(engine, "checkin")
    def used(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info[_USED_AT] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ping(
        connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
    ) -> None:
        used_at = record.info.get(_USED_AT, 0.0)
        if time.monotonic() - used_at < _IDLE_S and used_at > _LOST_AT.get(engine.url, 0.0):
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error  # the pool opens another one

    @event.listens_for(engine, "handle_error")
    def lost(context: ExceptionContext) -> None:
        # The pool drops its own; those of an engine beside it are of no more use.
        if context.is_disconnect:
            _LOST_AT[engine.url] = time.monotonic()


def _sqlite(url: URL, pool_size: int) -> Engine:
    if url.database and url.database != ":memory:":
        make_directory(Path(url.database).parent)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=_POOL_TIMEOUT_S,
        connect_args={"timeout": _SQLITE_BUSY_S, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        # The driver would otherwise begin transactions by its own rules; see ``begin``.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred transaction that reads and then writes fails at once under WAL when
        # another wrote meanwhile; IMMEDIATE takes the write lock first and waits for it.
        writes = connection.get_execution_options().get(WRITES, True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def make_directory(path: Path) -> None:
    """Make a directory that the installation keeps things in, with its parents.

    Raises:
        InvalidInput: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"TIDEMARK_DATA_DIR {path} cannot be made ({error.strerror}); choose another directory"
        ) from None


def ping(engine: Engine) -> None:
    """Ask the database for an answer; raises what its driver does where none comes."""
    with engine.connect() as connection:
        connection.execute(select(1))


def is_mysql(bind: Engine | Connection) -> bool:
    """Whether the bind speaks MySQL or MariaDB."""
    return bind.dialect.name in ("mysql", "mariadb")


def is_disk_full(error: BaseException | None) -> bool:
    """Whether the driver's error says that the database found no room to write."""
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return full or driver_code(error) in _DISK_FULL


def driver_words(error: BaseException) -> str | None:
    """What the database's driver said, or None for an error that is none of its."""
    return str(error.orig) if isinstance(error, DBAPIError) else None


def driver_code(error: BaseException | None) -> int | None:
    """The driver's numeric error code, or None."""
    arguments: tuple[Any, ...] = getattr(error, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None
