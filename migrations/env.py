"""Alembic environment: the caller hands in a connection, or TIDEMARK_DATABASE_URL names one."""

from __future__ import annotations

import os
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

from app.models import Base
from app.models.base import Json, LongText, Money, RowId
from app.repositories.database import open_engine

_NAMES = ((Money, "MONEY"), (Json, "LONG_TEXT"))


def _render(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write our column types into a new migration by their frozen names."""
    name = "ROW_ID" if item is RowId else "LONG_TEXT" if item is LongText else None
    name = name or next((known for type_, known in _NAMES if isinstance(item, type_)), None)
    if kind != "type" or name is None:
        return False
    autogen.imports.add(f"from migrations.types import {name}")
    return name


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # SQLite cannot alter a table in place; Alembic copies it instead.
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=_render,
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    with open_engine(os.environ["TIDEMARK_DATABASE_URL"]).connect() as opened:
        _migrate(opened)
        opened.commit()
