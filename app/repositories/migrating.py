"""Bringing a database to the schema that this code expects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from app.core.errors import InvalidInput, Unavailable
from app.repositories.database import schema_engine
from app.repositories.unfinished import require_whole

_ROOT: Final = Path(__file__).resolve().parents[2]


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Apply the migrations up to a revision, all in one transaction where the database can."""
    with _changing(engine) as config:
        command.upgrade(config, revision)


def upgrade_alone(engine: Engine) -> None:
    """Apply what is pending, one at a time of all who start on this database at once.

    Raises:
        Unavailable: another has been migrating for over two minutes, or a newer release has, or
            the record is a restore that did not end.
    """
    with alone(engine):
        require_whole(engine)
        if pending(engine):
            require_known(engine)
            upgrade(engine)


@contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """While nobody else changes the schema; SQLite has one user at a time that would.

    Raises:
        Unavailable: another has been migrating, or backing up, for over two minutes.
    """
    if engine.dialect.name == "sqlite":
        yield
        return
    with engine.connect() as connection:
        taken = connection.execute(text("SELECT GET_LOCK('tidemark.migrate', 120)")).scalar()
        if taken != 1:
            raise Unavailable(
                "another process has been migrating or backing up the database for two minutes"
            )
        # Not to be idle in a transaction for as long as a backup takes.
        connection.commit()
        try:
            yield
        finally:
            connection.execute(text("SELECT RELEASE_LOCK('tidemark.migrate')"))


def require_known(engine: Engine) -> None:
    """Nothing, where this release knows the schema that the database has.

    Raises:
        Unavailable: a newer release has migrated it.
    """
    if is_newer(engine):
        raise Unavailable(
            f"the database is at revision {current_revision(engine)}, which this release does not "
            "know: a newer one has migrated it; start that one, or take the schema back with it: "
            f"tidemark system migrate --to {newest_revision()}"
        )


def is_newer(engine: Engine) -> bool:
    """Whether a newer release has migrated a database: to a revision that this one lacks."""
    current = current_revision(engine)
    return current is not None and current not in revisions()


def revisions() -> list[str]:
    """The revisions that this release knows, newest first."""
    script = ScriptDirectory.from_config(_config())
    return [each.revision for each in script.walk_revisions()]


def take_back(engine: Engine, revision: str) -> None:
    """Take the schema back to an older release's revision, alone.

    Raises:
        InvalidInput: this release does not know the revision, or it is not an older one.
        Unavailable: the database was migrated by a newer release, or another process migrates it,
            or it is a restore that did not end.
    """
    with alone(engine):
        require_whole(engine)
        require_known(engine)
        current = current_revision(engine)
        known = revisions()
        older = known[known.index(current) :] if current is not None else []
        if revision not in older:
            raise InvalidInput(
                f"{revision[:40]!r} is no revision to go back to from {current}; use one of "
                f"{', '.join(older[1:]) or 'none: the database has no schema'}"
            )
        downgrade(engine, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take migrations back to a revision; ``base`` is before the first."""
    with _changing(engine) as config:
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


@contextmanager
def _changing(engine: Engine) -> Iterator[Config]:
    """Alembic's configuration with a connection that may change the schema."""
    with schema_engine(engine) as own, own.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        yield config


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_ROOT / "migrations"))
    return config
