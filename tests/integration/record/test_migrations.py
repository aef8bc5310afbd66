"""Migrations: up and down on both databases, and what they build is what the models say."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from app.models import Base
from app.repositories.database import open_engine
from app.repositories.migrating import (
    current_revision,
    downgrade,
    newest_revision,
    pending,
    upgrade,
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
