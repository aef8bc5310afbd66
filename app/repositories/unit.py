"""Units of work: one transaction, its repositories, and what happens after it commits."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Protocol, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from app.core.errors import Unavailable
from app.core.ports import Clock, Queue, UnitOfWork
from app.models import OutboxRow
from app.repositories.accounts import AccountRepository
from app.repositories.activity import ActivityRepository
from app.repositories.audit import AuditRepository
from app.repositories.backtests import BacktestRepository
from app.repositories.base import READS, append
from app.repositories.coverage import CoverageRepository
from app.repositories.database import (
    WRITES,
    driver_code,
    is_disk_full,
    is_mysql,
    reading_engine,
)
from app.repositories.days import DayRepository
from app.repositories.instances import InstanceRepository
from app.repositories.instruments import InstrumentRepository
from app.repositories.jobs import JobRepository
from app.repositories.klines import KlineRepository
from app.repositories.ledger import LedgerRepository
from app.repositories.orders import OrderRepository
from app.repositories.outbox import OutboxRepository
from app.repositories.outlines import OutlineRepository
from app.repositories.plans import PlanRepository
from app.repositories.points import PointRepository
from app.repositories.retention import RetentionRepository
from app.repositories.risk import RiskRepository
from app.repositories.roll_marks import RollMarkRepository
from app.repositories.sessions import UnitSession
from app.repositories.signals import SignalRepository
from app.repositories.sources import DataSourceRepository
from app.repositories.strategies import StrategyRepository
from app.repositories.system import SystemRepository
from app.repositories.triggers import TriggerRepository
from app.repositories.waits import WaitRepository

R = TypeVar("R")
# 1205 lock wait timeout, 1213 deadlock: the whole transaction was or must be rolled back and
# may be run again. 1020 is MariaDB's "record has changed since last read".
_RETRYABLE = frozenset({1020, 1205, 1213})
_ATTEMPTS = 4


class EventPublisher(Protocol):
    """Sends committed outbox rows."""

    def publish(self, rows: list[tuple[int, str, dict[str, Any]]]) -> None:
        """Send (id, topic, body) of rows that are committed. Never raises."""
        ...


class Unit:
    """One transaction. Repositories never commit; the unit's block does."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self.session = session
        self.now_ms = clock.now_ms()
        self._events: list[OutboxRow] = []
        self._hints: list[tuple[str, tuple[str, ...]]] = []

    def emit(self, topic: str, body: dict[str, Any]) -> None:
        """Report a business event with this transaction: sent if and only if it commits."""
        row = OutboxRow(topic=topic, body=body, created_at=self.now_ms, sent_at=0)
        self._events.append(row)

    def enqueue(self, task: str, *ids: str) -> None:
        """Ask a worker for ``task(*ids)`` once this transaction has committed."""
        if (task, ids) not in self._hints:
            self._hints.append((task, ids))

    def flush(self) -> None:
        """Write pending changes now, so that the database's constraints speak."""
        self.session.flush()

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Write pending changes at the next ``flush`` and not before each query.

        For a row that is changed in steps. Queries in it must not depend on those changes, and
        must not read a changed row anew.
        """
        with self.session.no_autoflush:
            yield

    @property
    def hints(self) -> list[tuple[str, tuple[str, ...]]]:
        """What ``enqueue`` collected."""
        return self._hints

    def close(self) -> list[tuple[int, str, dict[str, Any]]]:
        """Write all that is pending, and the events last; these as (id, topic, body)."""
        self.session.flush()
        events, self._events = self._events, []
        return [(append(self.session, [row]), row.topic, row.body) for row in events]

    @cached_property
    def accounts(self) -> AccountRepository:
        """Accounts and balances."""
        return AccountRepository(self.session)

    @cached_property
    def activity(self) -> ActivityRepository:
        """What was traded on the days of the series."""
        return ActivityRepository(self.session)

    @cached_property
    def audit(self) -> AuditRepository:
        """Whole tables, for checking what must always hold."""
        return AuditRepository(self.session)

    @cached_property
    def backtests(self) -> BacktestRepository:
        """Backtests."""
        return BacktestRepository(self.session)

    @cached_property
    def coverage(self) -> CoverageRepository:
        """What is known of each expected bar."""
        return CoverageRepository(self.session)

    @cached_property
    def days(self) -> DayRepository:
        """How complete and how right the days of the series are."""
        return DayRepository(self.session)

    @cached_property
    def instances(self) -> InstanceRepository:
        """Strategy instances and quotas."""
        return InstanceRepository(self.session)

    @cached_property
    def instruments(self) -> InstrumentRepository:
        """The instrument catalogue."""
        return InstrumentRepository(self.session)

    @cached_property
    def jobs(self) -> JobRepository:
        """Jobs."""
        return JobRepository(self.session)

    @cached_property
    def klines(self) -> KlineRepository:
        """Series, klines, revisions and quarantine."""
        return KlineRepository(self.session)

    @cached_property
    def ledger(self) -> LedgerRepository:
        """Fills, postings, positions and equity."""
        return LedgerRepository(self.session)

    @cached_property
    def orders(self) -> OrderRepository:
        """Orders and their events."""
        return OrderRepository(self.session)

    @cached_property
    def outbox(self) -> OutboxRepository:
        """Events not yet sent."""
        return OutboxRepository(self.session)

    @cached_property
    def outlines(self) -> OutlineRepository:
        """What is known of many series at once."""
        return OutlineRepository(self.session)

    @cached_property
    def plans(self) -> PlanRepository:
        """Collection plans."""
        return PlanRepository(self.session)

    @cached_property
    def points(self) -> PointRepository:
        """Histories that are not bars."""
        return PointRepository(self.session)

    @cached_property
    def retention(self) -> RetentionRepository:
        """How long bars are kept."""
        return RetentionRepository(self.session)

    @cached_property
    def risk(self) -> RiskRepository:
        """Risk rules, decisions and halts."""
        return RiskRepository(self.session)

    @cached_property
    def rolls(self) -> RollMarkRepository:
        """Days that roll-ups lack."""
        return RollMarkRepository(self.session)

    @cached_property
    def signals(self) -> SignalRepository:
        """Signals."""
        return SignalRepository(self.session)

    @cached_property
    def sources(self) -> DataSourceRepository:
        """Data sources."""
        return DataSourceRepository(self.session)

    @cached_property
    def strategies(self) -> StrategyRepository:
        """Strategies and versions."""
        return StrategyRepository(self.session)

    @cached_property
    def system(self) -> SystemRepository:
        """Schedule runs, leases, tokens, bans, standing alarms, and the record's world."""
        return SystemRepository(self.session)

    @cached_property
    def triggers(self) -> TriggerRepository:
        """Order triggers."""
        return TriggerRepository(self.session)

    @cached_property
    def waits(self) -> WaitRepository:
        """What rows wait for."""
        return WaitRepository(self.session)


