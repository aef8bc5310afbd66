"""One schema, two dialects: what makes the tables compiles for both, and fits MySQL.

The statements of the repositories are compiled for both as the suite executes them: see
``tests.support.statements`` and the fixture ``both_dialects``.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, create_mock_engine, func, insert, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from app.models import Base, OrderRow
from tests.support.statements import FORBIDDEN, BothDialects, NotShared, check


@pytest.mark.parametrize("dialect", [mysql.dialect(), sqlite.dialect()], ids=["mysql", "sqlite"])
def test_the_schema_compiles(dialect: Any) -> None:
    for table in Base.metadata.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        assert not FORBIDDEN.search(text)
        if dialect.name == "mysql":
            assert "utf8mb4_bin" in text
        for index in table.indexes:
            str(CreateIndex(index).compile(dialect=dialect))


def test_names_of_constraints_fit_mysql() -> None:
    """MySQL takes identifiers of 64 characters."""
    for table in Base.metadata.sorted_tables:
        names = [each.name for each in (*table.constraints, *table.indexes)]
        assert all(name is not None and len(str(name)) <= 64 for name in names), table.name


def test_no_key_is_wider_than_innodb_allows() -> None:
    """3072 bytes at four bytes a character."""
    for table in Base.metadata.sorted_tables:
        for key in (table.primary_key, *table.indexes):
            width = sum((getattr(column.type, "length", None) or 8) * 4 for column in key.columns)
            assert width <= 3_072, f"{table.name}: {key.name}"


def test_creating_everything_needs_nothing_but_the_metadata() -> None:
    statements: list[str] = []
    engine = create_mock_engine("sqlite://", lambda sql, *_a, **_k: statements.append(str(sql)))
    Base.metadata.create_all(engine, checkfirst=False)
    assert len(statements) >= len(Base.metadata.tables)


@pytest.mark.parametrize(
    "statement",
    [
        insert(OrderRow).returning(OrderRow.order_id),
        select(OrderRow).with_for_update(read=True),
        select(OrderRow).order_by(OrderRow.created_at.nulls_last()),
        sqlite.insert(OrderRow).on_conflict_do_nothing(),
        mysql.insert(OrderRow).on_duplicate_key_update(status="new"),
    ],
    ids=["returning", "for share", "nulls last", "on conflict", "on duplicate key"],
)
def test_sql_of_one_database_alone_is_refused(statement: Any) -> None:
    with pytest.raises(NotShared):
        check(statement)


def test_a_statement_is_checked_before_it_runs() -> None:
    engine = create_engine("sqlite://")
    with BothDialects(), engine.connect() as connection:
        assert connection.scalar(select(func.count("x"))) == 1
        with pytest.raises(NotShared, match="RETURNING"):
            connection.execute(insert(OrderRow).returning(OrderRow.order_id))
    engine.dispose()
