"""A unit's session writes what SQLAlchemy's own writes, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, bindparam, delete, event, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app.models import AccountRow, VenueBanRow
from app.repositories.database import open_engine
from app.repositories.prepared import Prepared
from app.repositories.sessions import UnitSession
from tests.integration.record.questions.rows import ID, contents, row
from tests.support.schema import make_tables

LOCK = Prepared(
    select(VenueBanRow).where(VenueBanRow.scope == bindparam("scope")).with_for_update()
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url)
    make_tables(opened)
    with Session(opened) as session:
        session.add_all(
            VenueBanRow(scope=scope, until=1, reason="418", seen_at=1) for scope in "abc"
        )
        session.commit()
    yield opened
    opened.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[UnitSession]:
    with UnitSession(engine, expire_on_commit=False) as opened:
        yield opened


def held(session: Session, scope: str) -> VenueBanRow:
    (found,) = LOCK.held(session, {"scope": scope})
    assert isinstance(found, VenueBanRow)
    return found


def said(engine: Engine) -> dict[str, tuple[int, str]]:
    with Session(engine) as other:
        return {
            each.scope: (each.until, each.reason) for each in other.scalars(select(VenueBanRow))
        }


def test_changes_are_written_with_the_commit_and_nothing_else_is(
    engine: Engine, session: UnitSession
) -> None:
    first, second = held(session, "a"), held(session, "b")
    first.until, first.reason = 7, "403"
    second.until = 1  # as it was
    heard = updates_of(engine, session.commit)
    assert len(heard) == 1
    assert said(engine) == {"a": (7, "403"), "b": (1, "418"), "c": (1, "418")}


def test_a_row_that_was_written_is_not_written_again(engine: Engine, session: UnitSession) -> None:
    held(session, "a").until = 7
    assert len(updates_of(engine, session.flush)) == 1
    assert updates_of(engine, session.commit) == []
    assert not session.dirty


def test_a_row_that_is_locked_again_is_what_the_database_says(
    engine: Engine, session: UnitSession
) -> None:
    ban = held(session, "a")
    session.commit()
    with Session(engine) as other:
        other.get_one(VenueBanRow, "a").until = 99
        other.commit()
    assert held(session, "a") is ban
    assert ban.until == 99
    assert not session.dirty
    ban.until += 1
    session.commit()
    assert said(engine)["a"] == (100, "418")


def test_a_rollback_takes_back_what_was_written(engine: Engine, session: UnitSession) -> None:
    ban = held(session, "a")
    ban.until = 7
    session.flush()
    session.rollback()
    assert said(engine)["a"] == (1, "418")
    assert ban.until == 1


def test_a_savepoint_takes_back_its_own_changes_alone(engine: Engine, session: UnitSession) -> None:
    first, second = held(session, "a"), held(session, "b")
    first.until = 7
    savepoint = session.begin_nested()
    second.until = 8
    session.flush()
    savepoint.rollback()
    assert (first.until, second.until) == (7, 1)
    session.commit()
    assert said(engine) == {"a": (7, "418"), "b": (1, "418"), "c": (1, "418")}


def test_new_rows_and_changed_ones_go_together(engine: Engine, session: UnitSession) -> None:
    held(session, "a").until = 7
    session.add(VenueBanRow(scope="d", until=4, reason="", seen_at=1))
    session.delete(held(session, "b"))
    session.commit()
    assert said(engine) == {"a": (7, "418"), "c": (1, "418"), "d": (4, "")}


def test_a_row_that_is_gone_is_not_changed_in_silence(session: UnitSession) -> None:
    ban = held(session, "a")
    session.execute(
        delete(VenueBanRow).where(VenueBanRow.scope == "a"),
        execution_options={"synchronize_session": False},
    )
    ban.until = 7
    with pytest.raises(StaleDataError, match="venue_bans is gone"):
        session.flush()


def test_rows_are_written_in_one_order_whoever_changed_them(
    engine: Engine, session: UnitSession
) -> None:
    """Of two transactions that change the same rows, neither waits for the other in a circle."""
    for ban in [held(session, scope) for scope in "cab"]:
        ban.until = 7
    written = updates_of(engine, session.flush)
    assert [parameters["key_scope"] for parameters in written] == list("abc")


def test_json_and_all_else_is_kept(engine: Engine, session: UnitSession) -> None:
    account: Any = row(AccountRow, trade_cursor={"b": 1})
    session.add(account)
    session.commit()
    account.trade_cursor = {"a": "数", "b": None}
    session.commit()
    with Session(engine) as other:
        assert contents([other.get_one(AccountRow, ID)]) == contents([account])


def updates_of(engine: Engine, act: Any) -> list[dict[str, Any]]:
    """The values of the updates that are sent meanwhile, by name."""
    heard: list[dict[str, Any]] = []

    def note(_connection: Any, _cursor: Any, text: str, parameters: Any, *_: Any) -> None:
        if text.startswith("UPDATE"):
            named = isinstance(parameters, dict)
            # SQLite numbers its places: until, and the key last.
            heard.append(parameters if named else {"key_scope": parameters[-1]})

    event.listen(engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return heard
