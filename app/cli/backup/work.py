"""Making a backup of a record, and a record of a backup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.backup.archive import Manifest, Reader, reading, writing
from app.core.errors import Conflict, InvalidInput, Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from app.services.restoring import Fenced
    from app.wiring import Container

#: Told of each table with its rows as it is done.
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore has done.

    Attributes:
        revision: of the schema now.
        key: ``kept`` (the machine's own fits), ``restored`` (from the backup), ``missing`` (the
            accounts' keys must be entered again) or ``none`` (there was none).
    """

    manifest: Manifest
    revision: str
    key: str
    fenced: Fenced


def back_up(
    container: Container,
    path: Path,
    *,
    with_key: bool,
    tell: Progress,
    migrate: str = "tidemark system migrate",
) -> Manifest:
    """Write the whole record to a new file, while everything goes on.

    Args:
        migrate: the command that brings this record to this release's schema.

    Raises:
        InvalidInput: the file exists or cannot be written, or the key is not on this machine.
        Unavailable: the database has another schema than this release, another process migrates
            it, or it is a restore that did not end.
    """
    from app import __version__
    from app.repositories.dumping import snapshot
    from app.repositories.migrating import alone
    from app.schemas.times import rfc3339
    from app.wiring.vault import public_path

    key_path = container.settings.vault_key_path
    public = _content(public_path(key_path))
    private = _content(key_path) if with_key else None
    if with_key and private is None:
        raise InvalidInput(f"there is no key at {key_path}; make the backup where the key is")
    engine = container.engine
    with alone(engine):
        revision = _this_release(engine, migrate)
        with snapshot(engine) as record, writing(path) as writer:
            made_at = rfc3339(container.clock.now_ms())
            for name in record.tables:
                tell(name, writer.table(name, record.columns(name), record.rows(name)))
            writer.keys(public, private)
            manifest = Manifest(
                made_at=made_at,
                version=__version__,
                revision=revision,
                database=engine.dialect.name,
                tables=writer.tables,
                with_key=private is not None,
            )
            writer.manifest(manifest)
    return manifest


def _this_release(engine: Engine, migrate: str) -> str:
    """The revision of a whole record whose schema is this release's.

    Raises:
        Unavailable: it is none; the sentence says what makes it one, or who can do it instead.
    """
    from app.repositories.migrating import current_revision, newest_revision, revisions
    from app.repositories.unfinished import require_whole

    require_whole(engine)
    current, newest = current_revision(engine), newest_revision()
    if current is not None and current == newest:
        return current
    mend = f"run: {migrate}"
    if current is not None and current not in revisions():
        mend = "a newer release has migrated it: make the backup with that one"
    raise Unavailable(
        f"the database is at {current or 'no schema'} and this release at {newest}; {mend}"
    )


def restore(
    container: Container, path: Path, *, without_key: bool, tell: Progress, again: str = ""
) -> Restored:
    """Load a backup into an empty database and make it safe to start on.

    Until that is done the record bears a mark, and nothing but another restore uses it; that one
    empties it first. The caller holds the runtime lock of the data directory.

    Args:
        without_key: go on although the accounts' keys cannot be opened then.
        again: the command to give where this one is killed; kept in the mark.

    Raises:
        InvalidInput: the backup is damaged or of a newer release, or the key is missing.
        Conflict: the database is not empty, or this machine has another key.
        Unavailable: another process is restoring into the database.
    """
    from app.repositories import unfinished
    from app.repositories.migrating import alone, current_revision, pending, upgrade

    engine = container.engine
    with unfinished.restoring_alone(engine):
        _require_room(engine)
        with reading(path) as backup:
            _require_known(backup.manifest)
            backup.verify()
            key = _settle_key(container, backup, without_key=without_key)
            _load(engine, backup, tell, again)
        with alone(engine):
            if pending(engine):
                upgrade(engine)
        fenced = container.restored_record.fence(backup.manifest.made_at)
        unfinished.end(engine)
    return Restored(backup.manifest, current_revision(engine) or "", key, fenced)


def _require_room(engine: Engine) -> None:
    """Refuse a database with tables, unless they are what a restore that was killed has left."""
    from app.repositories.dumping import table_names
    from app.repositories.unfinished import is_unfinished

    present = table_names(engine)
    if present and not is_unfinished(engine):
        raise Conflict(
            f"the database is not empty ({len(present)} tables): a backup is restored into an "
            "empty one alone; create another, or move tidemark.db out of the data directory"
        )


def _require_known(manifest: Manifest) -> None:
    from app.repositories.migrating import revisions

    if manifest.revision not in revisions():
        raise InvalidInput(
            f"the backup is of revision {manifest.revision}, which this release does not know; "
            f"restore it with release {manifest.version} or a newer one"
        )


def _load(engine: Engine, backup: Reader, tell: Progress, again: str) -> None:
    """All of it, under the mark, or an empty database again."""
    from app.repositories import unfinished
    from app.repositories.dumping import (
        count_rows,
        drop_everything,
        empty_tables,
        load_table,
        loading_order,
    )
    from app.repositories.migrating import upgrade

    tables = backup.manifest.tables
    try:
        # Before the first table: what a killed restore has left goes, its mark too.
        drop_everything(engine)
        unfinished.begin(engine, again)
        upgrade(engine, backup.manifest.revision)
        order = loading_order(engine)
        if set(order) != set(tables):
            raise InvalidInput("the backup's tables are not those of its revision")
        empty_tables(engine, reversed(order))
        for name in order:
            load_table(engine, name, backup.columns(name), backup.rows(name))
            loaded = count_rows(engine, name)
            if loaded != tables[name]["rows"]:
                raise Unavailable(
                    f"table {name} has {loaded} rows after the restore instead of "
                    f"{tables[name]['rows']}; does something else write to this database?"
                )
            tell(name, loaded)
    except BaseException:
        drop_everything(engine)
        raise


def _settle_key(container: Container, backup: Reader, *, without_key: bool) -> str:
    """See to it that this machine can open what the backup's accounts were sealed with."""
    from app.core.security.vault import public_key_of
    from app.wiring.vault import place_key

    path = container.settings.vault_key_path
    private = _content(path)
    if backup.public is None:
        return "none"
    if private is not None:
        if public_key_of(private) == backup.public:
            return "kept"
        if not without_key:
            raise Conflict(
                f"{path} is another key than the one that the backup's accounts were sealed with; "
                "put the right one there, or give --without-key and enter the accounts' keys again"
            )
        return "missing"
    if backup.private is not None:
        if public_key_of(backup.private) != backup.public:
            raise InvalidInput("the backup is damaged: its keys do not belong together")
        place_key(path, backup.private)
        return "restored"
    if not without_key:
        raise InvalidInput(
            f"the vault's key is not in this backup and not at {path}: put it there, or give "
            "--without-key and enter the accounts' keys again"
        )
    return "missing"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
