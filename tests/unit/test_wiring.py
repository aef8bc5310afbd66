"""What the composition root decides: who may read keys, who owns what, how it ends."""

from __future__ import annotations

import gc
import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from app.adapters.celery_queue import NoQueue
from app.config import Settings
from app.core.errors import Unavailable
from app.core.exchanges.errors import BudgetExhausted
from app.core.exchanges.factory import VENUES
from app.core.ports import Purpose
from app.repositories.migrating import upgrade
from app.wiring import Container
from app.wiring.heap import settle_heap
from app.wiring.messaging import make_budget
from app.wiring.vault import open_vault
from tests.support.market_edge import Bans
from tests.support.record import ManualClock
from tests.support.simulator import ROOT

#: Who may ask whether embedded or the full stack runs. The command line does the work of a
#: runtime that is not there, and the doctor says which of the two it looked at.
ASKING = {
    "app/config.py",
    "app/wiring/messaging.py",
    "app/cli/up.py",
    "app/cli/session.py",
    "app/cli/probes.py",
}


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
    sealed = build(tmp_path).vault.seal("account", {"secret": "s"})
    key.rename(tmp_path / "elsewhere")  # a process that may only seal does without it
    sealing = build(tmp_path, can_read_keys=False).vault
    assert sealing.seal("account", {"secret": "s"})
    with pytest.raises(Unavailable, match="holds no key"):
        sealing.open("account", sealed)
    # It would make one of its own, which nobody could open: it does not.
    (tmp_path / "vault.key.pub").unlink()
    with pytest.raises(Unavailable, match=r"copy vault\.key\.pub"):
        build(tmp_path, can_read_keys=False).vault.seal("account", {"secret": "s"})
    assert not key.exists()


@pytest.mark.parametrize(
    ("exchange", "most"),
    # Data may use 60 % of a minute; the setting is Binance's, and half of what it allows.
    [("binance", 1800), ("binanceusdm", 720), ("okx", 360), ("bybit", 180), ("kraken", 720)],
)
def test_each_venue_has_a_budget_of_its_own(tmp_path: Path, exchange: str, most: int) -> None:
    settings = Settings(data_dir=tmp_path, environment="testing", venue_weight=3_000)
    budget = make_budget(settings, ManualClock(), Bans(), VENUES)
    budget.acquire(exchange, most, Purpose.DATA, 0.0)
    with pytest.raises(BudgetExhausted):
        budget.acquire(exchange, 1, Purpose.DATA, 0.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_process_of_another_user_seals_and_cannot_read_the_key(tmp_path: Path) -> None:
    sealed = build(tmp_path).vault.seal("account", {"secret": "s"})
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.geteuid() and each != each.parent and "pytest" in str(each):
            each.chmod(0o755)
    child = os.fork()
    if child == 0:
        os.setgid(65_534)
        os.setuid(65_534)
        code = 3
        with suppress(BaseException):
            code = _seals_and_cannot_read(tmp_path, sealed)
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def _seals_and_cannot_read(data_dir: Path, sealed: str) -> int:
    vault = open_vault(data_dir / "vault.key", can_read=False)
    vault.seal("account", {"secret": "s"})
    try:
        vault.open("account", sealed)
    except Unavailable:
        pass
    else:
        return 1
    try:
        open_vault(data_dir / "vault.key", can_read=True)
    except PermissionError:
        return 0
    return 2


def test_of_many_processes_that_start_at_once_one_makes_the_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        vaults = list(
            pool.map(lambda _: open_vault(tmp_path / "vault.key", can_read=True), range(16))
        )
    sealed = vaults[0].seal("account", {"secret": "s"})
    assert all(each.open("account", sealed) == {"secret": "s"} for each in vaults)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["vault.key", "vault.key.pub"]


def test_only_settings_differ_between_embedded_and_full() -> None:
    sources = [path for top in ("app", "workers") for path in (ROOT / top).rglob("*.py")]
    asking = {path for path in sources if "is_embedded" in path.read_text()}
    assert {str(path.relative_to(ROOT)) for path in asking} == ASKING


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
    assert (event.body["address"], event.body["polite_until"]) == ("own", until + 86_400_000)
    first.close()
    second = build(tmp_path)
    assert second.budget.banned_until("binance") == until
    second.close()


def test_a_ban_of_a_proxy_is_announced_by_its_name(tmp_path: Path) -> None:
    parts = build(tmp_path)
    upgrade(parts.engine)
    until = parts.clock.now_ms() + 60_000
    parts.budget.ban("binance", until, "418", "gw:3128")
    with parts.units.read() as unit:
        (event,) = unit.outbox.unsent(parts.clock.now_ms())
        (row,) = unit.system.bans(parts.clock.now_ms())
    assert event.topic == "system.ban.binance"
    assert (event.body["exchange"], event.body["address"]) == ("binance", "gw:3128")
    assert row.scope == "binance@gw:3128"
    assert parts.budget.banned_until("binance") is None
    parts.close()


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


def test_what_was_loaded_is_looked_at_no_more_and_what_comes_later_is_still_collected() -> None:
    class Later:
        def __init__(self) -> None:
            self.me = self

    before = len(gc.get_objects())
    settle_heap()
    try:
        assert len(gc.get_objects()) < before / 10
        gone = weakref.ref(Later())
        gc.collect()
        assert gone() is None
    finally:
        gc.unfreeze()
