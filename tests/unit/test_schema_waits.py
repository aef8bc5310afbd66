"""A change of the schema that only lost its turn is tried again; one that failed is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pymysql
import pytest

from app.repositories import database


class Cursor:
    """A driver's cursor whose first executions fail with these codes."""

    def __init__(self, *codes: int) -> None:
        self._codes = list(codes)
        self.executed = 0

    def execute(self, _statement: str, _parameters: Any) -> None:
        self.executed += 1
        if self._codes:
            raise pymysql.err.OperationalError(self._codes.pop(0), "told so")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Cursor, str], bool]:
    monkeypatch.setattr(database, "_SCHEMA_PAUSE_S", 0.0)
    return lambda cursor, sql: database._execute_again_and_again(cursor, sql, (), None)


@pytest.mark.parametrize("code", [1205, 1213])
def test_a_table_that_was_busy_is_changed_at_the_next_try(
    run: Callable[[Cursor, str], bool], code: int
) -> None:
    cursor = Cursor(code, code)
    assert run(cursor, "\n ALTER TABLE accounts ADD COLUMN tier INTEGER")
    assert cursor.executed == 3


def test_rows_that_a_deadlock_rolled_back_are_not_half_changed(
    run: Callable[[Cursor, str], bool],
) -> None:
    """The statements before it are gone with it: the whole step must be run again."""
    cursor = Cursor(1213)
    with pytest.raises(pymysql.err.OperationalError):
        run(cursor, "DELETE FROM outbox")
    assert cursor.executed == 1


def test_what_is_wrong_fails_at_once_and_what_stays_busy_in_the_end(
    run: Callable[[Cursor, str], bool],
) -> None:
    for cursor, tries in ((Cursor(1060), 1), (Cursor(*[1205] * 100), database._SCHEMA_TRIES)):
        with pytest.raises(pymysql.err.OperationalError):
            run(cursor, "ALTER TABLE accounts ADD COLUMN tier INTEGER")
        assert cursor.executed == tries