class Units(UnitOfWork[Unit]):
    """Factory of units of work over one database.

    Args:
        queue: takes the hints of committed units.
        publisher: takes the events of committed units.
    """

    def __init__(
        self, engine: Engine, clock: Clock, queue: Queue, publisher: EventPublisher
    ) -> None:
        self._reading = reading_engine(engine)
        self._looking = engine.execution_options(**{WRITES: False})
        self._writing = engine.execution_options(**{WRITES: True})
        self._clock = clock
        self._queue = queue
        self._publisher = publisher

    @contextmanager
    def read(self) -> Iterator[Unit]:
        """A read-only unit. Each statement sees what is committed then."""
        with Session(self._reading, expire_on_commit=False, info={READS: True}) as session:
            yield Unit(session, self._clock)

    @contextmanager
    def snapshot(self) -> Iterator[Unit]:
        """A read-only unit that sees one state of the whole database, whatever is written."""
        with Session(self._looking, expire_on_commit=False) as session:
            if is_mysql(self._looking):
                # READ COMMITTED shows each statement another state; SQLite's WAL never does.
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield Unit(session, self._clock)

    @contextmanager
    def write(self) -> Iterator[Unit]:
        """A writing unit: commits at the end of the block, rolls back if the block raises.

        Raises:
            Unavailable: the database's disk is full; nothing was written.
            DBAPIError: the driver's own, for all else that the database refused.
        """
        with (
            _telling_of_full_disks(),
            UnitSession(self._writing, expire_on_commit=False) as session,
        ):
            unit = Unit(session, self._clock)
            with session.begin():
                yield unit
                events = unit.close()
        # Committed: from here on nothing may raise into the caller.
        if events:
            self._publisher.publish(events)
        for task, ids in unit.hints:
            self._queue.publish(task, *ids)

    def run(self, work: Callable[[Unit], R]) -> R:
        """Run ``work(unit)`` in a writing unit; again, whole, if it lost a lock race.

        After a lock wait timeout MySQL rolls back the statement alone, so going on in the
        same transaction would commit half of it. ``work`` must have no effect outside.

        Where two transactions make the same row ("missing ones made"), the loser of the unique
        key runs once more and finds the winner's row.

        Raises:
            Unavailable: it lost ``4`` races in a row, or the disk is full.
            IntegrityError: a constraint refused it twice.
        """
        refused = False
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self.write() as unit:
                    return work(unit)
            except IntegrityError:
                if refused or attempt == _ATTEMPTS:
                    raise
                refused = True
            except OperationalError as error:
                if not _lost_race(error):
                    raise
                if attempt == _ATTEMPTS:
                    raise Unavailable(
                        "the database stayed locked; try again, and look for a long transaction"
                    ) from error
                time.sleep(random.uniform(0.005, 0.05) * attempt)  # noqa: S311
        raise AssertionError("unreachable")


@contextmanager
def _telling_of_full_disks() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if not is_disk_full(error.orig):
            raise
        raise Unavailable(
            "the database's disk is full, and nothing was written; make room on it",
            code="disk-full",
        ) from error


def _lost_race(error: DBAPIError) -> bool:
    if driver_code(error.orig) in _RETRYABLE:
        return True
    return "database is locked" in str(error.orig)
