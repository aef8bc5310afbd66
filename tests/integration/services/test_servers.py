"""The private servers: they start, die, come back with their data, and leave nothing behind."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import amqp
import kombu
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from app.cli.services import machine
from app.cli.services.reaper import kill_session, session_members
from tests.conftest import NetworkRefusedError
from tests.support.servers import (
    MariaDBServer,
    RabbitMQServer,
    RedisServer,
    ServerError,
    ServerNotInstalledError,
)

ROOT = Path(__file__).parents[2]


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Fail unless the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def scalar(url: str, statement: str) -> object:
    """The first value of the first row."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return connection.execute(text(statement)).scalar()


def listeners(port: int) -> list[str]:
    """The addresses, in the kernel's hexadecimal form, on which this port is listened on."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            host, _, number = address.partition(":")
            if state == "0A" and int(number, 16) == port:
                found.append(host)
    return found


@contextlib.contextmanager
def child(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process started in the checkout, which ends with the block."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


LOOPBACK_HEX = "0100007F"
LOOPBACK6_HEX = "00000000000000000000000001000000"


# -- MariaDB -----------------------------------------------------------------------------------


def test_mariadb_has_the_settings_of_the_full_stack(mariadb: MariaDBServer) -> None:
    expected = {
        "local_infile": 1,
        "innodb_lock_wait_timeout": 3,
        "innodb_rollback_on_timeout": 1,
        "character_set_server": "utf8mb4",
        "collation_server": "utf8mb4_bin",
        "time_zone": "+00:00",
    }
    assert {name: scalar(mariadb.url, f"SELECT @@{name}") for name in expected} == expected


def test_mariadb_has_no_account_without_a_password(mariadb: MariaDBServer) -> None:
    for user, password in (("root", ""), ("", ""), ("tidemark", ""), ("tidemark", "x")):
        url = f"mysql+pymysql://{user}:{password}@127.0.0.1:{mariadb.port}/"
        with pytest.raises(OperationalError, match="Access denied"):
            scalar(url, "SELECT 1")


def test_mariadb_refuses_a_database_name_that_is_none(mariadb: MariaDBServer) -> None:
    with pytest.raises(ValueError, match="no database name"):
        mariadb.create_database("a`; DROP DATABASE mysql; --")


def test_mariadb_keeps_what_was_committed_over_kill_9_and_stop() -> None:
    with MariaDBServer() as server:
        url = server.create_database("kept")
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (x INT)"))
            connection.execute(text("INSERT INTO t VALUES (1)"))
        for end in (server.kill9, server.stop):
            session = server.pid
            end()
            assert not server.running
            assert session_members(session) == []
            server.start()
            assert server.create_database("kept", exist_ok=True) == url
            assert scalar(url, "SELECT count(*) FROM t") == 1
        assert listeners(server.port) == [LOOPBACK_HEX]
        directory, session = server.directory, server.pid
    assert not directory.exists()
    assert session_members(session) == []


def test_each_database_is_fresh_and_empty(database_url: str) -> None:
    with create_engine(database_url, poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE TABLE same_name (x INT)"))


def test_each_database_is_fresh_and_empty_again(database_url: str) -> None:
    with create_engine(database_url, poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE TABLE same_name (x INT)"))


# -- Redis -------------------------------------------------------------------------------------


def test_redis_wants_its_password(redis_server: RedisServer) -> None:
    no_retries = Retry(NoBackoff(), 0)
    stranger = redis.Redis(host="127.0.0.1", port=redis_server.port, retry=no_retries)
    with stranger, pytest.raises(redis.exceptions.AuthenticationError):
        stranger.ping()
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.ping()
    assert listeners(redis_server.port) == [LOOPBACK_HEX]


def test_redis_forgets_over_kill_9_and_keeps_its_url() -> None:
    with RedisServer() as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            client.set("price", "1")
        server.kill9()
        server.start()
        assert server.url == url
        with redis.Redis.from_url(url) as client:
            assert client.get("price") is None


def test_a_server_in_a_given_directory_keeps_its_url(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 30) / "redis"  # too long for a socket's path
    with RedisServer(directory) as server:
        url = server.url
    with RedisServer(directory) as server:
        assert server.url == url
    assert (directory / "endpoint.json").stat().st_mode & 0o077 == 0


# -- RabbitMQ ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_rabbitmq_keeps_durable_messages_over_kill_9_and_leaves_no_epmd() -> None:
    with RabbitMQServer() as server:
        # Not a quorum queue: RabbitMQ 3.10 loses one for good if it is killed within about a
        # second of the declaration.
        queue = kombu.Queue("kept", durable=True)
        options = {"confirm_publish": True}
        with kombu.Connection(server.url, transport_options=options) as connection:
            producer = connection.Producer()
            producer.publish({"n": 1}, routing_key="kept", declare=[queue], delivery_mode=2)
        # What is declared is written down some moments later, whatever the kind of the queue.
        wait_until(lambda: _is_written(server.directory / "mnesia", b"kept"))
        sessions = {server.pid}
        server.kill9()
        server.start()
        sessions.add(server.pid)
        ports = dict(server.ports)
        assert server.orphans == []
        with kombu.Connection(server.url) as connection:
            message = queue.bind(connection.default_channel).get(no_ack=True)
            assert message is not None
            assert message.payload == {"n": 1}
        for port in ports.values():
            assert set(listeners(port)) <= {LOOPBACK_HEX, LOOPBACK6_HEX}
            assert listeners(port)
        epmd = server._processes.pid("epmd")
        assert epmd is not None
        sessions.add(epmd)
    assert [member for session in sessions for member in session_members(session)] == []
    assert [address for port in ports.values() for address in listeners(port)] == []


def _is_written(directory: Path, name: bytes) -> bool:
    """Whether Mnesia's log or tables name something."""
    files = (path for path in directory.rglob("*") if path.suffix in (".LOG", ".DCD", ".DCL"))
    return any(name in path.read_bytes() for path in files)


