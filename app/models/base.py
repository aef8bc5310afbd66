"""Declarative base, shared column types and constraint names."""

from __future__ import annotations

import json
from decimal import Context, Decimal
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Dialect,
    Integer,
    MetaData,
    Numeric,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine

from app.core.money import DECIMALS, INTEGER_DIGITS, ZERO, canonical, checked

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
# Binary collation: symbols and intervals differ by case alone ("1m" is not "1M").
MYSQL_OPTIONS: dict[str, str] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}

_WIDE = Context(prec=INTEGER_DIGITS + DECIMALS)
#: Text of any length; MySQL's TEXT ends at 64 KiB.
LongText = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
#: Autoincrementing key; SQLite only autoincrements INTEGER.
RowId = BigInteger().with_variant(Integer, "sqlite")
#: Milliseconds since 1970-01-01T00:00Z.
Millis = BigInteger
#: UUIDv7 text.
Uid = String(36)
#: A short name from our own vocabulary: a state, a kind.
Word = String(32)
#: A name from outside: symbol, exchange, asset, instance name.
Name = String(64)


class Money(TypeDecorator[Decimal]):
    """An exact amount: DECIMAL(36,18) on MySQL, canonical text on SQLite.

    SQL may move a Money column, never compute with it: SQLite would compare texts and MySQL
    would round. Lock the row, compute in Python, write.
    """

    impl = Numeric(INTEGER_DIGITS + DECIMALS, DECIMALS)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(40))
        return dialect.type_descriptor(Numeric(INTEGER_DIGITS + DECIMALS, DECIMALS))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if not isinstance(value, Decimal):
            raise TypeError(f"Money was {type(value).__name__}; amounts are Decimal")
        return canonical(value) if dialect.name == "sqlite" else checked(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        if value is None:
            return None
        return trimmed(value) if isinstance(value, Decimal) else Decimal(value)

    class comparator_factory(TypeDecorator.Comparator[Decimal]):  # noqa: N801
        """Refuses arithmetic and comparison in SQL; NULL checks pass."""

        def operate(self, op: OperatorType, *other: Any, **kwargs: Any) -> Any:
            if op.__name__ in ("is_", "is_not"):
                return super().operate(op, *other, **kwargs)
            raise TypeError(
                f"SQL must not apply {op.__name__!r} to a Money column; "
                "lock the row and compute in Python"
            )

        def reverse_operate(self, op: OperatorType, other: Any, **kwargs: Any) -> Any:  # noqa: ARG002
            raise TypeError(f"SQL must not apply {op.__name__!r} to a Money column: {other!r}")


def trimmed(value: Decimal) -> Decimal:
    """``value`` without trailing zeros. The default context would round it to 28 digits."""
    return _WIDE.add(value.normalize(_WIDE), ZERO)


class Json(TypeDecorator[Any]):
    """JSON as text with sorted keys, so that both databases hold the same bytes.

    MySQL's own JSON type re-orders keys and turns decimals into doubles.
    """

    impl = LongText
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        if value is None:
            return None
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else json.loads(value)


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {Decimal: Money()}
    __table_args__: Any = MYSQL_OPTIONS


def table(*constraints: Any) -> tuple[Any, ...]:
    """``__table_args__`` with constraints and the MySQL options that every table carries."""
    return (*constraints, MYSQL_OPTIONS)
