"""What all repositories share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Final, Generic, TypeVar, cast

from sqlalchemy import ColumnElement, Select, Table, bindparam, insert, select
from sqlalchemy.orm import Session

from app.core.errors import InvalidInput, NotFound
from app.models.base import Base
from app.repositories.prepared import Prepared

M = TypeVar("M", bound=Base)
# What is listed in pages is keyed by a UUID, and a cursor is the key of a page's last row.
_CURSOR: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

# Marks a session of a unit that only reads: its rows need none of the ORM's bookkeeping.
READS: Final = "tidemark_reads"
# Of what is keyed by a number; a BIGINT has 19 digits, and not all numbers of 19 digits fit.
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_LARGEST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Rows, newest first, and the cursor of the next page (None at the end)."""

    rows: Sequence[M]
    next_cursor: str | None


def bad_cursor() -> InvalidInput:
    """The refusal of a cursor: taken as a place, it would show an empty or a wrong page."""
    return InvalidInput(
        "the cursor is not one that this list gave out; pass next_cursor of the page before, or "
        "leave it out for the first page",
        code="invalid-cursor",
    )


def append(session: Session, rows: Sequence[Base]) -> int:
    """Insert rows of one table that this unit does not change any more; the last one's id.

    The session does not learn of them: its bookkeeping for a row costs 270 us of CPU where the
    insert itself costs 120, measured, and an order writes a dozen such rows. Rows that are new
    in the session are written first, for these may refer to them.

    Returns:
        What the database counted up to for one row with a counted id; 0 for any other.
    """
    if session.new:
        session.flush()
    names, prepared = _insertion(type(rows[0]))
    values = [{name: getattr(row, name) for name in names} for row in rows]
    if len(values) > 1:
        prepared.run_many(session, values)
        return 0
    return prepared.run(session, values[0]).last_id


@cache
def _insertion(model: type[Base]) -> tuple[tuple[str, ...], Prepared]:
    """Columns that an insert gives, and the insert; the database counts the others."""
    table = cast("Table", model.__table__)
    names = tuple(column.key for column in table.columns if column.autoincrement is not True)
    return names, Prepared(insert(table).values({name: bindparam(name) for name in names}))


def number_of(cursor: str | None) -> int | None:
    """The key of a page's last row, where rows are keyed by numbers; None for the first page.

    Raises:
        InvalidInput: the cursor is none.
    """
    if cursor is None:
        return None
    if not _NUMBER.fullmatch(cursor) or int(cursor) > _LARGEST:
        raise bad_cursor()
    return int(cursor)


class Repository:
    """All SQL on one aggregate. Repositories never commit."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def _page(
        self,
        statement: Select[M],
        key: Any,
        limit: int,
        cursor: str | None,
    ) -> Page[M]:
        """Rows of ``statement`` by descending ``key``, from behind ``cursor``.

        Raises:
            InvalidInput: the cursor is none.
        """
        if cursor is not None:
            if not _CURSOR.fullmatch(cursor):
                raise bad_cursor()
            statement = statement.where(key < cursor)
        rows = self._session.scalars(statement.order_by(key.desc()).limit(limit + 1)).all()
        more = len(rows) > limit
        kept = rows[:limit]
        return Page(kept, getattr(kept[-1], key.key) if more else None)


class KeyedRepository(Repository, Generic[M]):
    """A repository of rows with one text key."""

    # A mapped attribute is a descriptor: read ``key`` from the class, never from the instance.
    model: ClassVar[type[Any]]
    key: ClassVar[Any]
    noun: ClassVar[str]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        # A session forgets what nobody holds, and would read it again for the next who asks.
        self._held: dict[str, M] = {}
        self._looked: dict[str, M] = {}

    def add(self, row: M) -> M:
        """Insert a row when the unit is flushed."""
        self._session.add(row)
        return row

    def find(self, key: str) -> M | None:
        """The row of that id, or None."""
        if READS in self._session.info:
            return self._seen(key)
        row: M | None = self._session.get(self.model, key)
        return row if row is None else self._held.setdefault(key, row)

    def look(self, key: str) -> M:
        """The row as this unit has read it first, to be read and not to be changed.

        Raises:
            NotFound: there is none.
        """
        row = self._held.get(key) or self._seen(key)
        if row is None:
            raise self._none(key)
        return row

    def _seen(self, key: str) -> M | None:
        known = self._looked.get(key)
        if known is not None:
            return known
        row: M | None = self._looking().one(self._session, {"key": key})
        return row if row is None else self._looked.setdefault(key, row)

    def _none(self, key: str) -> NotFound:
        return NotFound(f"no {self.noun} has the id {key[:40]!r}")

    def get(self, key: str) -> M:
        """The row of that id.

        Raises:
            NotFound: there is none.
        """
        row = self.find(key)
        if row is None:
            raise self._none(key)
        return row

    def lock(self, key: str) -> M:
        """The row of that id as it is now, locked until the unit ends.

        Raises:
            NotFound: there is none.
        """
        row: M | None = self._locking().held_one(self._session, {"key": key})
        if row is None:
            raise self._none(key)
        return self._held.setdefault(key, row)

    @classmethod
    @cache
    def _looking(cls) -> Prepared:
        return Prepared(select(cls.model).where(cls.key == bindparam("key")))

    @classmethod
    @cache
    def _locking(cls) -> Prepared:
        return Prepared(select(cls.model).where(cls.key == bindparam("key")).with_for_update())

    def page(self, limit: int, cursor: str | None = None, *where: ColumnElement[bool]) -> Page[M]:
        """Rows by descending id, newest first."""
        statement: Select[M] = select(self.model).where(*where)
        return self._page(statement, type(self).key, limit, cursor)
