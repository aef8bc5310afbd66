"""Bringing a database to the schema that this code expects."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from app.core.errors import Unavailable

_ROOT: Final = Path(__file__).resolve().parents[2]


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Apply the migrations up to a revision, all in one transaction where the database can."""
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def upgrade_alone(engine: Engine) -> None:
    """Apply what is pending, one at a time of all who start on this database at once.

    Raises:
        Unavailable: another has been migrating for over two minutes.
    """
    if engine.dialect.name == "sqlite":
        if pending(engine):
            upgrade(engine)
        return
    with engine.connect() as connection:
        taken = connection.execute(text("SELECT GET_LOCK('tidemark.migrate', 120)")).scalar()
        if taken != 1:
            raise Unavailable("another process has been migrating the database for two minutes")
        try:
            if pending(engine):
                upgrade(engine)
        finally:
            connection.execute(text("SELECT RELEASE_LOCK('tidemark.migrate')"))


def downgrade(engine: Engine, revision: str) -> None:
    """Take migrations back to a revision; ``base`` is before the first."""
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def current_revision(engine: Engine) -> str | None:
    """The revision that a database stands at, or None where it is empty."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str | None:
    """The revision that this code expects."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def pending(engine: Engine) -> bool:
    """Whether a database is behind this code."""
    return current_revision(engine) != newest_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_ROOT / "migrations"))
    return config
