"""Bringing a database to the schema that this code expects."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

_ROOT: Final = Path(__file__).resolve().parents[2]


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Apply the migrations up to a revision, all in one transaction where the database can."""
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


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
