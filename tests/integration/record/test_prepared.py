"""Prepared statements do what SQLAlchemy's own execution does, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, bindparam, event, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from app.models import OutboxRow, PositionRow, VenueBanRow
from app.repositories.database import driver_code, is_mysql, open_engine
from app.repositories.prepared import Outcome, Prepared
from tests.integration.record.questions.rows import contents, row
from tests.support.schema import make_tables

_BANS: Any = VenueBanRow.__table__
BANS = Prepared(select(VenueBanRow).where(VenueBanRow.until > bindparam("after")))
NAMED = Prepared(
    select(VenueBanRow.scope)
    .where(VenueBanRow.scope.in_(bindparam("scopes", expanding=True)))
    .order_by(VenueBanRow.scope),
    many="scopes",
)
LENGTHEN = Prepared(
    update(_BANS).where(_BANS.c.reason == bindparam("because")).values(until=bindparam("until"))
)


def bans(session: Session, count: int) -> None:
    session.add_all(
        VenueBanRow(scope=f"venue-{n}", until=n, reason="418", seen_at=1) for n in range(count)
    )
    session.commit()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url)
    make_tables(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine, expire_on_commit=False) as opened:
        yield opened


def test_a_row_is_read_as_the_orm_reads_it_and_cannot_be_written(session: Session) -> None:
    bans(session, 3)
    found = BANS.all(session, {"after": 0})
    assert contents(found) == contents(session.scalars(BANS.statement, {"after": 0}))
    assert len(found) == 2
    with pytest.raises(AttributeError):
        found[0].until = 9


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 40])
def test_a_list_of_any_length_finds_each_member_once(session: Session, count: int) -> None:
    bans(session, 50)
    scopes = [f"venue-{n}" for n in range(count)]
    found = NAMED.rows(session, {"scopes": [*scopes, "nobody"]})
    assert [scope for (scope,) in found] == sorted(scopes)
    assert NAMED.rows(session, {"scopes": []}) == []


def test_an_amount_keeps_each_digit(session: Session) -> None:
    if is_mysql(session.get_bind()):
        session.execute(text("SET foreign_key_checks=0"))
    else:
        session.connection().connection.driver_connection.execute("PRAGMA defer_foreign_keys=ON")
    table: Any = PositionRow.__table__
    amount = Decimal("1234567.230000000000000001")
    values = row(PositionRow, quantity=amount, average_price=None)
    add = Prepared(insert(table).values({c.key: bindparam(c.key) for c in table.columns}))
    add.run(session, contents([values])[0])
    assert contents(Prepared(select(PositionRow)).all(session, {})) == contents([values])


def test_json_is_read_as_it_was_written(session: Session) -> None:
    table: Any = OutboxRow.__table__
    add = Prepared(
        insert(table).values(
            {name: bindparam(name) for name in ("topic", "body", "created_at", "sent_at")}
        )
    )
    body = {"b": "1", "a": {"数": None}}
    values = {"topic": "t", "body": body, "created_at": 1, "sent_at": 0}
    first, second = (add.run(session, values).last_id for _ in "12")
    assert second == first + 1
    read = Prepared(select(OutboxRow).where(OutboxRow.id == bindparam("id")))
    assert read.all(session, {"id": second})[0].body == body


def test_what_waits_in_the_session_is_written_first(session: Session) -> None:
    bans(session, 2)
    session.add(VenueBanRow(scope="later", until=99, reason="403", seen_at=1))
    assert len(BANS.all(session, {"after": 50})) == 1
    held = session.get_one(VenueBanRow, "venue-1")
    held.until = 77
    assert len(BANS.all(session, {"after": 50})) == 2
    with session.no_autoflush:
        held.until = 0
        assert len(BANS.all(session, {"after": 50})) == 2
    session.rollback()
    assert BANS.all(session, {"after": 50}) == []


def test_a_write_counts_the_rows_it_found_and_is_undone_with_its_transaction(
    session: Session,
) -> None:
    bans(session, 3)
    assert LENGTHEN.run(session, {"because": "418", "until": 5}).matched == 3
    # Found, though nothing of them changes.
    assert LENGTHEN.run(session, {"because": "418", "until": 5}).matched == 3
    assert LENGTHEN.run(session, {"because": "none", "until": 5}).matched == 0
    session.rollback()
    assert [each.until for each in session.scalars(select(VenueBanRow))] == [0, 1, 2]


def test_what_the_database_refuses_is_sqlalchemys_error(session: Session) -> None:
    table: Any = VenueBanRow.__table__
    names = [column.key for column in table.columns]
    add = Prepared(insert(table).values({name: bindparam(name) for name in names}))
    values = {"scope": "twice", "until": 1, "reason": "", "seen_at": 1}
    assert isinstance(add.run(session, values), Outcome)
    with pytest.raises(IntegrityError):
        add.run(session, values)


def test_listeners_hear_of_it(engine: Engine, session: Session) -> None:
    heard: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        heard.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        BANS.all(session, {"after": 0})
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len([statement for statement in heard if statement.startswith("SELECT")]) == 1


def test_a_lost_connection_is_let_go_and_the_next_one_is_new(
    engine: Engine, session: Session
) -> None:
    if not is_mysql(engine):
        pytest.skip("a file is not lost")
    own = session.scalar(text("SELECT CONNECTION_ID()"))
    with engine.connect() as other:
        other.exec_driver_sql(f"KILL {own}")
    with pytest.raises(OperationalError) as caught:
        BANS.all(session, {"after": 0})
    assert caught.value.connection_invalidated
    assert driver_code(caught.value.orig) in (1927, 2006, 2013)
    session.rollback()
    assert BANS.all(session, {"after": 0}) == []
