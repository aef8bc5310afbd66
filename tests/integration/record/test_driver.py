"""The faster reading of results gives what PyMySQL gives, value by value, and fails as it does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymysql.connections import Connection
from sqlalchemy import make_url

from app.repositories.driver import FastConnection, _packets
from tests.support.servers import Databases

pytestmark = pytest.mark.mysql

ODD = (
    "SELECT NULL, 1, -1, 18446744073709551615, 0.1e0, CAST(1.10 AS DECIMAL(36, 18)), '', 'a', "
    "'日本語', x'00ff', TRUE, CAST('2024-02-29' AS DATE), CAST('2024-02-29 01:02:03.4' AS "
    "DATETIME(3)), CAST('-12:30:00' AS TIME), JSON_OBJECT('a', 1)"
)


# MariaDB has tables of numbers by their name alone, MySQL has none.
_NUMBERS = 70_000


@pytest.fixture(scope="module")
def mysql_url(databases: Databases) -> Iterator[str]:
    """A database with the numbers from 1 to 70,000."""
    name = f"driver_{uuid.uuid4().hex}"
    url = databases.create_database(name)
    connection = pymysql.connect(**where(url))
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE numbers (seq INTEGER PRIMARY KEY)")
        cursor.executemany(
            "INSERT INTO numbers VALUES (%s)", [(each,) for each in range(1, _NUMBERS + 1)]
        )
    connection.commit()
    connection.close()
    yield url
    databases.drop_database(name)


def where(url: str) -> dict[str, Any]:
    """What a connection needs of a URL."""
    parsed = make_url(url)
    return {
        "host": parsed.host,
        "port": parsed.port,
        "user": parsed.username,
        "password": parsed.password,
        "database": parsed.database,
        "charset": "utf8mb4",
        "read_timeout": 10,
    }


@pytest.fixture(scope="module")
def pair(mysql_url: str) -> Iterator[tuple[Connection, Connection]]:
    """Our connection and PyMySQL's own, to one database."""
    ours, theirs = FastConnection(**where(mysql_url)), pymysql.connect(**where(mysql_url))
    yield ours, theirs
    ours.close()
    theirs.close()


def asked(connection: Connection, statement: str, arguments: Any = None) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        count = cursor.execute(statement, arguments)
        return count, cursor.description, cursor.fetchall(), cursor.rowcount


