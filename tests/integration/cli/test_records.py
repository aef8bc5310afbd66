"""Which record a command works on: the one of the runtime that is here, or none at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.locking import RuntimeLock
from app.cli.record import address_of
from app.config import load_settings
from app.repositories.database import open_engine
from app.repositories.migrating import upgrade
from tests.integration.cli.conftest import Outcome, Tidemark

THEIRS = "mysql://db.example:3306/tidemark"
# Of each kind: what halts, what reads, what copies, what is asked when something is wrong.
COMMANDS = [
    ("risk", "halt", "panic"),
    ("risk", "resume"),
    ("risk", "status"),
    ("account", "list"),
    ("order", "list"),
    ("system", "backup", "."),
    ("system", "check-invariants"),
    ("system", "migrate"),
]


def refused(outcome: Outcome, *parts: str) -> None:
    """Assert that a command was refused in one sentence on stderr, with exit code 2."""
    assert (outcome.code, outcome.out) == (2, ""), outcome.err
    assert outcome.err.count("\n") == 1
    for part in parts:
        assert part in outcome.err


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_beside_a_runtime_on_another_record_is_refused(
    tidemark: Tidemark, data_dir: Path, words: tuple[str, ...]
) -> None:
    # A stack on servers of one's own; this shell knows its directory and not its database.
    with RuntimeLock(data_dir) as lock:
        lock.describe(services_env=str(data_dir / "services" / "env"), record=THEIRS)
        outcome = tidemark(*words)
    own = f"sqlite:///{data_dir / 'tidemark.db'}"
    refused(outcome, THEIRS, own, "set TIDEMARK_DATABASE_URL")
    assert not (data_dir / "tidemark.db").exists()


def test_the_doctor_says_that_the_record_is_another(tidemark: Tidemark, data_dir: Path) -> None:
    with RuntimeLock(data_dir, THEIRS):
        outcome = tidemark("doctor", "--json")
    (check,) = outcome.document["checks"]
    assert (outcome.code, check["component"], check["ok"]) == (1, "settings", False)
    assert THEIRS in check["detail"]


def test_a_full_stack_that_does_not_say_its_record_is_no_embedded_one(
    tidemark: Tidemark, data_dir: Path
) -> None:
    with RuntimeLock(data_dir) as lock:
        lock.describe(services_env=str(data_dir / "services" / "env"))
        refused(tidemark("risk", "halt", "panic"), "full stack", "set TIDEMARK_DATABASE_URL")


def test_full_is_refused_where_the_embedded_runtime_runs(
    tidemark: Tidemark, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = address_of(load_settings())
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", "mysql+pymysql://me:s3cret@localhost/other")
    monkeypatch.setenv("TIDEMARK_BROKER_URL", "amqp://me:s3cret@localhost/")
    monkeypatch.setenv("TIDEMARK_REDIS_URL", "redis://localhost/0")
    with RuntimeLock(data_dir, running):
        outcome = tidemark("risk", "halt", "panic", "--full")
    refused(outcome, running, "mysql://127.0.0.1:3306/other", "leave out --full")
    assert "s3cret" not in outcome.err


def test_a_command_on_the_record_of_the_runtime_works(tidemark: Tidemark, data_dir: Path) -> None:
    with RuntimeLock(data_dir, address_of(load_settings())):
        assert tidemark("risk", "halt", "panic").code == 0
        assert "panic" in tidemark("risk", "status").out


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mysql+pymysql://me:p%40ss@db.Example:3307/tide?charset=utf8mb4", "db.example:3307/tide"),
        ("mysql+pymysql://me@localhost/tide", "127.0.0.1:3306/tide"),
        ("mysql+pymysql://me@127.0.0.1:3306/tide", "127.0.0.1:3306/tide"),
        ("mysql+pymysql://me@[::1]/tide", "[::1]:3306/tide"),
        ("mysql+pymysql://me:s@/tide?unix_socket=/run/my.sock", "unix:/run/my.sock/tide"),
    ],
)
def test_an_address_is_one_for_each_place_and_holds_no_secret(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, url: str, address: str
) -> None:
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", url)
    assert address_of(load_settings()) == f"mysql://{address}"


def test_a_file_has_one_address_however_it_is_reached(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir.mkdir()
    (tmp_path / "link").symlink_to(data_dir)
    straight = address_of(load_settings())
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", f"sqlite:///{tmp_path}/link/tidemark.db")
    assert address_of(load_settings()) == straight == f"sqlite:///{data_dir / 'tidemark.db'}"


def test_the_invariants_of_no_record_do_not_hold(tidemark: Tidemark, data_dir: Path) -> None:
    refused(tidemark("system", "check-invariants"), str(data_dir / "tidemark.db"), "--full")
    assert not data_dir.exists()
    data_dir.mkdir()
    (data_dir / "tidemark.db").touch()
    refused(tidemark("system", "check-invariants"), "it has no tables")
    refused(tidemark("system", "check-invariants", "--full"), "make services")


def test_the_invariants_name_the_record_that_was_looked_at(
    tidemark: Tidemark, data_dir: Path
) -> None:
    tidemark("risk", "status")
    record = f"sqlite:///{data_dir / 'tidemark.db'}"
    assert tidemark("system", "check-invariants").out == f"Every invariant holds in {record}.\n"
    assert tidemark("system", "check-invariants", "--json").document["record"] == record


def test_a_migration_names_the_record_that_it_changed(tidemark: Tidemark, data_dir: Path) -> None:
    said = tidemark("system", "migrate").out
    assert said.startswith(f"The schema of sqlite:///{data_dir / 'tidemark.db'} is at ")


def test_the_way_to_a_schema_of_the_full_stack_names_the_full_stack(
    tidemark: Tidemark, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every server of the full stack is named, so --full needs no services/env.
    monkeypatch.setenv("TIDEMARK_BROKER_URL", "amqp://me:s3cret@localhost/")
    monkeypatch.setenv("TIDEMARK_REDIS_URL", "redis://localhost/0")
    monkeypatch.setattr("app.cli.full._NEEDED", {"broker_url": "RabbitMQ"})
    upgrade_to = f"sqlite:///{data_dir / 'tidemark.db'}"
    engine = open_engine(upgrade_to)
    upgrade(engine, "0003")
    engine.dispose()
    saved = tidemark("system", "backup", ".", "--full")
    assert saved.err.endswith("run: tidemark system migrate --full\n"), saved.err
