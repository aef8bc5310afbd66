"""The drill: a record is lost in mid-trade, restored from a backup, and trades on."""

from __future__ import annotations

import json
import uuid
import zipfile
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from app.cli.backup.archive import reading
from app.cli.backup.work import back_up, restore
from app.core.errors import Conflict, InvalidInput, Unavailable
from app.core.orders.types import OrderStatus, Side
from app.core.strategies.signal import Signal, SignalAction
from app.models import AccountRow
from app.repositories.database import open_engine
from app.repositories.migrating import current_revision, newest_revision, upgrade
from app.wiring import Container
from tests.support.api import container_in
from tests.support.installation import SYMBOL, Installation, installed
from tests.support.servers import Databases
from tests.support.simulator import SimulatorProcess
from tests.support.stories import STRATEGIES

D = Decimal
BUY = Signal(SYMBOL, Side.BUY, SignalAction.ENTER, quantity=D("0.01"))
NewDatabase = Callable[[], str]


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewDatabase]:
    """Makes empty databases of the kind that the parameter says."""
    made: list[str] = []
    server: Databases | None = None
    if request.param == "mysql":
        server = request.getfixturevalue("databases")

    def make() -> str:
        name = f"test_{uuid.uuid4().hex}"
        made.append(name)
        return server.create_database(name) if server else f"sqlite:///{tmp_path / name}.db"

    yield make
    for name in made if server else ():
        assert server is not None
        server.drop_database(name)


BOTH = pytest.mark.parametrize(
    "new_database", ["sqlite", pytest.param("mysql", marks=pytest.mark.mysql)], indirect=True
)


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
    from app.adapters.celery_queue import NoQueue
    from tests.support.api import settings_for

    parts = Container(settings_for(data_dir, database_url=url), NoQueue())
    try:
        yield parts
    finally:
        parts.close()


def venue_ids(here: Installation, account: AccountRow) -> Tally[str]:
    """How many orders the venue has of each client order id."""
    return Tally(each["client_order_id"] for each in here.at_venue(account))


@BOTH
def test_the_drill_loses_nothing_and_sends_nothing_twice(
    exchange: SimulatorProcess, tmp_path: Path, new_database: NewDatabase
) -> None:
    with desk(exchange, tmp_path / "old", new_database()) as here:
        account = here.account(USDT="100000")
        instance = here.instance(account, "holder")
        here.emit(instance, BUY)
        here.settle()
        bought = here.order(account, "buy", "0.02")
        resting = here.order(account, "buy", "0.01", here.away("buy"))
        doomed = here.order(account, "buy", "0.01", here.away("buy", "0.2"))
        # Judged, and not yet sent when the backup is made.
        _, unsent = here.submit(account, "buy", "0.03", key="unsent")
        _, unsent_resting = here.submit(account, "buy", "0.04", here.away("buy"), key="resting")
        assert unsent is not None
        assert unsent_resting is not None
        path = saved(here.parts, tmp_path / "backup.zip")

        # What the backup does not know of.
        here.settle()
        assert here.row(unsent).status == OrderStatus.FILLED
        here.parts.canceller.request(doomed.order_id)
        later = here.order(account, "buy", "0.05", key="later")
        later_resting = here.order(account, "buy", "0.06", here.away("buy"), key="later resting")
        (signal,) = here.emit(instance, BUY, cause="bar:again")
        here.settle()
        here.check(account)
        price_of_later_resting = str(later_resting.price)
        at_venue = venue_ids(here, account)
        lost_at = here.market_ms

    url = new_database()
    assert brought_back(tmp_path / "new", url, path) == "restored"
    with desk(exchange, tmp_path / "new", url) as here:
        account = here.parts.accounts.get(account.id)
        assert here.row(unsent).status == OrderStatus.UNKNOWN
        here.parts.gate.require_reconciliation("the processes were started")
        # Nothing passes before a person has looked.
        decision, _ = here.submit(account, "buy", "0.01", key="while halted")
        assert "HALT" in decision.reason
        for _ in range(8):
            here.catch_up()
            here.wait(2_000)
            here.reconcile(account)
        assert here.parts.gate.state(account.id).is_trusted
        # Sent after the backup by its own row: found by its id, and its fills are the owner's.
        assert here.row(unsent).status == OrderStatus.FILLED
        assert here.row(unsent_resting).status == OrderStatus.ACKNOWLEDGED
        assert here.row(resting).status == OrderStatus.ACKNOWLEDGED
        assert here.row(doomed).status == OrderStatus.CANCELLED
        assert here.row(bought).status == OrderStatus.FILLED
        # Placed after the backup by rows that are gone: adopted, the fills posted to external.
        external = here.position(here.external(account))
        assert external is not None
        adopted = here.orders_of(here.external(account))
        assert sorted(row.quantity for row in adopted) == [D("0.01"), D("0.05"), D("0.06")]
        here.check(account)

        # The same intents come again: by hand with the same keys, and by the same signal.
        assert here.parts.risk.resume("global", "tests") == 1
        here.parts.locks.unlock(account.id, None, "tests")
        assert here.market_ms == lost_at
        _, again = here.submit(account, "buy", "0.05", key="later")
        _, again_resting = here.submit(
            account, "buy", "0.06", price_of_later_resting, key="later resting"
        )
        (repeated,) = here.emit(instance, BUY, cause="bar:again")
        here.settle()
        assert again is not None
        assert again_resting is not None
        assert again.client_order_id == later.client_order_id
        for row in (again, again_resting):
            assert here.row(row).status == OrderStatus.REJECTED
            assert "before the restore" in (here.row(row).reason or "")
        (from_signal,) = [r for r in here.orders_of(instance) if r.signal_id == repeated.id]
        assert from_signal.status == OrderStatus.REJECTED
        assert repeated.cause == signal.cause
        assert venue_ids(here, account) == at_venue, "an order was sent twice"
        assert set(at_venue.values()) == {1}

        # And it trades on.
        fresh = here.order(account, "buy", "0.01", key="fresh")
        assert fresh.status == OrderStatus.FILLED
        here.reconcile(account, times=2)
        here.check(account)


@BOTH
def test_an_order_that_was_never_sent_is_sent_once_after_the_restore(
    exchange: SimulatorProcess, tmp_path: Path, new_database: NewDatabase
) -> None:
    with desk(exchange, tmp_path / "old", new_database()) as here:
        account = here.account(USDT="100000")
        _, unsent = here.submit(account, "buy", "0.03", key="unsent")
        assert unsent is not None
        path = saved(here.parts, tmp_path / "backup.zip")
    url = new_database()
    brought_back(tmp_path / "new", url, path)
    with desk(exchange, tmp_path / "new", url) as here:
        here.parts.risk.resume("global", "tests")
        for _ in range(6):
            here.catch_up()
            here.wait(2_000)
            here.reconcile(account)
        assert here.row(unsent).status == OrderStatus.FILLED
        assert len(here.sends(unsent)) == 1
        here.check(account)


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


# -- what is refused -------------------------------------------------------------------------


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
