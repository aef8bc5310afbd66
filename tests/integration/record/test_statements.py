"""One schema, two dialects: what makes the tables compiles for both, and fits MySQL.

Statements are compiled for both as the suite executes them: see ``tests.support.statements`` and
the fixture ``both_dialects``. That the suite executes those of every repository is held by
``test_every_repository``.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import (
    Column,
    String,
    case,
    cast,
    create_engine,
    create_mock_engine,
    exists,
    func,
    insert,
    literal,
    select,
    type_coerce,
    union,
    update,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from app.models import Base, OrderRow
from tests.support.statements import FORBIDDEN, BothDialects, MoneyComputed, NotShared, check


@pytest.mark.parametrize("dialect", [mysql.dialect(), sqlite.dialect()], ids=["mysql", "sqlite"])
def test_the_schema_compiles(dialect: Any) -> None:
    for table in Base.metadata.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        assert not FORBIDDEN.search(text)
        if dialect.name == "mysql":
            assert "utf8mb4_bin" in text
        for index in table.indexes:
            str(CreateIndex(index).compile(dialect=dialect))
            assert all(isinstance(each, Column) for each in index.expressions), index.name


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


@pytest.mark.parametrize(
    "statement",
    [
        select(func.sum(OrderRow.price)),
        select(func.max(OrderRow.price)).where(OrderRow.order_id == "x"),
        select(OrderRow).order_by(OrderRow.price),
        select(OrderRow.symbol).group_by(OrderRow.symbol, OrderRow.price),
        select(OrderRow).order_by("price"),
        select(OrderRow.price).distinct(),
        union(select(OrderRow.price), select(OrderRow.quantity)),
        select(cast(OrderRow.price, String)),
        select(OrderRow).where(type_coerce(OrderRow.price, String) == "1"),
        select(OrderRow).where(literal(1) == select(OrderRow.price).scalar_subquery()),
        select(case((OrderRow.symbol == "x", OrderRow.price), else_=None)),
        select(func.rank().over(order_by=OrderRow.price)),
        update(OrderRow).values(price=func.abs(OrderRow.price)),
    ],
    ids=[
        "sum",
        "max",
        "order by",
        "group by",
        "order by a name",
        "distinct",
        "union",
        "cast",
        "compared as text",
        "compared with a query",
        "case",
        "rank",
        "update",
    ],
)
def test_sql_that_computes_with_money_is_refused(statement: Any) -> None:
    with pytest.raises(MoneyComputed, match="price"):
        check(statement)


@pytest.mark.parametrize(
    "statement",
    [
        select(OrderRow).where(OrderRow.price.is_(None)).order_by(OrderRow.created_at),
        select(OrderRow.symbol).where(exists(select(OrderRow.price))).distinct(),
        select(type_coerce(OrderRow.price, String)).order_by(OrderRow.order_id),
        update(OrderRow).values(price=OrderRow.reference_price),
    ],
    ids=["null", "exists", "as the driver gives it", "moved"],
)
def test_sql_that_moves_money_passes(statement: Any) -> None:
    check(statement)


def test_a_statement_is_checked_before_it_runs() -> None:
    engine = create_engine("sqlite://")
    with BothDialects(), engine.connect() as connection:
        assert connection.scalar(select(func.count("x"))) == 1
        with pytest.raises(NotShared, match="RETURNING"):
            connection.execute(insert(OrderRow).returning(OrderRow.order_id))
    engine.dispose()
