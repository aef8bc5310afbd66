"""Another process's transaction, which wants the rows that ours want."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import event

from app.models import OutboxRow
from app.repositories.base import append
from app.repositories.database import driver_code
from app.repositories.unit import Unit
from app.wiring import Container

DEADLOCK = 1213
LOCK_WAIT = 1205
# Of two transactions in a deadlock InnoDB gives up the one that has changed fewer rows.
_HEAVY = 200


class _LeavesError(Exception):
    """The rival gives up what it did."""


@contextmanager
def rival(parts: Container) -> Iterator[Unit]:
    """A heavy transaction in the test's own thread; it keeps nothing of what it did."""
    with suppress(_LeavesError), parts.units.write() as unit:
        events = [
            OutboxRow(topic="system.rival", body={"number": n}, created_at=unit.now_ms, sent_at=0)
            for n in range(_HEAVY)
        ]
        append(unit.session, events)
        yield unit
        raise _LeavesError


class Races:
    """What our transactions lose meanwhile, and which rows they ask for.

    Attributes:
        lost: MariaDB's code of each lost race, in order.
    """

    def __init__(self, parts: Container) -> None:
        self._engine = parts.engine
        self._pool = ThreadPoolExecutor(1)
        self._wanted = ""
        self._asked = threading.Event()
        self.lost: list[int] = []

    def __enter__(self) -> Races:
        event.listen(self._engine, "handle_error", self._failed)
        event.listen(self._engine, "before_cursor_execute", self._asking)
        return self

    def __exit__(self, *_exc: object) -> None:
        event.remove(self._engine, "handle_error", self._failed)
        event.remove(self._engine, "before_cursor_execute", self._asking)
        self._pool.shutdown()

    def begin(self, work: Any, *arguments: Any, until_it_locks: str) -> Future[Any]:
        """Run our work beside the rival; returns when it asks for a lock on that row.

        Args:
            until_it_locks: the row by a value that its query names.
        """
        self._wanted = until_it_locks
        future = self._pool.submit(work, *arguments)
        assert self._asked.wait(30), f"nobody asked for {until_it_locks}"
        return future

    def _failed(self, context: Any) -> None:
        code = driver_code(context.original_exception)
        if code is not None:
            self.lost.append(code)

    def _asking(
        self, _connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any
    ) -> None:
        ours = threading.current_thread() is not threading.main_thread()
        if ours and "FOR UPDATE" in statement and self._wanted in map(str, dict(values).values()):
            self._asked.set()
