"""Units of work on both databases: what commits, what is sent, and that nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest
from sqlalchemy import text

from app.core.errors import NotFound
from app.core.events import topic
from app.core.money import canonical
from app.models import AccountRow
from app.repositories.database import open_engine
from app.repositories.unit import Unit, Units
from tests.support.record import Events, Hints, ManualClock, units_over
from tests.support.schema import make_tables

ACCOUNT = "00000000-0000-7000-8000-000000000001"


@pytest.fixture
def hints() -> Hints:
    return Hints()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def units(database_url: str, hints: Hints, events: Events) -> Iterator[Units]:
    engine = open_engine(database_url, pool_size=10)
    make_tables(engine)
    units = units_over(engine, ManualClock(), hints, events)
    with units.write() as unit:
        unit.accounts.add(
            AccountRow(
                id=ACCOUNT,
                name="one",
                kind="simulated",
                exchange="binance",
                account_type="spot",
                status="active",
                sealed_credentials="",
                synced_ts=0,
                trade_cursor={},
                created_at=0,
            )
        )
    yield units
    engine.dispose()


def test_eight_threads_change_one_balance_and_no_change_is_lost(units: Units) -> None:
    """Each thread adds 1, then 2, … 25 to the same row: 8 × 325 must arrive."""
    start = threading.Barrier(8)
    failures: list[BaseException] = []

    def add() -> None:
        start.wait()
        try:
            for amount in range(1, 26):
                units.run(lambda unit, amount=amount: change(unit, Decimal(amount)))
        except BaseException as error:  # noqa: BLE001 - judged by the test
            failures.append(error)

    def change(unit: Unit, amount: Decimal) -> None:
        row = unit.accounts.lock_balances(ACCOUNT, ["USDT"])["USDT"]
        unit.accounts.move(row, free=amount, locked=-amount, at=unit.now_ms)

    units.run(lambda unit: change(unit, Decimal(0)))
    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with units.read() as unit:
        (balance,) = unit.accounts.balances(ACCOUNT)
    assert (balance.free, balance.locked) == (Decimal(2_600), Decimal(-2_600))


def test_the_longest_name_of_an_instance_fits_into_a_topic(units: Units) -> None:
    longest = topic("signals", "." * 64, "cancel")
    assert len(longest) > 200
    units.run(lambda unit: unit.emit(longest, {"schema": "signals.v1"}))
    with units.read() as unit:
        assert [event.topic for event in unit.outbox.unsent(2**62)] == [longest]


def test_hints_and_events_leave_only_after_the_commit(
    units: Units, hints: Hints, events: Events
) -> None:
    def fail_half_way(unit: Unit) -> None:
        unit.enqueue("orders.send", "1")
        unit.emit("orders.new.binance", {"schema": "orders.v1"})
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        units.run(fail_half_way)
    assert (hints.sent, events.sent) == ([], [])

    with units.write() as unit:
        unit.enqueue("orders.send", "1")
        unit.enqueue("orders.send", "1")
        unit.emit("orders.new.binance", {"schema": "orders.v1"})
        assert hints.sent == []
    assert hints.sent == [("orders.send", "1")]
    assert events.sent == [("orders.new.binance", {"schema": "orders.v1"})]
    with units.read() as unit:
        assert unit.outbox.backlog() == 1


def test_amounts_come_back_as_they_went_in(units: Units) -> None:
    amounts = ["999999999999999999.999999999999999999", "0.000000000000000001", "-5", "100"]
    for number, amount in enumerate(amounts):
        units.run(
            lambda unit, amount=amount, number=number: unit.accounts.move(
                unit.accounts.lock_balances(ACCOUNT, [f"A{number}"])[f"A{number}"],
                free=Decimal(amount),
                at=1,
            )
        )
    with units.read() as unit:
        assert [canonical(row.free) for row in unit.accounts.balances(ACCOUNT)] == amounts


def test_sql_must_not_compute_with_money(units: Units) -> None:
    from app.models import BalanceRow

    for forbidden in (
        lambda: BalanceRow.free > Decimal(1),
        lambda: BalanceRow.free + 1,
        BalanceRow.free.desc,
        lambda: 1 - BalanceRow.free,
        lambda: BalanceRow.free == Decimal(1),
    ):
        with pytest.raises(TypeError, match="compute in Python"):
            forbidden()
    assert BalanceRow.free.is_(None) is not None


def test_case_and_script_of_names_matter(units: Units) -> None:
    """1m is not 1M, and symbols need not be ASCII."""
    for asset in ("1m", "1M", "币安人生"):
        units.run(lambda unit, asset=asset: unit.accounts.lock_balances(ACCOUNT, [asset]))
    with units.read() as unit:
        assert {row.asset for row in unit.accounts.balances(ACCOUNT)} == {"1m", "1M", "币安人生"}


def test_one_slot_of_the_schedule_is_run_once(units: Units) -> None:
    won = [
        units.run(lambda unit: unit.system.take_slot("maintenance.sweep", 1_000, "a", 1_000)),
        units.run(lambda unit: unit.system.take_slot("maintenance.sweep", 1_000, "b", 1_001)),
        units.run(lambda unit: unit.system.take_slot("maintenance.sweep", 2_000, "b", 2_000)),
    ]
    assert won == [True, False, True]
    with units.read() as unit:
        assert unit.system.last_runs() == {"maintenance.sweep": 2_000}


def test_a_lease_changes_hands_only_when_it_has_run_out(units: Units) -> None:
    def take(owner: str, now: int) -> int | None:
        return units.run(lambda unit: unit.system.take_lease("stream", owner, now, 100))

    assert take("a", 0) == 1
    assert take("b", 50) is None
    assert take("a", 90) == 1
    assert take("b", 150) is None
    assert take("b", 191) == 2
    units.run(lambda unit: unit.system.release_lease("stream", "b"))
    assert take("a", 192) == 1


def test_what_is_not_there_is_named(units: Units) -> None:
    with units.read() as unit, pytest.raises(NotFound, match="no order has the id 'x'"):
        unit.orders.get("x")


def test_a_reader_sees_no_uncommitted_row(units: Units) -> None:
    with units.write() as writer:
        writer.accounts.get(ACCOUNT).name = "renamed"
        writer.flush()
        with units.read() as reader:
            assert reader.accounts.get(ACCOUNT).name == "one"


def test_the_database_stands_as_the_settings_promise(database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
            assert connection.scalar(text("PRAGMA synchronous")) == 2  # FULL
            assert connection.scalar(text("PRAGMA foreign_keys")) == 1
        else:
            assert connection.scalar(text("SELECT @@innodb_lock_wait_timeout")) == 3
            # `tx_isolation` of MariaDB 10, `transaction_isolation` of MySQL.
            found = connection.execute(text("SHOW VARIABLES LIKE 't%_isolation'")).all()
            assert {value for _, value in found} == {"READ-COMMITTED"}
    engine.dispose()
