"""What runs at every bar, order, tick of the schedule or request finds its rows by an index.

The record has years behind it (`tests.support.history`): a query that is quick on an empty table
and reads them all here would be slower with each day of trading. What a statement really read is
counted by the server (``Handler_read_*``), so the bound is on rows, not on a guess of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session

from app.core.market.coverage import CoverageState
from app.models import Base, KlineSeriesRow
from app.repositories.database import open_engine
from app.repositories.unit import Unit
from tests.support.history import ACCOUNT, OPEN, instance_of, uid, write_history
from tests.support.record import ManualClock
from tests.support.servers import Databases

# Each range reads one row beyond its end; there are up to eight states of an order to look in.
_SLACK = 8
# A sort reads its rows a second time, and MySQL those with JSON a third, by their addresses.
_PASSES = {True: 2, False: 3}
# MySQL 9 explains as a tree unless it is asked for the table.
_EXPLAIN = "EXPLAIN FORMAT=TRADITIONAL"
_EXPLAINED = ("SELECT", "UPDATE", "DELETE")
NOW = 10**9
MINUTE = 60_000
ME = instance_of(0)


def _minutes(unit: Unit) -> KlineSeriesRow:
    found = unit.klines.find_series("binance", "S3/USDT", "1m")
    assert found is not None
    return found


#: Name → the query and the rows that it may read at most.
HOT: dict[str, tuple[Callable[[Unit], Any], int]] = {
    "order of an intent": (lambda u: u.orders.of_intent(ACCOUNT, "k0"), 1),
    "order of a venue's id": (lambda u: u.orders.of_venue_id(ACCOUNT, "BTC/USDT", "v40"), 1),
    "order locked": (lambda u: u.orders.lock(uid("order", 1)), 1),
    "order claimed": (
        lambda u: u.orders.claim(u.orders.get(uid("order", 0)), owner="me", request_ts=1, now_ms=1),
        2,
    ),
    "live orders of an account": (lambda u: u.orders.live(ACCOUNT), OPEN),
    "live orders of an instance": (lambda u: u.orders.live_of_instance(ME), OPEN),
    "unsettled orders": (lambda u: u.orders.unsettled(NOW), OPEN),
    "unsettled orders counted": (lambda u: u.orders.count_unsettled(ACCOUNT), OPEN),
    "events of an order": (lambda u: u.orders.events(uid("order", 5)), 4),
    "events not told": (lambda u: u.orders.untold(ME), 4 * OPEN),
    "events told": (lambda u: u.orders.mark_told(ME), 4 * OPEN),
    "a page of orders": (lambda u: u.orders.page(20), 21),
    "signals that wait": (lambda u: u.signals.waiting(NOW), OPEN),
    "signals of an instance that wait": (lambda u: u.signals.waiting_of(ME), OPEN),
    "signals of an instance to judge": (lambda u: u.signals.unjudged_of(ME), OPEN),
    "earlier legs of a signal": (
        lambda u: u.signals.earlier_legs(u.signals.get(uid("signal", 7))),
        2,
    ),
    "decision of an intent": (lambda u: u.risk.decision_of(ACCOUNT, "k0"), 1),
    "halts in force": (lambda u: u.risk.halts_in_force(), 2),
    "fill of a trade": (lambda u: u.ledger.fill(ACCOUNT, "BTC/USDT", "40"), 1),
    "fills of an order": (lambda u: u.ledger.fills_of_order(uid("order", 5)), 1),
    "positions of an instance": (lambda u: u.ledger.positions_of_instance(ME), 10),
    "positions of an account": (lambda u: u.ledger.positions_of_account(ACCOUNT), 100),
    "a snapshot": (lambda u: u.ledger.snapshot_at(ME, 40), 1),
    "instances that run": (lambda u: u.instances.running(), 4),
    "jobs that are due": (lambda u: u.jobs.due(NOW), OPEN),
    "a job of one purpose": (lambda u: u.jobs.live_with("d3"), 1),
    "a job that is free": (lambda u: u.jobs.free(uid("job", 3), "me", NOW), 1),
    "events not sent": (lambda u: u.outbox.unsent(NOW), OPEN),
    "events marked sent": (lambda u: u.outbox.mark_sent([5, 6, 7], 1), 3),
    "backlog of events": (lambda u: u.outbox.backlog(), OPEN),
    "a slot taken": (lambda u: u.system.take_slot("t0", NOW, "me", NOW), 1),
    "a lease taken": (lambda u: u.system.take_lease("l", "me", NOW, 1), 1),
    "a token": (lambda u: u.system.token_by_digest("x"), 1),
    "a series": (lambda u: u.klines.find_series("binance", "S3/USDT", "1m"), 1),
    "roll-ups of minutes": (lambda u: u.klines.roll_ups(_minutes(u)), 3),
    "days of a year that are marked": (lambda u: u.rolls.days(7, 0, 365 * 1_440 * MINUTE), 4),
    "the first marked days": (lambda u: u.rolls.first(7, 13), 4),
    "series whose roll-ups wait": (lambda u: u.rolls.waiting(), 4 * OPEN),
    "days marked": (lambda u: u.rolls.mark(7, [0, 5, 7]), 3),
    "marks taken back": (lambda u: u.rolls.clear(7, [0, 1_440 * MINUTE]), 2),
    "klines of an hour": (lambda u: u.klines.read_exact(1, 6_000_000, 9_600_000), 60),
    "the ends of a series": (lambda u: u.klines.bounds(1), 2),
    "a series with its ends": (
        lambda u: u.klines.spanned("binance", "S3/USDT", ["1m", "1h"]),
        6,
    ),
    "series with their ends and a roll-up": (
        lambda u: u.klines.spanned("binance", "S3/USDT", ["1m", "1h"], rolled="1h"),
        9,
    ),
    "the last kline": (lambda u: u.klines.last(1, 6_000_000), 1),
    "coverage of an hour": (lambda u: u.coverage.spans(7, 10 * MINUTE, 70 * MINUTE), 62),
    "what lacks in an hour": (
        lambda u: u.coverage.ranges(7, 60 * MINUTE, 120 * MINUTE, CoverageState.EXCHANGE_SIDE),
        64,
    ),
    "outline of a series": (lambda u: u.outlines.of("binance", ["S7/USDT"], 0), 100),
}


@pytest.fixture(scope="module")
def years(databases: Databases) -> Iterator[Engine]:
    """A record with years behind it."""
    name = f"history_{uuid.uuid4().hex}"
    engine = open_engine(databases.create_database(name))
    try:
        Base.metadata.create_all(engine)
        write_history(engine)
        yield engine
    finally:
        engine.dispose()
        databases.drop_database(name)


@pytest.mark.mysql
def test_each_reads_its_own_rows_and_few_others(years: Engine) -> None:
    """In one test, for the years take longer to write than all of them to read."""
    passes = _PASSES[years.dialect.is_mariadb]  # type: ignore[attr-defined]
    faults = {}
    for name, (query, rows) in HOT.items():
        plans, read = _executed(years, query)
        if unindexed := [dict(plan) for plan in plans if plan["key"] is None]:
            faults[name] = f"no index is used: {unindexed}"
        elif read > passes * rows + _SLACK:
            faults[name] = f"{read} rows were read for {rows}"
    assert faults == {}


def _executed(engine: Engine, query: Callable[[Unit], Any]) -> tuple[list[Any], int]:
    """The plan of each statement of the query, and how many rows it really read; then undone."""
    spoken: list[tuple[str, Any]] = []

    def note(_c: Connection, _k: Any, statement: str, values: Any, *_: Any) -> None:
        spoken.append((statement, values))

    with Session(engine) as session:
        connection = session.connection()
        before = _rows_read(connection)
        event.listen(engine, "before_cursor_execute", note)
        try:
            query(Unit(session, ManualClock()))
            session.flush()
        finally:
            event.remove(engine, "before_cursor_execute", note)
        read = _rows_read(connection) - before
        plans: list[Any] = []
        for statement, values in spoken:
            if not statement.startswith(_EXPLAINED):
                continue
            found = connection.exec_driver_sql(f"{_EXPLAIN} {statement}", values)
            plans += [row for row in found.mappings() if row["type"] is not None]
    return plans, read


def _rows_read(connection: Connection) -> int:
    status = connection.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
    # Looking the status up reads temporary tables, which have a counter of their own.
    return sum(int(row[1]) for row in status if not row[0].startswith("Handler_read_rnd_deleted"))
