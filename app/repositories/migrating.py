"""The schema: which one a database has, which one this release needs, and the way between."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

# Beside the ``app`` package, in a checkout and in an installed wheel alike.
_SCRIPTS: Final = Path(__file__).resolve().parents[2] / "migrations"


def newest_revision() -> str:
    """The revision that this release needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None  # noqa: S101 - a release has at least one migration
    return head


def current_revision(engine: Engine) -> str | None:
    """The revision of a database; None where it has none."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def pending(engine: Engine) -> bool:
    """Whether a database lacks migrations of this release."""
    return current_revision(engine) != newest_revision()


def upgrade(engine: Engine) -> None:
    """Bring a database to this release's schema; nothing where it is there."""
    _move(engine, "head")


def downgrade(engine: Engine, revision: str) -> None:
    """Take a database back to a revision, ``base`` being empty."""
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def _move(engine: Engine, revision: str) -> None:
    config = _config()
    # One transaction from look to stamp: on SQLite two processes that start at once wait here.
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config
