"""The old release's commands where a newer one has migrated the record already."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from app.repositories.database import open_engine
from app.repositories.migrating import current_revision, upgrade
from tests.integration.cli.conftest import Tidemark
from tests.support.servers import Databases


def newer(url: str) -> None:
    """Let a newer release have migrated the database."""
    engine = open_engine(url)
    if current_revision(engine) is None:
        upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    engine.dispose()


def halts_on_a_newer_schema(tidemark: Tidemark, url: str) -> None:
    """The old release's way to stop and to go on, while it is being replaced."""
    newer(url)
    halted = tidemark("risk", "halt", "panic")
    assert (halted.code, halted.out) == (0, "Trading is halted: global.\n"), halted.err
    assert "panic" in tidemark("risk", "status").out
    assert tidemark("risk", "resume").out == "Trading goes on: global.\n"
    assert tidemark("risk", "status").out == "Nothing is halted.\n"
    listed = tidemark("order", "list")
    assert (listed.code, "start that one" in listed.err) == (1, True)
    saved = tidemark("system", "backup", ".")
    assert (saved.code, "make the backup with that one" in saved.err) == (1, True)
    assert "tidemark system migrate" not in saved.err


def test_the_old_release_halts_and_resumes_on_a_newer_schema(
    tidemark: Tidemark, data_dir: Path
) -> None:
    halts_on_a_newer_schema(tidemark, f"sqlite:///{data_dir / 'tidemark.db'}")


@pytest.mark.mysql
def test_so_it_does_on_a_server(
    tidemark: Tidemark, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = databases.create_database("newer_schema", exist_ok=True)
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", url)
    halts_on_a_newer_schema(tidemark, url)
    databases.drop_database("newer_schema")
