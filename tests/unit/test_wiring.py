"""What the composition root decides: who may read keys, who owns what, how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.adapters.celery_queue import NoQueue
from app.config import Settings
from app.core.errors import Unavailable
from app.repositories.migrating import upgrade
from app.wiring import Container


def build(data_dir: Path, *, can_read_keys: bool = True) -> Container:
    """A container over an empty data directory."""
    settings = Settings(data_dir=data_dir, environment="testing")
    return Container(settings, NoQueue(), can_read_keys=can_read_keys)


def test_the_api_can_write_keys_and_only_the_worker_can_read_them(tmp_path: Path) -> None:
    worker = build(tmp_path)
    worker.vault.seal("warm", {})
    api = build(tmp_path, can_read_keys=False)
    box = api.vault.seal("account", {"secret": "s"})
    assert build(tmp_path).vault.open("account", box) == {"secret": "s"}
    with pytest.raises(Unavailable, match="holds no key"):
        api.vault.open("account", box)
    key = tmp_path / "vault.key"
    assert key.stat().st_mode & 0o077 == 0
    key.unlink()  # a process that may only seal does without it
    assert build(tmp_path, can_read_keys=False).vault.seal("account", {"secret": "s"})


def test_two_processes_never_have_the_same_owner_name(tmp_path: Path) -> None:
    assert build(tmp_path).owner != build(tmp_path).owner


def test_a_ban_survives_a_restart_and_is_announced(tmp_path: Path) -> None:
    first = build(tmp_path)
    upgrade(first.engine)
    until = first.clock.now_ms() + 60_000
    first.budget.ban("binance", until, "418")
    with first.units.read() as unit:
        (event,) = unit.outbox.unsent(first.clock.now_ms())
    assert (event.topic, event.body["until"]) == ("system.ban.binance", until)
    first.close()
    second = build(tmp_path)
    assert second.budget.banned_until("binance") == until
    second.close()


def test_events_that_were_sent_are_marked_when_the_process_ends(tmp_path: Path) -> None:
    parts = build(tmp_path)
    upgrade(parts.engine)
    parts.start_background()
    parts.units.run(lambda unit: unit.emit("system.test.x", {"schema": "test.v1"}))
    parts.close()
    again = build(tmp_path)
    with again.units.read() as unit:
        assert unit.outbox.backlog() == 0
    again.close()
