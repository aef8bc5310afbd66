"""One schema, two dialects: what makes the tables compiles for both, and fits MySQL."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import create_mock_engine
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from app.models import Base

#: Spelled differently, or missing, on one of MySQL 8.4, MariaDB 10.11 and SQLite.
FORBIDDEN = re.compile(r"\bRETURNING\b|\bAS new\b|\bFOR SHARE\b|\bILIKE\b", re.IGNORECASE)


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
