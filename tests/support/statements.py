"""Every statement of the suite, compiled for both dialects, whichever database it ran on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from alembic.ddl.base import AlterTable
from sqlalchemy import (
    BinaryExpression,
    Case,
    Cast,
    ClauseElement,
    CompoundSelect,
    Connection,
    Engine,
    Exists,
    Over,
    ScalarSelect,
    Select,
    UnaryExpression,
    event,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import _textual_label_reference
from sqlalchemy.sql.expression import ColumnClause, SelectBase
from sqlalchemy.sql.functions import FunctionElement

from app.models.base import Money

#: Spelled differently, or missing, on one of MySQL 8.4, MariaDB 10.11 and SQLite.
FORBIDDEN: Final = re.compile(
    r"\b(RETURNING|AS new|FOR SHARE|LOCK IN SHARE MODE|ILIKE|NULLS (FIRST|LAST)|ON CONFLICT)\b",
    re.IGNORECASE,
)
DIALECTS: Final[tuple[Any, ...]] = (mysql.dialect(), sqlite.dialect())
#: What takes its operands for numbers or texts.
_COMPUTING: Final = (BinaryExpression, Case, Cast, FunctionElement, Over, UnaryExpression)
#: Whether an amount is there may be asked.
_NULL_CHECKS: Final = (operators.is_, operators.is_not)


class NotShared(AssertionError):
    """A statement that one of the databases does not understand."""


class MoneyComputed(AssertionError):
    """A statement that computes with, compares or sorts by an amount."""


def check(statement: ClauseElement) -> None:
    """Compile a statement for MySQL and SQLite, and look at what it does with amounts.

    Raises:
        NotShared: it compiles for one alone, or uses what the databases spell differently.
        MoneyComputed: SQLite would compute with texts, and MySQL would round.
    """
    for dialect in DIALECTS:
        try:
            text = str(statement.compile(dialect=dialect))
        except Exception as error:
            raise NotShared(f"no statement of {dialect.name}: {statement!r}") from error
        if found := FORBIDDEN.search(text):
            raise NotShared(f"{found[0]} is not shared SQL: {text}")
    for part in visitors.iterate(statement):
        for name in _computed_with(part):
            raise MoneyComputed(f"SQL computes with the amount {name}: {statement}")


def _computed_with(part: Any) -> Iterator[str]:
    """Names of the amounts that one part of a statement computes with, compares or sorts by.

    The column type refuses operators by itself; a function, an ORDER BY or a cast of a column
    never asks it.
    """
    operands: list[Any]
    if isinstance(part, (Select, CompoundSelect)):
        operands = [*part._order_by_clauses, *part._group_by_clauses]
        operands += part.selected_columns if _drops_doubles(part) else ()
    elif isinstance(part, Exists) or not isinstance(part, _COMPUTING):
        return  # what is selected inside of EXISTS is not looked at by the database either
    elif isinstance(part, BinaryExpression) and part.operator in _NULL_CHECKS:
        return
    else:
        operands = list(part.get_children())
    for operand in operands:
        yield from _amounts(operand)


def _drops_doubles(query: Select[Any] | CompoundSelect[Any]) -> bool:
    """Whether a query compares its rows with each other: DISTINCT, and UNION without ALL."""
    if isinstance(query, CompoundSelect):
        return not query.keyword.name.endswith("_ALL")
    return bool(query._distinct)


def _amounts(operand: Any) -> Iterator[str]:
    """The amounts in an operand; a query in it is a part of its own, but for its one value."""
    if isinstance(operand, _textual_label_reference):
        yield f"{operand.element} (name the column itself)"  # which may be an amount
    elif isinstance(operand, (ScalarSelect, ColumnClause)):
        if isinstance(operand.type, Money):
            yield str(operand)
    elif not isinstance(operand, SelectBase):
        for part in operand.get_children():
            yield from _amounts(part)


class BothDialects:
    """Checks each statement that any engine is about to execute, once.

    Textual SQL of the driver (PRAGMA, LOAD DATA) is written for one database on purpose and
    does not pass here.

    Attributes:
        executed: how many statements went by.
    """

    def __init__(self) -> None:
        self.executed = 0
        self._seen: set[Any] = set()

    def __enter__(self) -> BothDialects:
        event.listen(Engine, "before_execute", self._before)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_execute", self._before)

    def _before(self, _connection: Connection, statement: Any, *_: Any) -> None:
        if not isinstance(statement, ClauseElement) or _is_alembics(statement):
            return
        self.executed += 1
        key = statement._generate_cache_key()
        known = None if key is None else key.key
        if known is None or known not in self._seen:
            check(statement)
            self._seen.add(known)


def _is_alembics(statement: ClauseElement) -> bool:
    """Whether Alembic fits it to the database: its own table, and how a table is altered."""
    is_own = str(getattr(statement, "table", "")) == "alembic_version"
    return is_own or isinstance(statement, AlterTable)
