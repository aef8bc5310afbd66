"""Killing a session, and one that does not end."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from app.cli.services import reaper


@pytest.fixture
def session() -> Iterator[int]:
    """A session of one process."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        yield process.pid
        process.kill()


def test_a_session_that_is_killed_leaves_nobody(session: int) -> None:
    assert reaper.session_members(session) == [session]
    assert reaper.kill_session(session) == []
    assert reaper.session_members(session) == []


def test_who_does_not_end_is_named_in_time_and_without_spinning(
    session: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that waits for a disk takes no signal: as if none were sent."""
    looks = []
    look = reaper.session_members

    def counted(session: int) -> list[int]:
        looks.append(session)
        return look(session)

    monkeypatch.setattr(reaper, "signal_session", lambda _session, _number: None)
    monkeypatch.setattr(reaper, "session_members", counted)
    began = time.monotonic()
    assert reaper.kill_session(session, seconds=0.3) == [session]
    assert time.monotonic() - began < 10
    assert 2 <= len(looks) <= 0.3 / reaper.PAUSE_S + 2