def test_rabbitmq_refuses_guest(rabbitmq: RabbitMQServer) -> None:
    guest = kombu.Connection(f"amqp://guest:guest@127.0.0.1:{rabbitmq.port}//")
    with pytest.raises(amqp.exceptions.AccessRefused):
        guest.ensure_connection(max_retries=1)
    guest.release()


# -- Starting and ending -----------------------------------------------------------------------


def test_a_missing_program_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PROGRAM_PATH", "/nowhere")
    server = RedisServer()
    with pytest.raises(ServerNotInstalledError, match=r"^Redis is not installed .*make services"):
        server.start()
    assert not server.running


def test_a_server_that_ends_at_its_start_says_what_it_printed(tmp_path: Path) -> None:
    class Broken(RedisServer):
        def _configure(self) -> None:
            self._write("redis.conf", "no-such-setting 1\n")

    with pytest.raises(ServerError, match=r"Redis ended at its start.*Bad directive"):
        Broken(tmp_path).start()


def test_a_record_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    """Its installer ends with five lines of where to ask; the reason stands before them."""
    (tmp_path / "data").touch()
    with pytest.raises(ServerError, match=r"ended with status 1; .*data.*: File exists"):
        MariaDBServer(tmp_path).start()


def test_a_record_is_made_beside_others_without_the_tmp_that_they_share(tmp_path: Path) -> None:
    """In /tmp, of two that are made at once one deletes the temporary tables of the other."""

    class Asked(MariaDBServer):
        def _installer(self, here: int) -> list[str]:
            assert super()._installer(here)
            return ["/bin/sh", "-c", 'touch "$TMPDIR/temporary"; echo an error; exit 1']

    directory = tmp_path / "a b"
    with pytest.raises(ServerError, match="an error"):
        Asked(directory).start()
    assert (directory / "temporary").exists()


def test_a_taken_port_is_replaced_before_the_first_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert not machine.port_is_free(taken)
        offered: Iterator[int] = iter([taken, machine.free_port()])
        monkeypatch.setattr(machine, "free_port", lambda: next(offered))
        with RedisServer() as server:
            assert server.port != taken


def test_a_dead_owner_leaves_nothing_behind(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from tests.support.servers import RedisServer\n"
        "server = RedisServer()\n"
        "server.start()\n"
        "print(server.pid, server.directory, flush=True)\n"
        "time.sleep(600)\n"
    )
    with child([sys.executable, "-c", program]) as owner:
        assert owner.stdout is not None
        pid, directory = owner.stdout.readline().split()
        assert session_members(int(pid))
    wait_until(lambda: not session_members(int(pid)) and not Path(directory).exists())


def test_a_session_is_killed_with_all_its_groups() -> None:
    shell = subprocess.Popen(
        ["sh", "-c", "set -m; sleep 600 & sleep 600 & wait"], start_new_session=True
    )
    wait_until(lambda: len(session_members(shell.pid)) == 3)
    kill_session(shell.pid)
    assert shell.wait() == -signal.SIGKILL
    assert session_members(shell.pid) == []


# -- The network guard -------------------------------------------------------------------------


def test_only_loopback_is_reached(refused_hosts: list[str]) -> None:
    with socket.socket() as client, pytest.raises(NetworkRefusedError, match=r"192\.0\.2\.1"):
        client.connect(("192.0.2.1", 443))
    with pytest.raises(NetworkRefusedError, match=r"api\.binance\.com"):
        socket.create_connection(("api.binance.com", 443), timeout=1)
    assert refused_hosts == ["192.0.2.1", "api.binance.com"]
    refused_hosts.clear()
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", machine.free_port())) != 0
