"""Waits that rows hold as wall times, and what becomes of them when the clock is set back."""

from __future__ import annotations

from typing import Any, Final, cast

from sqlalchemy import ColumnElement, CursorResult, delete, update
from sqlalchemy.orm import InstrumentedAttribute

from app.core.orders.state import UNSETTLED
from app.core.orders.types import OrderStatus
from app.models import (
    AccountRow,
    DataSourceRow,
    JobRow,
    LeaseRow,
    OrderRow,
    OutboxRow,
    ScheduleRunRow,
    SignalRow,
)
from app.repositories.base import Repository

#: The longest lease of each kind, ms: a job's, a data source's run's and a process's.
JOB_LEASE_MS: Final = 90_000
SOURCE_LEASE_MS: Final = 120_000
LEASE_MS: Final = 20_000

_SENDING: Final = OrderStatus.SENDING
_Time = InstrumentedAttribute[int]


class WaitRepository(Repository):
    """Wall times of rows that somebody waits for."""

    def end_future(self, now_ms: int, *, reply_ms: int) -> int:
        """Let no row wait for a time that only a clock which was ahead has meant.

        Waits for a moment end at ``now_ms``, for they are pauses and ending one early costs a
        question; leases and a sender's deadline end after their own length. Bans stay: asking
        during one is what makes it longer.

        Args:
            reply_ms: how long a sender may wait for the venue's answer.

        Returns:
            How many runs of periodic tasks lay in the future.
        """
        runs = self._run(delete(ScheduleRunRow).where(ScheduleRunRow.due_slot > now_ms))
        self._cut(OrderRow.not_before, now_ms, OrderRow.status.in_(UNSETTLED - {_SENDING}))
        self._cut(OrderRow.not_before, now_ms + reply_ms, OrderRow.status == _SENDING)
        for column in (AccountRow.sync_not_before, AccountRow.reconciled_at):
            self._cut(column, now_ms)
        # Begun anew: a difference counts by the time since it was first seen.
        self._run(update(AccountRow).where(AccountRow.suspects.is_not(None)).values(suspects=None))
        self._cut(JobRow.not_before, now_ms, JobRow.finished_at.is_(None))
        self._cut(JobRow.lease_until, now_ms + JOB_LEASE_MS)
        self._cut(DataSourceRow.lease_until, now_ms + SOURCE_LEASE_MS)
        later = now_ms + DataSourceRow.every_ms
        self._run(update(DataSourceRow).where(DataSourceRow.due_at > later).values(due_at=later))
        self._cut(LeaseRow.until, now_ms + LEASE_MS)
        self._cut(OutboxRow.created_at, now_ms, OutboxRow.sent_at == 0)
        self._cut(SignalRow.created_at, now_ms, SignalRow.status == "new")
        return runs

    def _cut(self, column: _Time, most: int, *where: ColumnElement[bool]) -> None:
        self._run(update(column.class_).where(column > most, *where).values({column: most}))

    def _run(self, statement: Any) -> int:
        result = self._session.execute(statement.execution_options(synchronize_session=False))
        return cast("CursorResult[Any]", result).rowcount