@pytest.mark.parametrize(
    "statement",
    [
        ODD,
        "SELECT 1 WHERE FALSE",
        "SELECT seq FROM numbers WHERE seq <= 3000 ORDER BY seq",
        "SELECT 1 AS a, 2 AS a",
        "SET @a = 1",
        "SHOW VARIABLES LIKE 'port'",
        f"{ODD} UNION ALL {ODD}",
    ],
)
def test_every_type_and_shape_is_read_alike(
    pair: tuple[Connection, Connection], statement: str
) -> None:
    ours, theirs = pair
    for _ in range(2):  # at first its columns are parsed, then remembered
        assert asked(ours, statement) == asked(theirs, statement)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.lists(
        st.none()
        | st.integers(-(2**63), 2**63 - 1)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
        | st.binary(max_size=300),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_is_sent_comes_back_alike(
    pair: tuple[Connection, Connection], values: list[Any]
) -> None:
    statement = "SELECT " + ", ".join(["%s"] * len(values))
    assert asked(pair[0], statement, values) == asked(pair[1], statement, values)


@pytest.mark.parametrize("size", [250, 251, 252, 65_535, 65_536, 2**24 - 10])
def test_values_of_every_length_are_whole(pair: tuple[Connection, Connection], size: int) -> None:
    (_, _, ((text, after),), _) = asked(pair[0], f"SELECT REPEAT('x', {size}), 'after'")
    assert (len(text), set(text), after) == (size, {"x"}, "after")


@pytest.mark.parametrize("count", [1, 250, 251, 65_536, 70_000])
@pytest.mark.parametrize("last_id", [1, 251, 70_000, 2**24, 2**40])
def test_a_write_says_how_many_rows_it_made_and_their_first_number(
    pair: tuple[Connection, Connection], count: int, last_id: int
) -> None:
    said = []
    for connection in pair:
        with connection.cursor() as cursor:
            cursor.execute("DROP TEMPORARY TABLE IF EXISTS made")
            cursor.execute("CREATE TEMPORARY TABLE made (id BIGINT AUTO_INCREMENT PRIMARY KEY)")
            cursor.execute(f"ALTER TABLE made AUTO_INCREMENT = {last_id}")
            matched = cursor.execute(
                "INSERT INTO made SELECT NULL FROM numbers WHERE seq <= %s", (count,)
            )
            said.append((matched, cursor.rowcount, cursor.lastrowid, cursor.warning_count))
    assert said[0] == said[1] == (count, count, last_id, 0)


def test_warnings_are_counted_alike(pair: tuple[Connection, Connection]) -> None:
    counts = []
    for connection in pair:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS nowhere")
            counts.append([cursor.warning_count])
            cursor.execute("SELECT 1 / 0, CAST('x' AS SIGNED)")
            counts[-1].append(cursor.warning_count)
    assert counts[0] == counts[1] == [1, 2]


def test_columns_of_one_count_are_told_apart_however_many_there_are(
    pair: tuple[Connection, Connection],
) -> None:
    for _ in range(2):
        for number in range(50):
            statement = f"SELECT {number} AS a{number}, 'x' AS b, 1.5 AS c{number % 7}"
            assert asked(pair[0], statement) == asked(pair[1], statement)


def test_threads_read_the_same_columns_at_once(mysql_url: str) -> None:
    wrong: list[Any] = []

    def ask(thread: int) -> None:
        own = FastConnection(**where(mysql_url))
        for number in range(300):
            names = f"SELECT {number} AS t{thread}_{number % 60}, {thread} AS b"
            if asked(own, names)[2] != ((number, thread),):
                wrong.append(names)
        own.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert wrong == []


def test_a_column_that_changes_its_type_is_not_taken_for_the_old_one(
    pair: tuple[Connection, Connection],
) -> None:
    ours, _ = pair
    asked(ours, "CREATE TEMPORARY TABLE changing (a INTEGER)")
    asked(ours, "INSERT INTO changing VALUES (7)")
    assert asked(ours, "SELECT a FROM changing")[2] == ((7,),)
    asked(ours, "ALTER TABLE changing MODIFY a VARCHAR(9)")
    assert asked(ours, "SELECT a FROM changing")[2] == (("7",),)


def test_an_error_among_the_rows_is_raised_and_the_connection_goes_on(
    pair: tuple[Connection, Connection],
) -> None:
    ours, _ = pair
    failing = "SELECT seq, IF(seq < 5, 0, (SELECT 1 UNION SELECT 2)) FROM numbers WHERE seq <= 9"
    with pytest.raises(pymysql.err.OperationalError, match="more than 1 row"):
        asked(ours, failing)
    assert asked(ours, "SELECT 1")[2] == ((1,),)


def test_a_server_that_goes_away_is_said_to_be_lost(mysql_url: str) -> None:
    doomed, killer = FastConnection(**where(mysql_url)), pymysql.connect(**where(mysql_url))
    ((_, _, ((number,),), _)) = asked(doomed, "SELECT CONNECTION_ID()")
    with killer.cursor() as cursor:
        cursor.execute(f"KILL {number}")
    with pytest.raises(pymysql.err.OperationalError):
        asked(doomed, "SELECT 1")
    assert not doomed.open
    killer.close()


class Wire:
    """What the reading needs of a connection, over bytes that were never sent."""

    encoding = "utf8"

    def __init__(self, *packets: tuple[int, bytes]) -> None:
        heads = ((len(data).to_bytes(3, "little") + bytes([turn]), data) for turn, data in packets)
        self._rfile = BytesIO(b"".join(head + data for head, data in heads))
        self._next_seq_id = packets[0][0]
        self.is_open = True

    def _force_close(self) -> None:
        self.is_open = False


def test_what_is_longer_than_a_packet_goes_on_in_the_next_one() -> None:
    whole, rest = b"x" * 0xFFFFFF, b"yz"
    wire = Wire((255, whole), (0, rest), (1, b"next"))
    assert list(_packets(wire, 2)) == [whole + rest, b"next"]


def test_a_packet_out_of_its_turn_closes_the_connection() -> None:
    wire = Wire((3, b"a"), (5, b"b"))
    read = _packets(wire, 2)
    assert next(read) == b"a"
    with pytest.raises(pymysql.err.OperationalError, match="out of its turn"):
        next(read)
    assert not wire.is_open


def test_a_line_that_ends_within_a_packet_closes_the_connection() -> None:
    wire = Wire((1, b"abc"))
    wire._rfile = BytesIO(wire._rfile.getvalue()[:-1])
    with pytest.raises(pymysql.err.OperationalError, match="Lost connection"):
        next(_packets(wire, 1))
    assert not wire.is_open
