"""Migrations: up and down on both databases, and what they build is what the models say."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from app.core.errors import InvalidInput, Unavailable
from app.models import Base
from app.models.base import Money
from app.repositories.database import open_engine
from app.repositories.migrating import (
    current_revision,
    downgrade,
    newest_revision,
    pending,
    revisions,
    take_back,
    upgrade,
    upgrade_alone,
)
from tests.support.servers import Databases

#: Columns of 32 bits: a time in ms needs 64.
COUNTS = {
    "absent_version",
    "attempt",
    "bars",
    "compared",
    "derived_compared",
    "derived_differed",
    "differed",
    "epoch",
    "exchange_side",
    "expected",
    "failures",
    "flat",
    "head",
    "id",
    "idle",
    "keep_days",
    "leg",
    "longest",
    "marked_version",
    "max_orders_per_day",
    "missed",
    "orders_today",
    "past_version",
    "pending",
    "present",
    "priority",
    "quiet",
    "reconciled_epoch",
    "recv_window_ms",
    "runs",
    "seq",
    "series_id",
    "surplus",
    "sync_failures",
    "tail",
    "uncompared",
    "version",
}


def test_up_down_and_up_again(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)
    assert pending(engine)
    upgrade(engine)
    assert current_revision(engine) == newest_revision()
    assert not pending(engine)
    tables = set(inspect(engine).get_table_names()) - {"alembic_version"}
    assert tables == set(Base.metadata.tables)
    downgrade(engine, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    upgrade(engine)
    engine.dispose()


def test_the_migrated_schema_is_the_models(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_each_step_down_leaves_what_the_step_up_found(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)
    found = []
    for revision in reversed(revisions()):
        upgrade(engine, revision)
        found.append((revision, schema_of(engine)))
    for revision, schema in reversed(found[:-1]):
        downgrade(engine, revision)
        assert schema_of(engine) == schema
    engine.dispose()


def schema_of(engine: Engine) -> dict[str, Any]:
    """Columns, keys and indexes of every table, by name."""
    seen = inspect(engine)
    return {
        table: {
            "columns": [
                (each["name"], str(each["type"]), each["nullable"], each["default"])
                for each in seen.get_columns(table)
            ],
            "keys": sorted(str(each) for each in seen.get_unique_constraints(table)),
            "indexes": sorted(str(each) for each in seen.get_indexes(table)),
            "references": sorted(str(each) for each in seen.get_foreign_keys(table)),
        }
        for table in seen.get_table_names()
    }


@pytest.mark.mysql
def test_texts_times_and_amounts_are_stored_so_by_the_ddl_and_not_by_the_servers_defaults(
    databases: Databases,
) -> None:
    """In a database whose own character set is another, as many a server's is."""
    name = f"latin_{uuid.uuid4().hex}"
    engine = open_engine(databases.create_database(name))
    try:
        with engine.begin() as connection:
            connection.execute(text(f"ALTER DATABASE {name} CHARACTER SET latin1"))
        upgrade(engine)
        with engine.connect() as connection:
            columns = connection.execute(
                text(
                    "SELECT table_name, column_name, collation_name, column_type "
                    "FROM information_schema.columns "
                    "WHERE table_schema = DATABASE() AND table_name <> 'alembic_version'"
                )
            ).all()
    finally:
        engine.dispose()
        databases.drop_database(name)
    assert {collation for *_, collation, _ in columns} == {"utf8mb4_bin", None}
    types = {(table, column): kind for table, column, _, kind in columns}
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, Money):
                assert types[table.name, column.name] == "decimal(36,18)"
    kinds = {re.sub(r"\(.*", "", kind) for kind in types.values()}
    # No FLOAT, no DATETIME, no JSON; and what is INT counts something or names a series.
    assert kinds == {"varchar", "longtext", "decimal", "bigint", "int", "tinyint"}
    small = {column for (_, column), kind in types.items() if kind.startswith("int")}
    assert small == COUNTS


