"""Migrations: up and down on both databases, and what they build is what the models say."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from app.core.errors import InvalidInput, Unavailable
from app.models import Base
from app.repositories.database import open_engine
from app.repositories.migrating import (
    current_revision,
    downgrade,
    newest_revision,
    pending,
    take_back,
    upgrade,
    upgrade_alone,
)


def test_up_down_and_up_again(database_url: str) -> None:
    engine = open_engine(database_url)
    assert pending(engine)
    upgrade(engine)
    assert current_revision(engine) == newest_revision()
    assert not pending(engine)
    tables = set(inspect(engine).get_table_names()) - {"alembic_version"}
    assert tables == set(Base.metadata.tables)
    downgrade(engine, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    upgrade(engine)
    engine.dispose()


def test_the_migrated_schema_is_the_models(database_url: str) -> None:
    engine = open_engine(database_url)
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        if engine.dialect.name != "sqlite":
            collations = connection.execute(
                text(
                    "SELECT DISTINCT table_collation FROM information_schema.tables "
                    "WHERE table_schema = DATABASE() AND table_name <> 'alembic_version'"
                )
            )
            assert [row[0] for row in collations] == ["utf8mb4_bin"]
    engine.dispose()


def test_a_roll_back_takes_the_schema_to_the_old_release_and_the_new_one_brings_it_again(
    database_url: str,
) -> None:
    engine = open_engine(database_url)
    upgrade_alone(engine)
    take_back(engine, "0004")
    assert current_revision(engine) == "0004"
    with pytest.raises(InvalidInput, match="0003, 0002, 0001"):
        take_back(engine, "0005")
    with pytest.raises(InvalidInput, match="no revision"):
        take_back(engine, "no such")
    upgrade_alone(engine)
    assert not pending(engine)
    engine.dispose()


def test_an_older_release_leaves_a_newer_schema_alone_and_says_so(database_url: str) -> None:
    engine = open_engine(database_url)
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match="a newer one has migrated it"):
        upgrade_alone(engine)
    with pytest.raises(Unavailable, match="a newer one has migrated it"):
        take_back(engine, "0001")
    assert current_revision(engine) == "9999"
    engine.dispose()


def test_what_an_older_release_writes_is_whole_in_the_newer_schema(database_url: str) -> None:
    """Expand first: an insert that knows nothing of the newest columns passes."""
    engine = open_engine(database_url)
    upgrade(engine, "0004")
    old = {each["name"] for each in inspect(engine).get_columns("accounts")}
    upgrade(engine)
    values = dict.fromkeys(old, "x") | dict.fromkeys(
        (name for name in old if name.endswith(("_ts", "_at", "epoch", "failures", "_before"))), 0
    )
    names = ", ".join(sorted(old))
    marks = ", ".join(f":{name}" for name in sorted(old))
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO accounts ({names}) VALUES ({marks})"), values)  # noqa: S608
        row = connection.execute(text("SELECT restored_at FROM accounts")).scalar_one()
    assert row == 0
    engine.dispose()
