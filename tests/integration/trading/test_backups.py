"""A backup is the record of one moment, whole, for either database; any other is refused."""

from __future__ import annotations

import errno
import json
import os
import uuid
import zipfile
from pathlib import Path

import pytest

from app.cli.backup.archive import reading
from app.cli.backup.work import back_up, restore
from app.core.errors import Conflict, InvalidInput, Unavailable
from app.repositories.migrating import current_revision, upgrade
from tests.integration.trading.backups import brought_back, container_without_schema, desk, saved
from tests.support.api import container_in
from tests.support.installation import Installation
from tests.support.servers import Databases
from tests.support.simulator import SimulatorProcess


@pytest.mark.mysql
def test_a_record_moves_from_sqlite_to_mysql_and_back_unchanged(
    exchange: SimulatorProcess, tmp_path: Path, databases: Databases
) -> None:
    name = f"test_{uuid.uuid4().hex}"
    there = databases.create_database(name)
    try:
        with desk(exchange, tmp_path / "a", f"sqlite:///{tmp_path / 'a.db'}") as here:
            account = here.account(USDT="100000.123456789012345678")
            here.plan()
            here.order(account, "buy", "0.01")
            first = saved(here.parts, tmp_path / "first.zip")
        brought_back(tmp_path / "b", there, first)
        with desk(exchange, tmp_path / "b", there) as here:
            second = saved(here.parts, tmp_path / "second.zip")
        brought_back(tmp_path / "c", f"sqlite:///{tmp_path / 'c.db'}", second)
        with container_without_schema(tmp_path / "c", f"sqlite:///{tmp_path / 'c.db'}") as parts:
            third = saved(parts, tmp_path / "third.zip")
        with reading(first) as one, reading(second) as two, reading(third) as three:
            for table in ("klines", "orders", "fills", "postings", "balances", "coverage"):
                rows = [sorted(map(json.dumps, each.rows(table))) for each in (one, two, three)]
                assert rows[0]
                assert rows[0] == rows[1] == rows[2], table
    finally:
        databases.drop_database(name)


def test_a_backup_is_of_one_moment_though_writers_go_on(here: Installation, tmp_path: Path) -> None:
    upgrade_in_place(here)
    account = here.account()
    here.order(account, "buy", "0.01")
    written = iter(range(100))

    def trade_on(_table: str, _rows: int) -> None:
        here.order(account, "buy", "0.001", key=f"meanwhile {next(written)}")

    back_up(here.parts, tmp_path / "b.zip", with_key=False, tell=trade_on)
    with reading(tmp_path / "b.zip") as backup:
        backup.verify()
        assert backup.manifest.tables["orders"]["rows"] == 1
        assert backup.manifest.tables["risk_decisions"]["rows"] == 1
        fills = backup.manifest.tables["fills"]["rows"]
        postings = [dict(zip(backup.columns("postings"), row, strict=True))
                    for row in backup.rows("postings")]  # fmt: skip
    assert next(written) > 10
    assert len({each["fill_id"] for each in postings if each["fill_id"]}) == fills


def upgrade_in_place(here: Installation) -> None:
    """Note in a database that the models made that its schema is this release's."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from app.repositories.migrating import _config

    with here.parts.engine.begin() as connection:
        script = ScriptDirectory.from_config(_config())
        MigrationContext.configure(connection).stamp(script, "head")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A backup without the key, of an installation that has one."""
    with container_in(tmp_path / "origin") as parts:
        parts.vault.seal("account", {})
        return saved(parts, tmp_path / "kept.zip", with_key=False)


def test_the_key_is_in_a_backup_only_where_it_was_asked_for(kept: Path, tmp_path: Path) -> None:
    private = (tmp_path / "origin" / "vault.key").read_bytes()
    with zipfile.ZipFile(kept) as archive:
        assert "vault.key" not in archive.namelist()
        assert all(private not in archive.read(name) for name in archive.namelist())
    assert kept.stat().st_mode & 0o077 == 0
    with (
        container_in(tmp_path / "other", database_url=f"sqlite:///{tmp_path}/o.db") as parts,
        pytest.raises(InvalidInput, match="there is no key"),
    ):
        saved(parts, tmp_path / "x.zip")
    assert not list(tmp_path.glob("*x.zip*"))


