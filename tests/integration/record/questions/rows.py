"""Rows that refer to each other, and what every repository with a key is asked."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from app.models import Base
from app.repositories.base import KeyedRepository
from tests.support.history import filled

ONE = Decimal(1)
NOW = 1_000
# The id of every row: what refers to another row refers to this one.
ID = "00000000-0000-7000-8000-000000000001"
SYMBOL = "BTC/USDT"


def row(model: Any, **given: Any) -> Any:
    """A row of a model: every id is ``ID``, whatever else is not given is 0, 1 or "x"."""
    columns = model.__table__.columns
    ids = {
        column.name: ID
        for column in columns
        if column.name in ("id", "order_id") and column.autoincrement is not True
    }
    ids |= {column.name: ID for column in columns if column.foreign_keys}
    return model(**filled(model, {**ids, **given}))


def keyed(repository: KeyedRepository[Any], found: Base) -> None:
    """Add a row of the id ``ID``, and find it in every way."""
    repository.add(found)
    assert contents([repository.look(ID)]) == contents([found])
    assert repository.find(ID) is found
    assert repository.get(ID) is found
    assert repository.lock(ID) is found
    assert repository.page(1).rows == [found]
    assert repository.page(1, ID).rows == []


def contents(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """What rows say: one that is only read is another object each time."""
    return [
        {column.key: getattr(each, column.key) for column in type(each).__table__.columns}
        for each in rows
    ]
