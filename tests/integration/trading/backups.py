"""Backups as tests make them and bring them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.adapters.celery_queue import NoQueue
from app.cli.backup.work import back_up, restore
from app.repositories.database import open_engine
from app.repositories.migrating import current_revision, newest_revision, upgrade
from app.wiring import Container
from tests.support.api import settings_for
from tests.support.installation import Installation, installed
from tests.support.simulator import SimulatorProcess
from tests.support.stories import STRATEGIES


@contextmanager
def desk(exchange: SimulatorProcess, data_dir: Path, url: str) -> Iterator[Installation]:
    """An installation whose database was migrated, as a real one is."""
    engine = open_engine(url)
    if current_revision(engine) is None:
        upgrade(engine)
    engine.dispose()
    with installed(exchange, data_dir, database_url=url, strategies=STRATEGIES) as made:
        yield made


def saved(parts: Container, path: Path, *, with_key: bool = True) -> Path:
    """A backup of an installation."""
    back_up(parts, path, with_key=with_key, tell=lambda _table, _rows: None)
    return path


def brought_back(data_dir: Path, url: str, path: Path, *, without_key: bool = False) -> str:
    """Restore into an empty database; what became of the key."""
    data_dir.mkdir()
    with container_without_schema(data_dir, url) as parts:
        done = restore(parts, path, without_key=without_key, tell=lambda _table, _rows: None)
    assert done.revision == newest_revision()
    return done.key


@contextmanager
def container_without_schema(data_dir: Path, url: str) -> Iterator[Container]:
    """A container over a database in which nothing was made yet."""
    parts = Container(settings_for(data_dir, database_url=url), NoQueue())
    try:
        yield parts
    finally:
        parts.close()
