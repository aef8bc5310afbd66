"""How a command reaches the installation: settings, record, and whether a runtime is there.

A command works on the database itself. What takes long is a row: a runtime that holds the data
directory takes it within a second; where none runs, the command does the work in its own process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.cli.locking import RuntimeLock
from app.cli.record import address_of, require_running, require_some

if TYPE_CHECKING:
    from app.config import Settings
    from app.core.ports import Queue
    from app.services.listings import Listings
    from app.wiring import Container


@dataclass(frozen=True, slots=True)
class Session:
    """One command's view of the installation.

    Attributes:
        record: its record's address, without a secret.
        migrate: the command that brings that record to this release's schema.
    """

    container: Container
    listings: Listings
    lock: RuntimeLock
    record: str
    migrate: str

    @property
    def works_alone(self) -> bool:
        """Whether nobody else will do the work: embedded, and no runtime is there."""
        return self.container.settings.is_embedded and not self.lock.held_by_other()

    @property
    def counts_requests(self) -> bool:
        """Whether this process knows what was asked of venues: Redis tells it, or it asks alone."""
        return not self.container.settings.is_embedded or self.works_alone


@contextmanager
def session(
    *, migrate: bool = True, full: bool = False, create: bool = True, newer: bool = False
) -> Iterator[Session]:
    """Open the installation for one command.

    Args:
        full: take the services of ``make services`` although no full stack runs on them now.
        migrate: bring an embedded database to this release's schema, and refuse another that is
            not there.
        create: make an embedded database where there is none yet.
        newer: go on where a newer release has migrated the database: for what touches tables
            alone that every release has.

    Raises:
        InvalidInput: a setting is malformed, the runtime that is here is on another record, or
            there is no record and none is to be made.
        Unavailable: the database lacks migrations, or is a restore that did not end.
    """
    settings, lock = _settings(full)
    if not create:
        require_some(settings)
    from app.services.listings import Listings
    from app.wiring import Container

    # Beside a full stack, workers do what needs an account's keys; alone, the command does.
    container = Container(settings, _queue(settings), can_read_keys=settings.is_embedded)
    command = "tidemark system migrate" + " --full" * full
    try:
        if not create:
            _require_schema(container, address_of(settings))
        if migrate:
            bring_up(container, command, newer=newer)
        yield Session(container, Listings(container.units), lock, address_of(settings), command)
    finally:
        container.close()


def bring_up(container: Container, migrate: str, *, newer: bool = False) -> None:
    """Migrate SQLite by itself; for MySQL say how.

    Args:
        migrate: the command that does it.
        newer: leave a schema as it is that a newer release has brought.

    Raises:
        Unavailable: the database lacks migrations and is not ours alone, a newer release has
            migrated it, or it is a restore that did not end.
    """
    from app.core.errors import Unavailable
    from app.repositories.migrating import is_newer, pending, require_known, upgrade
    from app.repositories.unfinished import require_whole

    require_whole(container.engine)
    if not pending(container.engine) or (newer and is_newer(container.engine)):
        return
    require_known(container.engine)
    if container.engine.dialect.name != "sqlite":
        raise Unavailable(f"the database lacks this release's migrations; run: {migrate}")
    upgrade(container.engine)


def _require_schema(container: Container, record: str) -> None:
    from app.core.errors import InvalidInput
    from app.repositories.migrating import current_revision
    from app.repositories.unfinished import require_whole

    require_whole(container.engine)  # which may have no tables yet, and is no empty record
    if current_revision(container.engine) is None:
        raise InvalidInput(
            f"there is no record yet in {record}: it has no tables; start Tidemark on it, or set "
            "TIDEMARK_HOME to the directory of another",
            code="no-record",
        )


def _settings(full: bool) -> tuple[Settings, RuntimeLock]:
    from app.config import load_settings
    from app.logs import configure_logs

    if full:
        from app.cli.full import full_settings

        full_settings()  # lets the services' settings speak, or says what is missing
    settings = load_settings()
    beside = RuntimeLock(settings.data_dir).facts()
    if beside.get("services_env"):
        # A full stack runs here: the command works on its database and queue, not on SQLite.
        from app.cli.full import take_services_env

        take_services_env(settings.data_dir)
        settings = load_settings()
    require_running(settings, beside, full=full)
    debugging = os.environ.get("TIDEMARK_DEBUG", "") not in ("", "0")
    # A command's own words are enough; warnings of its parts are for the one who looks closer.
    configure_logs(settings.log_level if debugging else "ERROR", settings.log_format)
    venue = beside.get("simulator_url")
    if venue and not settings.simulator_url:
        settings = load_settings(simulator_url=str(venue))
    return settings, RuntimeLock(settings.data_dir, address_of(settings))


def _queue(settings: Settings) -> Queue:
    from app.adapters.celery_queue import CeleryQueue, NoQueue, make_celery

    return NoQueue() if settings.is_embedded else CeleryQueue(make_celery(settings.broker_url))
