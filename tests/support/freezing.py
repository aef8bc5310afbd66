"""Stopping a server in its tracks, so that it holds its sockets and answers nobody."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from app.cli.services.reaper import PROC, session_members, signal_session
from tests.support.waiting import until


@contextmanager
def frozen(session: int) -> Iterator[None]:
    """Meanwhile every process of the session stands still."""
    signal_session(session, signal.SIGSTOP)
    try:
        # The signal reaches a process's other threads when they are next scheduled: on a busy
        # machine one of them may answer after `kill` has returned.
        until(lambda: _stands_still(session), what="the session stands still")
        yield
    finally:
        signal_session(session, signal.SIGCONT)


def _stands_still(session: int) -> bool:
    states = set()
    for member in session_members(session):
        for stat in PROC.glob(f"{member}/task/*/stat"):
            states.add(stat.read_text().rpartition(")")[2].split()[0])
    return states <= {"T"}