def test_a_restore_wants_the_key_that_the_accounts_were_sealed_with(
    kept: Path, tmp_path: Path
) -> None:
    def target(name: str) -> tuple[Path, str]:
        return tmp_path / name, f"sqlite:///{tmp_path / name}.db"

    with pytest.raises(InvalidInput, match="put it there"):
        brought_back(*target("none"), kept)
    assert brought_back(*target("without"), kept, without_key=True) == "missing"

    directory, url = target("wrong")
    directory.mkdir()
    (directory / "vault.key").write_bytes(bytes(range(32)))
    with (
        container_without_schema(directory, url) as parts,
        pytest.raises(Conflict, match="another key"),
    ):
        restore(parts, kept, without_key=False, tell=lambda _table, _rows: None)
    (directory / "vault.key").write_bytes((tmp_path / "origin" / "vault.key").read_bytes())
    with container_without_schema(directory, url) as parts:
        assert restore(parts, kept, without_key=False, tell=lambda *_: None).key == "kept"


def test_a_database_that_holds_something_is_left_alone(kept: Path, tmp_path: Path) -> None:
    with container_in(tmp_path / "full") as parts, pytest.raises(Conflict, match="not empty"):
        restore(parts, kept, without_key=True, tell=lambda *_: None)


@pytest.mark.parametrize("harm", ["cut", "flipped", "foreign", "newer", "absent"])
def test_a_backup_that_is_not_whole_leaves_the_database_empty(
    kept: Path, tmp_path: Path, harm: str
) -> None:
    content = bytearray(kept.read_bytes())
    if harm == "cut":
        content = content[: len(content) // 2]
    elif harm == "flipped":
        with zipfile.ZipFile(kept) as archive:
            info = archive.getinfo("tables/strategies.jsonl")
        content[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 0xFF
    elif harm == "foreign":
        content = bytearray(b"PK not at all")
    kept.write_bytes(content)
    if harm == "newer":
        _rewrite_manifest(kept, revision="9999")
    if harm == "absent":
        kept.unlink()
    with pytest.raises(InvalidInput):
        brought_back(tmp_path / "new", f"sqlite:///{tmp_path / 'new.db'}", kept, without_key=True)
    with container_without_schema(tmp_path / "new", f"sqlite:///{tmp_path / 'new.db'}") as parts:
        assert current_revision(parts.engine) is None


def _rewrite_manifest(path: Path, **changes: str) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = {**json.loads(members["manifest.json"]), **changes}
    members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)


def test_a_database_of_another_schema_is_not_backed_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    with container_without_schema(tmp_path, url) as parts:
        upgrade(parts.engine, "0003")
        with pytest.raises(Unavailable, match="tidemark system migrate"):
            saved(parts, tmp_path / "x.zip", with_key=False)


def without_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has none, as FAT."""

    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


def test_a_backup_appears_on_a_file_system_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_hard_links(monkeypatch)
    with container_in(tmp_path / "origin") as parts:
        path = saved(parts, tmp_path / "x.zip", with_key=False)
    with reading(path) as backup:
        backup.verify()
    assert path.stat().st_mode & 0o077 == 0
    assert [each.name for each in tmp_path.glob("*x.zip*")] == ["x.zip"]


@pytest.mark.parametrize("links", [True, False])
def test_a_backup_replaces_no_file_that_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        without_hard_links(monkeypatch)
    path = tmp_path / "x.zip"

    def another_comes(_table: str, _rows: int) -> None:
        path.write_text("somebody else's")

    with (
        container_in(tmp_path / "origin") as parts,
        pytest.raises(InvalidInput, match="exists by now"),
    ):
        back_up(parts, path, with_key=False, tell=another_comes)
    assert path.read_text() == "somebody else's"
    assert [each.name for each in tmp_path.glob("*x.zip*")] == ["x.zip"]
