"""Rows 45 and 46: the schema is changed while orders and collection run, by releases old and new.

What runs is this release's code. The next release is a migration of the test's own, which widens
the busiest tables; that each of the real steps lets an older release go on is told in
``tests/integration/record/test_migrations.py``.
"""

from __future__ import annotations

import shutil
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from app.core.errors import Unavailable
from app.core.orders.types import OrderStatus
from app.models import AccountRow
from app.repositories import migrating
from app.repositories.database import open_engine
from app.repositories.migrating import current_revision, newest_revision, take_back, upgrade_alone
from tests.support.installation import Installation, installed
from tests.support.servers import MariaDBServer
from tests.support.simulator import ROOT, SimulatorProcess
from tests.support.stories import STRATEGIES
from tests.support.waiting import until
from tests.support.world import World

# A lock is waited for three seconds at most; the rest is an order's own time on a busy machine.
LONGEST_S = 3.0 + 2.0
NEXT = "next"
NEXT_RELEASE = f'''
"""The next release: wider tables, another index, another table."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{newest_revision()}"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("orders", sa.Column("venue_note", sa.String(64), nullable=True))
    op.add_column("accounts", sa.Column("tier", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("outbox", sa.Column("trace", sa.String(64), nullable=True))
    op.create_index("ix_orders_updated_at", "orders", ["updated_at"])
    op.create_table("notes", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade():
    op.drop_table("notes")
    op.drop_index("ix_orders_updated_at", "orders")
    op.drop_column("outbox", "trace")
    op.drop_column("accounts", "tier")
    op.drop_column("orders", "venue_note")
'''


@dataclass
class Load:
    """Orders and collection that go on; every failure and the longest order are kept.

    Attributes:
        orders: how many were filled.
        longest_s: from the request to the fill.
    """

    here: Installation
    account: AccountRow
    orders: int = 0
    longest_s: float = 0.0
    failures: list[BaseException] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Two hands that buy, one that looks after the account, one that collects."""
        hands = (self._buy, self._buy, self._compare, self._collect)
        threads = [threading.Thread(target=self._go_on, args=(hand,)) for hand in hands]
        for thread in threads:
            thread.start()
        try:
            self.goes_on()
            yield self
            self.goes_on()
        finally:
            self._end.set()
            for thread in threads:
                thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert self.failures == []

    def goes_on(self) -> None:
        """Wait until some more orders have gone through."""
        known = self.orders
        until(lambda: self.orders >= known + 3 or self.failures, 60, "orders go through")
        assert self.failures == []

    def _go_on(self, hand: Callable[[], None]) -> None:
        while not self._end.is_set() and not self.failures:
            try:
                hand()
            except BaseException as error:  # noqa: BLE001 - told at the end, to the test
                self.failures.append(error)

    def _buy(self) -> None:
        began = time.monotonic()
        _, order = self.here.submit(self.account, "buy", "0.001")
        assert order is not None
        assert self.here.parts.sender.send(order.order_id) == OrderStatus.FILLED
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        self.orders += 1

    def _compare(self) -> None:
        self.here.parts.account_sync.sync(self.account.id)
        self._end.wait(0.2)

    def _collect(self) -> None:
        # Ten times as fast as time: an order by hand lives for a minute of the market.
        self.here.market(by_ms=2_000)
        followed = self.here.parts.collection.follow_all()
        assert followed.errors == {}
        self._end.wait(0.2)


@pytest.fixture
def url(mariadb: MariaDBServer) -> Iterator[str]:
    """A database with this release's schema, as migrations made it."""
    name = f"upgrade_{time.time_ns()}"
    made = mariadb.create_database(name)
    engine = open_engine(made)
    upgrade_alone(engine)
    engine.dispose()
    yield made
    mariadb.drop_database(name)


@pytest.fixture
def here(exchange: SimulatorProcess, tmp_path: Path, url: str) -> Iterator[Installation]:
    with installed(exchange, tmp_path, database_url=url, strategies=STRATEGIES) as installation:
        yield installation


@pytest.fixture
def schema(url: str) -> Iterator[Engine]:
    """The engine of `tidemark system migrate`, beside the others."""
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Chooses whose migrations are applied: this release's, or the next one's."""
    root = tmp_path / "next"
    shutil.copytree(ROOT / "migrations", root / "migrations")
    file = root / "migrations" / "versions" / "99999999_next.py"
    file.write_text(textwrap.dedent(NEXT_RELEASE))

    def choose(next_one: bool) -> None:
        monkeypatch.setattr(migrating, "_ROOT", root if next_one else ROOT)

    return choose


def loaded(here: Installation) -> Load:
    account = here.account(USDT="1000000")
    here.sync(account)
    here.plan()
    return Load(here, account)


def assert_all_well(here: Installation, load: Load) -> None:
    assert load.longest_s < LONGEST_S, f"an order took {load.longest_s:.1f} s"
    here.settle()
    here.reconcile(load.account, times=2)
    assert World(here.parts, here.venue, carried=True).breaches() == []


def test_the_next_release_widens_busy_tables_and_goes_back_and_the_running_one_trades_on(
    here: Installation,
    schema: Engine,
    next_release: Callable[[bool], None],
    said: Callable[[str], None],
) -> None:
    load = loaded(here)
    with load.running():
        for _ in range(2):
            next_release(True)
            upgrade_alone(schema)
            assert "venue_note" in {each["name"] for each in inspect(schema).get_columns("orders")}
            next_release(False)
            load.goes_on()
            # An older release that is started now refuses, and says what to do.
            with pytest.raises(Unavailable, match="a newer one has migrated it; start that one"):
                upgrade_alone(schema)
            next_release(True)
            take_back(schema, str(newest_of(next_release)))
            load.goes_on()
    next_release(False)
    assert current_revision(schema) == newest_revision()
    assert_all_well(here, load)
    said(f"widened under load: {load.orders} orders, the longest took {load.longest_s:.1f} s")


def newest_of(next_release: Callable[[bool], None]) -> str | None:
    """This release's newest revision, whoever is chosen."""
    next_release(False)
    newest = newest_revision()
    next_release(True)
    return newest


def test_a_long_look_at_a_table_holds_up_the_migration_and_nobody_else(
    here: Installation, schema: Engine, next_release: Callable[[bool], None]
) -> None:
    """A statement that waits for a table makes all others wait behind it; so it gives way."""
    load = loaded(here)
    next_release(True)
    migration = threading.Thread(target=upgrade_alone, args=(schema,))
    with load.running(), schema.connect() as reader:
        reader.execute(text("SELECT COUNT(*) FROM orders")).scalar_one()
        migration.start()
        for _ in range(6):
            load.goes_on()
        assert migration.is_alive(), "it has waited for the reader"
        reader.rollback()
        migration.join(30)
        assert not migration.is_alive()
        assert current_revision(schema) == NEXT
        load.goes_on()
    next_release(False)
    assert_all_well(here, load)