def test_a_roll_back_takes_the_schema_to_the_old_release_and_the_new_one_brings_it_again(
    empty_database_url: str,
) -> None:
    engine = open_engine(empty_database_url)
    upgrade_alone(engine)
    take_back(engine, "0004")
    assert current_revision(engine) == "0004"
    with pytest.raises(InvalidInput, match="0003, 0002, 0001"):
        take_back(engine, "0005")
    with pytest.raises(InvalidInput, match="no revision"):
        take_back(engine, "no such")
    upgrade_alone(engine)
    assert not pending(engine)
    engine.dispose()


def test_an_older_release_leaves_a_newer_schema_alone_and_says_so(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match="a newer one has migrated it"):
        upgrade_alone(engine)
    with pytest.raises(Unavailable, match="a newer one has migrated it"):
        take_back(engine, "0001")
    assert current_revision(engine) == "9999"
    engine.dispose()


def test_what_an_older_release_writes_is_whole_in_the_newer_schema(empty_database_url: str) -> None:
    """Expand first: an insert that knows nothing of the newest columns passes."""
    engine = open_engine(empty_database_url)
    upgrade(engine, "0004")
    old = {each["name"] for each in inspect(engine).get_columns("accounts")}
    upgrade(engine)
    values = dict.fromkeys(old, "x") | dict.fromkeys(
        (name for name in old if name.endswith(("_ts", "_at", "epoch", "failures", "_before"))), 0
    )
    names = ", ".join(sorted(old))
    marks = ", ".join(f":{name}" for name in sorted(old))
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO accounts ({names}) VALUES ({marks})"), values)  # noqa: S608
        row = connection.execute(text("SELECT restored_at FROM accounts")).scalar_one()
    assert row == 0
    engine.dispose()


def test_days_that_were_rolled_up_without_the_hours_that_lack_a_minute_are_made_anew(
    empty_database_url: str,
) -> None:
    engine = open_engine(empty_database_url)
    upgrade(engine, "0021")
    day = 86_400_000
    series = (
        "INSERT INTO kline_series (id, exchange, symbol, kind, `interval`, grid_offset_ms, "
        "past_version, marked_version, rolled_to, created_at) "
        "VALUES (:id, 'kraken', :symbol, 'trade', '1m', 0, 0, 0, :rolled_to, 0)"
    )
    span = (
        "INSERT INTO coverage (series_id, start_ts, end_ts, state, proof) "
        "VALUES (:series, :start, :end, :state, '{}')"
    )
    with engine.begin() as connection:
        for number, rolled_to in ((1, 9 * day), (2, None), (3, 9 * day)):
            values = {"id": number, "symbol": f"S{number}", "rolled_to": rolled_to}
            connection.execute(text(series), values)
        for number, start, end, state in (
            (1, day + 60_000, day + 120_000, "exchange_side"),
            (1, 3 * day - 60_000, 5 * day + 60_000, "exchange_side"),
            (1, 8 * day, 11 * day, "exchange_side"),
            (2, day, 2 * day, "exchange_side"),
            (3, day, 2 * day, "pending"),
        ):
            values = {"series": number, "start": start, "end": end, "state": state}
            connection.execute(text(span), values)
        connection.execute(text("INSERT INTO roll_marks VALUES (1, :day)"), {"day": 4 * day})
    upgrade(engine)
    with engine.connect() as connection:
        marks = connection.execute(text("SELECT * FROM roll_marks ORDER BY series_id, day_ts"))
        assert [tuple(row) for row in marks] == [(1, n * day) for n in (1, 2, 3, 4, 5, 8)]
        told = connection.execute(text("SELECT id, absent_version FROM kline_series ORDER BY id"))
        assert [tuple(row) for row in told] == [(1, 1), (2, 1), (3, 0)]
    engine.dispose()
