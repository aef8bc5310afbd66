"""Fixtures of the whole suite: private servers, empty databases, and no network but loopback.

The servers start when the first test asks for them, once per pytest-xdist worker, and are never
the machine's own (see `tests.support.servers`).
"""

from __future__ import annotations

import ipaddress
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.schema import LentDatabases
from tests.support.servers import (
    Databases,
    MariaDBServer,
    PrivateServer,
    RabbitMQServer,
    RedisServer,
    ServerError,
    external_mysql,
)
from tests.support.statements import BothDialects
from tests.support.tracing import ChildTracing

# A test that uses one of these carries the marker, so that -m "not broker" means what it says.
MARKERS_OF_FIXTURE = {
    "mariadb": ("mysql", "mariadb"),
    "databases": ("mysql",),
    "lent_databases": ("mysql",),
    "rabbitmq": ("broker",),
    "redis_server": ("redis",),
}

_CHILDREN = ChildTracing()
_TESTS = Path(__file__).parent
_UNTRACED = (
    _TESTS / "e2e",
    _TESTS / "faults",
    *(
        _TESTS.parent / line
        for line in (_TESTS / "untraced.txt").read_text().splitlines()
        if not line.startswith("#")
    ),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by the servers they use, and those that `make coverage` leaves out."""
    for item in items:
        for fixture, markers in MARKERS_OF_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                for marker in markers:
                    item.add_marker(marker)
        if item.get_closest_marker("mysql") or any(map(item.path.is_relative_to, _UNTRACED)):
            item.add_marker("untraced")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before the fixtures that start processes."""
    _CHILDREN.enter(item.path)


def _running(server: PrivateServer) -> Iterator[None]:
    failure = None
    try:
        try:
            server.start()
        except ServerError as error:
            failure = str(error)
        if failure is not None:  # outside of the handler: one sentence, and no chain of errors
            pytest.fail(failure, pytrace=False)
        yield
    finally:
        server.close()


@pytest.fixture(scope="session", autouse=True)
def both_dialects() -> Iterator[None]:
    """Whatever a test executes on one database must be a statement of the other as well."""
    with BothDialects():
        yield


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDBServer]:
    """A private MariaDB."""
    server = MariaDBServer()
    for _ in _running(server):
        yield server


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Databases:
    """Where empty databases come from: TIDEMARK_TEST_MYSQL_URL, or the private MariaDB."""
    outside = external_mysql()
    if outside is not None:
        return outside
    server: MariaDBServer = request.getfixturevalue("mariadb")
    return server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQServer]:
    """A private RabbitMQ; ten seconds to start, so ask for it only where it matters."""
    server = RabbitMQServer()
    for _ in _running(server):
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A private Redis."""
    server = RedisServer()
    for _ in _running(server):
        yield server


@pytest.fixture(scope="session")
def lent_databases(databases: Databases) -> Iterator[LentDatabases]:
    """The databases behind ``database_url``."""
    lent = LentDatabases(databases)
    yield lent
    lent.close()


_EACH_KIND = pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.mysql)])


@_EACH_KIND
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """SQLAlchemy's URL of a database without a row, for ``tests.support.record.record`` or a
    stack of a test's own; the test runs once on each kind.
    """
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'tidemark.db'}"
        return
    lent: LentDatabases = request.getfixturevalue("lent_databases")
    name, url = lent.lend()
    yield url
    lent.take_back(name, url)


@_EACH_KIND
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The same without a table, for tests of what makes them."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'tidemark.db'}"
        return
    server: Databases = request.getfixturevalue("databases")
    name = f"test_{uuid.uuid4().hex}"
    yield server.create_database(name)
    server.drop_database(name)


class NetworkRefusedError(AssertionError):
    """A test reached for a host beyond loopback."""


def _is_loopback(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    text = host.decode() if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def refused_hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Refuse every connection and name lookup beyond loopback, and fail the test which tried.

    The failure at the end is for code that catches all errors of a connection and goes on.
    """
    refused: list[str] = []

    def refuse(host: object) -> NetworkRefusedError:
        refused.append(str(host))
        return NetworkRefusedError(f"a test may not reach {host!r}: loopback only")

    def guard(name: str) -> None:
        original = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any) -> Any:
            internet = self.family in (socket.AF_INET, socket.AF_INET6)
            if internet and not _is_loopback(address[0]):
                raise refuse(address[0])
            return original(self, address)

        monkeypatch.setattr(socket.socket, name, connect)

    guard("connect")
    guard("connect_ex")
    lookup = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_loopback(host):
            raise refuse(host)
        return lookup(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield refused
    if refused:
        pytest.fail(f"the test reached for {', '.join(sorted(set(refused)))}", pytrace=False)
