"""Attempts at a job: who may take it, and the end of one that no attempt gets on with.

An attempt may end without a word of its own: an exception that nobody foresaw, or a worker that
was killed and whose lease ran out. Such a job is tried again, for the reason may pass. One that
ends so again and again where it stands would be tried for ever: after some attempts it fails.
What has moved on meanwhile, as a long job whose workers are restarted, begins to count anew.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog

from app.core.errors import TidemarkError
from app.models import JobRow
from app.repositories.unit import Unit, Units
from app.services.alarms import tell_alarm
from app.services.jobs import finish

_log = structlog.get_logger(__name__)
#: Attempts in a row that may break off at one place.
MOST: Final = 5
#: Codes of a job's error: an attempt broke off and another follows; none follows.
BROKEN: Final = "attempt-broke-off"
EXHAUSTED: Final = "attempts-exhausted"
#: Before the first try again.
FIRST_PAUSE_MS: Final = 2_000
_LONGEST_PAUSE_MS: Final = 15 * 60_000
_LONGEST_HOLD_MS: Final = 600_000
# Of a job's cursor: how often attempts broke off, and where the cursor stood then.
_BROKEN_OFF: Final = "broken_off"
# What of a cursor is no progress.
_NO_PROGRESS: Final = frozenset({_BROKEN_OFF, "failures", "files", "unreached_since"})
_GONE: Final = "as its worker was killed or lost; look for the reason in that process's log"


def pause_after(failures: int) -> int:
    """How long a job waits after so many failures in a row, ms."""
    return min(FIRST_PAUSE_MS << min(failures, 16), _LONGEST_PAUSE_MS)


def take(unit: Unit, job_id: str, owner: str, lease_ms: int) -> JobRow | None:
    """Take a live job whose lease is free and whose time has come.

    One that is to be cancelled ends here, before any work. One whose holder has gone counts that.

    Returns:
        The job: held by the owner where it is ``running``; else it was left in that state and
        there is nothing to do. None if another works on it, it rests or waits, or has ended.
    """
    job = unit.jobs.free(job_id, owner, unit.now_ms)
    if job is None:
        return None
    if job.cancel_requested:
        finish(unit, job, "cancelled")
        return job
    if job.paused or job.not_before > unit.now_ms:
        return None
    if job.state == "running":
        count = _counted(job)
        if count > 1:
            return _broken(unit, job, count, _GONE)
        # Once is no reason to wait: its machine may have been restarted.
        job.error = _error(count, _GONE)
    job.state = "running"
    job.attempt += 1
    job.started_at = job.started_at or unit.now_ms
    job.lease_owner, job.lease_until = owner, unit.now_ms + lease_ms
    return job


@contextmanager
def held_on(units: Units, job_id: str, owner: str, lease_ms: int) -> Iterator[None]:
    """Keep the lease of a job while a step of it takes long, as a slow download does.

    Its holder lives, and to be taken over would count as if it did not. Ten minutes are the most
    that any task has; whoever takes longer hangs.
    """
    ended = threading.Event()

    def renew(unit: Unit) -> None:
        job = unit.jobs.lock(job_id)
        if job.state == "running" and job.lease_owner == owner:
            job.lease_until = unit.now_ms + lease_ms

    def beat() -> None:
        for _ in range(_LONGEST_HOLD_MS // (lease_ms // 3)):
            if ended.wait(lease_ms / 3000):
                return
            try:
                units.run(renew)
            except Exception as error:  # noqa: BLE001 - drivers raise their own errors
                # The next beat tries again, and who cannot store anything loses the job in time.
                _log.warning("lease_not_renewed", job_id=job_id, error=type(error).__name__)

    thread = threading.Thread(target=beat, name=f"lease-{job_id[:8]}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def broke_off(unit: Unit, job: JobRow, error: Exception) -> str:
    """Note that an attempt at a locked job broke off, and put the job off or let it fail.

    Args:
        error: with what. Its words stay in the log: nobody has chosen them for others to read.

    Returns:
        The state of the job then.
    """
    how = f"with {type(error).__name__}; its traceback is in the log"
    return _broken(unit, job, _counted(job), how).state


def carried(cursor: dict[str, Any]) -> dict[str, Any]:
    """What a cursor that is made anew has to take over, so that its job still ends."""
    return {name: cursor[name] for name in (_BROKEN_OFF,) if name in cursor}


def _counted(job: JobRow) -> int:
    """Count that an attempt broke off; how many in a row have where the job stands."""
    found = job.cursor.get(_BROKEN_OFF, {})
    place = _place(job)
    count = int(found["count"]) + 1 if found.get("place") == place else 1
    job.cursor = {**job.cursor, _BROKEN_OFF: {"count": count, "place": place}}
    return count


def _broken(unit: Unit, job: JobRow, count: int, how: str) -> JobRow:
    if count >= MOST:
        message = f"{count} attempts in a row broke off, the last one {how}"
        finish(unit, job, "failed", error=TidemarkError(message, code=EXHAUSTED))
        text = f"{job.kind} job {job.id} failed: {message}"
        tell_alarm(unit, "warning", "job-failed", text, job_id=job.id)
        return job
    job.state, job.lease_owner, job.lease_until = "queued", None, 0
    job.not_before = unit.now_ms + pause_after(count)
    job.error = _error(count, how)
    return job


def _error(count: int, how: str) -> dict[str, Any]:
    message = f"attempt {count} of {MOST} at this place broke off {how}"
    return {"code": BROKEN, "message": message}


def _place(job: JobRow) -> str:
    """Where a job stands, by its cursor."""
    moves = {name: at for name, at in job.cursor.items() if name not in _NO_PROGRESS}
    return hashlib.sha256(json.dumps(moves, sort_keys=True).encode()).hexdigest()[:16]
