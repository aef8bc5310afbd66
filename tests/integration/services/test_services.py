"""`tidemark services`: three servers that run by themselves, on loopback, with least rights."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import amqp
import kombu
import pymysql
import pytest
import redis
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from app.cli.locking import RuntimeLock
from app.cli.services.manager import read_env
from app.cli.services.reaper import session_members
from tests.support.record import ROOT

pytestmark = [pytest.mark.broker, pytest.mark.mysql, pytest.mark.redis, pytest.mark.slow]


def services(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `tidemark services …` as a process of its own, as `make services` does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMARK_")}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "services", *arguments, "--json"],
        cwd=data_dir,
        env={**kept, "PYTHONPATH": str(ROOT), "TIDEMARK_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def started(data_dir: Path) -> dict[str, str]:
    """Start them, and the settings that lead to them."""
    done = services(data_dir, "start")
    assert done.returncode == 0, done.stderr
    return read_env(data_dir / "services" / "env")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory whose services are destroyed at the end."""
    made = tmp_path_factory.mktemp("installation")
    yield made
    if (made / "services").exists():
        services(made, "destroy", "--yes")


@pytest.fixture(scope="module")
def env(data_dir: Path) -> dict[str, str]:
    """The settings of started services."""
    return started(data_dir)


def states(data_dir: Path) -> list[dict[str, object]]:
    """Name, state, process and ports of each service."""
    found: list[dict[str, object]] = json.loads(services(data_dir, "status").stdout)["services"]
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Fail unless the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def listened_by(session: int) -> set[str]:
    """The addresses on which the processes of a session listen, by `ss -ltnp`."""
    members = {f"pid={pid}," for pid in session_members(session)}
    lines = subprocess.run(
        ["ss", "-ltnpH"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {line.split()[3] for line in lines if any(member in line for member in members)}


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    """The rows of a statement."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def test_they_listen_on_loopback_and_on_nothing_else(data_dir: Path, env: dict[str, str]) -> None:
    assert set(env) >= {"TIDEMARK_DATABASE_URL", "TIDEMARK_BROKER_URL", "TIDEMARK_REDIS_URL"}
    expected: set[str] = set()
    found: set[str] = set()
    for service in states(data_dir):
        assert service["state"] == "running"
        ports = service["ports"]
        assert isinstance(ports, dict)
        expected |= {f"127.0.0.1:{port}" for port in ports.values()}
        assert isinstance(service["pid"], int)
        found |= listened_by(service["pid"])
    epmd = json.loads((data_dir / "services/rabbitmq/process.json").read_text())["epmd"][0]
    found |= listened_by(epmd)
    # epmd adds IPv6's loopback where the machine has one.
    assert {each for each in found if not each.startswith("[::1]:")} == expected


def test_secrets_are_the_owners_alone(data_dir: Path, env: dict[str, str]) -> None:
    directory = data_dir / "services"
    for path in (directory / "env", *directory.glob("*/endpoint.json")):
        assert path.stat().st_mode & 0o077 == 0, path
    for url in env.values():
        password = make_url(url).password
        assert password is not None
        assert len(str(password)) >= 32
        commands = [
            (entry / "cmdline").read_bytes()
            for entry in Path("/proc").glob("[0-9]*")
            if (entry / "cmdline").exists()
        ]
        assert not [each for each in commands if str(password).encode() in each]


def test_the_database_is_durable_and_its_user_owns_one_schema(env: dict[str, str]) -> None:
    url = env["TIDEMARK_DATABASE_URL"]
    variables = {
        "innodb_flush_log_at_trx_commit": "1",
        "innodb_flush_method": "fsync",
        "innodb_rollback_on_timeout": "ON",
        "innodb_lock_wait_timeout": "3",
        "tx_isolation": "READ-COMMITTED",
        "collation_server": "utf8mb4_bin",
        "local_infile": "ON",
        "log_bin": "OFF",
    }
    names = ", ".join(f"'{name}'" for name in variables)
    found = dict(query(url, f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})"))
    assert found == variables
    assert query(url, "SELECT DATABASE()") == [("tidemark_app",)]
    assert {row[0] for row in query(url, "SHOW DATABASES")} == {
        "information_schema",
        "tidemark_app",
    }
    for refused in ("CREATE DATABASE mine", "SELECT * FROM mysql.global_priv", "CREATE USER x"):
        with pytest.raises((pymysql.err.OperationalError, Exception), match=r"denied"):
            query(url, refused)


def test_the_cache_wants_its_password_and_keeps_nothing(env: dict[str, str]) -> None:
    with redis.Redis.from_url(env["TIDEMARK_REDIS_URL"]) as client:
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("appendonly") == {"appendonly": "no"}


def test_flower_may_hear_events_and_command_nobody(env: dict[str, str]) -> None:
    with kombu.Connection(env["TIDEMARK_FLOWER_BROKER_URL"]) as connection:
        channel = connection.channel()
        channel.exchange_declare("celeryev", "topic", durable=True, auto_delete=False)
        channel.queue_declare("celeryev.test", exclusive=True)
        channel.queue_bind("celeryev.test", "celeryev", "#")
        for exchange in ("celery.pidbox", "tidemark.tasks"):
            with (
                pytest.raises(amqp.exceptions.AccessRefused),
                connection.channel() as refused,
            ):
                refused.exchange_declare(exchange, "fanout")
    with kombu.Connection(env["TIDEMARK_BROKER_URL"]) as connection:
        connection.ensure_connection(max_retries=1)
        other = connection.clone(virtual_host="/")
        with pytest.raises((amqp.exceptions.NotAllowed, amqp.exceptions.AccessRefused)):
            other.ensure_connection(max_retries=1)
        other.release()


def test_data_ports_and_passwords_survive_stop_and_start(
    data_dir: Path, env: dict[str, str]
) -> None:
    url = env["TIDEMARK_DATABASE_URL"]
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (x INT)"))
        connection.execute(text("INSERT INTO kept VALUES (7)"))
    before = states(data_dir)
    assert services(data_dir, "stop").returncode == 0
    assert [each["state"] for each in states(data_dir)] == ["stopped"] * 3
    for each in before:
        assert isinstance(each["pid"], int)
        assert session_members(each["pid"]) == []
    assert services(data_dir, "status").returncode == 1
    assert started(data_dir) == env
    assert query(url, "SELECT x FROM kept") == [(7,)]
    # Started again while they run, nothing happens to them.
    running = states(data_dir)
    assert started(data_dir) == env
    assert states(data_dir) == running


def test_a_killed_server_comes_back_where_its_clients_look_for_it(
    data_dir: Path, env: dict[str, str]
) -> None:
    """The process that is shown is the server: where it is killed, nothing of it goes on."""
    shown = [each["pid"] for each in states(data_dir)]
    for pid in shown:
        assert isinstance(pid, int)
        assert Path(f"/proc/{pid}/comm").read_text().strip() in (
            "mariadbd",
            "beam.smp",
            "redis-server",
        )
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not [pid for each in shown for pid in session_members(int(str(each)))])
    wait_until(lambda: [each["state"] for each in states(data_dir)] == ["stopped"] * 3)
    assert started(data_dir) == env
    assert query(env["TIDEMARK_DATABASE_URL"], "SELECT 1") == [(1,)]
    with kombu.Connection(env["TIDEMARK_BROKER_URL"]) as connection:
        connection.ensure_connection(max_retries=1)


def test_lost_files_cost_no_data_and_nothing_is_left_of_the_old_passwords(
    data_dir: Path, env: dict[str, str]
) -> None:
    (data_dir / "services" / "env").unlink()
    assert started(data_dir) == env
    with create_engine(env["TIDEMARK_DATABASE_URL"], poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE TABLE kept_too (x INT)"))
    (data_dir / "services" / "env").unlink()
    for name in ("mysql", "rabbitmq", "redis"):
        endpoint = data_dir / "services" / name / "endpoint.json"
        endpoint.write_text("")
        damaged = services(data_dir, "start")
        assert damaged.returncode == 2
        assert f"{endpoint} is damaged; delete it and run" in damaged.stderr
        endpoint.unlink()
    now = started(data_dir)
    assert not {make_url(url).password for url in now.values()} & {
        make_url(url).password for url in env.values()
    }
    assert query(now["TIDEMARK_DATABASE_URL"], "SELECT * FROM kept_too") == []
    with kombu.Connection(now["TIDEMARK_BROKER_URL"]) as broker:
        broker.ensure_connection(max_retries=1)
    with redis.Redis.from_url(now["TIDEMARK_REDIS_URL"]) as client:
        assert client.ping()


def test_under_a_running_stack_nothing_is_deleted_and_a_stop_wants_consent(data_dir: Path) -> None:
    started(data_dir)
    with RuntimeLock(data_dir):
        before = states(data_dir)
        refused = services(data_dir, "destroy", "--yes")
        assert refused.returncode == 2
        assert refused.stderr == (
            f"tidemark: Tidemark runs in {data_dir} (process {os.getpid()}) and may trade on these "
            "services; stop it first (Ctrl-C or SIGTERM)\n"
        )
        refused = services(data_dir, "stop")
        assert refused.returncode == 2
        assert "or say --force" in refused.stderr
        assert states(data_dir) == before
        assert services(data_dir, "stop", "--force").returncode == 0
        assert [each["state"] for each in states(data_dir)] == ["stopped"] * 3
    with RuntimeLock(data_dir, f"sqlite:///{data_dir}/tidemark.db"):
        assert services(data_dir, "stop").returncode == 0, "an embedded runtime uses none of them"
    assert services(data_dir, "destroy", "--yes").returncode == 0
    assert not (data_dir / "services").exists()


def test_where_one_does_not_start_none_is_left_and_any_path_will_do(tmp_path: Path) -> None:
    """Spaces, quotes and letters beyond ASCII, which the servers' own scripts do not foresee."""
    data_dir = tmp_path / "a b's 数据 é"
    data_dir.mkdir()
    try:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            failed = services(data_dir, "start", "--redis-port", str(other.getsockname()[1]))
        assert failed.returncode == 1
        assert "Redis" in failed.stderr
        assert [each["state"] for each in states(data_dir)] == ["stopped"] * 3
        assert started(data_dir) == started(data_dir)
        assert [each["state"] for each in states(data_dir)] == ["running"] * 3
    finally:
        assert services(data_dir, "destroy", "--yes").returncode == 0
