"""A restore that is killed leaves a record that nothing uses until it is restored again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from app.cli.backup.work import back_up
from app.repositories.database import open_engine
from app.repositories.dumping import count_rows, table_names
from app.repositories.unfinished import TABLE, begin
from app.wiring.whole import whole_or_exit
from tests.integration.cli.conftest import Tidemark
from tests.support.api import api_over, container_in, settings_for
from tests.support.servers import Databases

ROOT = Path(__file__).resolve().parents[3]
# `tidemark system restore` that says where it stands and stays there: behind the rows of a table,
# which are committed, or behind all of them and before the fence.
_HELD = """
import sys
from app.cli.main import run
from app.repositories import dumping
from app.services.restoring import RestoredRecord

def stay():
    print("here", flush=True)
    sys.stdin.read()

def count_rows(engine, name, real=dumping.count_rows):
    if name == sys.argv[1]:
        stay()
    return real(engine, name)

dumping.count_rows = count_rows
if sys.argv[1] == "fence":
    RestoredRecord.fence = lambda *_: stay()
sys.exit(run(["system", "restore", sys.argv[2]]))
"""
COMMANDS = [
    ("up", "--port", "0"),
    ("risk", "status"),
    ("risk", "resume"),
    ("account", "list"),
    ("system", "migrate"),
    ("system", "migrate", "--to", "0003"),
    ("system", "backup", "."),
    ("system", "check-invariants"),
]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A backup of a record that trades: nothing in it is halted."""
    path = tmp_path / "it's kept.zip"
    with container_in(tmp_path / "origin") as parts:
        parts.catalogue.sync_builtins()
        back_up(parts, path, with_key=False, tell=lambda *_: None)
    return path


@pytest.fixture
def place(data_dir: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the empty database that commands use."""
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", empty_database_url)
    # The doctor of a test asks no real exchange.
    monkeypatch.setenv("TIDEMARK_SIMULATOR_URL", "http://127.0.0.1:9")
    return empty_database_url


@contextmanager
def standing_restore(stage: str, path: Path) -> Iterator[None]:
    """A restore that stands at a stage of it, and is killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", _HELD, stage, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        said = child.stdout.readline()
        try:
            assert said == "here\n", child.communicate()[1]
            yield
        finally:
            child.kill()


def rows(url: str, table: str) -> int:
    engine = open_engine(url)
    try:
        return count_rows(engine, table)
    finally:
        engine.dispose()


@pytest.mark.parametrize("stage", ["strategies", "fence"])
def test_nothing_uses_it_and_restoring_again_makes_it_whole(
    tidemark: Tidemark, kept: Path, place: str, stage: str
) -> None:
    with standing_restore(stage, kept):
        pass
    assert rows(place, "strategies") > 0, "the kill left rows"
    for words in COMMANDS:
        outcome = tidemark(*words)
        assert (outcome.code, outcome.out) == (2, ""), (words, outcome.err)
        assert outcome.err.count("\n") == 1
        assert "a restore that did not end" in outcome.err
        assert outcome.err.endswith(f"tidemark system restore '{_quoted(kept)}'\n")
    (checked,) = (
        each
        for each in tidemark("doctor", "--json").document["checks"]
        if each["component"] == "migrations"
    )
    assert (checked["ok"], "restore again" in checked["detail"]) == (False, True)

    again = tidemark("system", "restore", str(kept), "--json")
    assert again.code == 0, again.err
    assert TABLE not in tables(place)
    (halt,) = tidemark("risk", "status", "--json").document["halts"]
    assert "restored from a backup" in halt["reason"]
    twice = tidemark("system", "restore", str(kept))
    assert "the database is not empty" in twice.err
    assert tidemark("system", "check-invariants").code == 0


def _quoted(path: Path) -> str:
    return str(path).replace("'", "'\"'\"'")


def tables(url: str) -> list[str]:
    engine = open_engine(url)
    try:
        return table_names(engine)
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    "command",
    [
        ("app.cli.serve",),
        ("celery", "-A", "workers.celery_app", "worker", "-Q", "orders", "-P", "threads"),
        ("celery", "-A", "workers.celery_app", "worker", "-Q", "backtests", "-P", "prefork"),
        ("workers.streams",),
    ],
)
def test_no_process_of_the_full_stack_starts_on_it(
    data_dir: Path, kept: Path, command: tuple[str, ...]
) -> None:
    with standing_restore("fence", kept):
        pass
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    # Celery warns of its user before.
    said = done.stderr.splitlines()[-1]
    assert said.startswith("tidemark: this record is a restore that did not end"), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.mysql
def test_two_machines_do_not_restore_into_one_database(
    tidemark: Tidemark,
    kept: Path,
    databases: Databases,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = databases.create_database("restored_twice", exist_ok=True)
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", url)
    with standing_restore("strategies", kept):
        monkeypatch.setenv("TIDEMARK_DATA_DIR", str(tmp_path / "other"))
        second = tidemark("system", "restore", str(kept))
        assert (second.code, "another process is restoring" in second.err) == (1, True)
        assert rows(url, "strategies") > 0
    databases.drop_database("restored_twice")


def test_a_database_that_is_away_stops_a_worker_for_orders_alone(data_dir: Path) -> None:
    settings = settings_for(data_dir, database_url="mysql+pymysql://me:s3cret@127.0.0.1:9/none")
    whole_or_exit(settings)
    with pytest.raises(OperationalError):
        whole_or_exit(settings, must_answer=True)


def test_the_api_is_not_ready_on_it_and_names_no_place(tmp_path: Path) -> None:
    with container_in(tmp_path) as parts, api_over(parts) as api:
        begin(parts.engine, f"tidemark system restore {tmp_path}/kept.zip")
        answer = api.get("//ready", token=None)
    assert answer.status_code == 503
    assert "a restore that did not end" in answer.text
    assert str(tmp_path) not in answer.text
