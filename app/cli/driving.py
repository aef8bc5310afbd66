"""Jobs as commands see them: wait for a runtime to do them, or do them here; progress on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

from app.services.jobs import LIVE, UNWANTED

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from app.cli.session import Session
    from app.models import JobRow

_POLL_S: Final = 0.1
_LOOK_S: Final = 1.0
_UNTAKEN_S: Final = 10.0
# Kinds of jobs that ask an exchange; a backtest and an import do without.
_ASKING: Final = ("collection", "verification")


def finish_jobs(session: Session, job_ids: Sequence[str]) -> list[JobRow]:
    """Wait until the jobs have ended, working on them here where nobody else does.

    Ctrl-C asks for them to be cancelled before it ends the command, and says what they leave.

    Raises:
        Unavailable: the jobs need the simulated exchange of a runtime that has gone.
    """
    worker = _Worker(session, job_ids)
    if session.works_alone:
        _say_who_is_waited_for(session, job_ids)
    try:
        with _progress() as progress:
            return _follow(session, job_ids, worker, progress)
    except KeyboardInterrupt:
        worker.stop()
        for job_id in job_ids:
            _cancel(session, job_id)
        worker.join()
        for job_id in job_ids:
            _say_what_is_kept(session.container.jobs.get(job_id))
        raise
    finally:
        worker.stop()


def require_success(jobs: Sequence[JobRow], bad_input: Collection[str] = ()) -> None:
    """Nothing, where every job succeeded.

    Args:
        bad_input: codes of failures that are the user's to mend, in what the jobs were given.

    Raises:
        InvalidInput: the first failure is of these.
        TidemarkError: with the first failure's words.
    """
    from app.core.errors import Conflict, InvalidInput, TidemarkError

    for job in jobs:
        if job.state == "failed":
            error = job.error or {}
            code = str(error.get("code", "internal-error"))
            failure = InvalidInput if code in bad_input else TidemarkError
            message = error.get("message", "no reason was kept")
            raise failure(f"the {job.kind} job failed: {message}", code=code)
        if job.state == "cancelled":
            error = job.error or {}
            why = f": {error['message']}" if error.get("code") == UNWANTED else ""
            raise Conflict(f"the {job.kind} job was cancelled{why}", code="cancelled")


def _follow(
    session: Session, job_ids: Sequence[str], worker: _Worker, progress: Progress
) -> list[JobRow]:
    bars: dict[str, TaskID] = {}
    troubles = _Troubles()
    began = time.monotonic()
    look_at = began
    while True:
        # Looked at before the rows: a runtime ends its jobs before it goes.
        alone = time.monotonic() >= look_at and session.works_alone
        rows = [session.container.jobs.get(job_id) for job_id in job_ids]
        for row in rows:
            _show(progress, bars, row)
        troubles.tell(rows)
        if all(row.state not in LIVE for row in rows):
            return rows
        worker.check()
        now = time.monotonic()
        if now >= look_at:
            look_at = now + _LOOK_S
        if alone:
            _require_exchange(session)
            if any(row.kind in _ASKING for row in rows):
                session.container.world.require()
            worker.start()  # nobody is there, or the runtime that was there has gone
        if now - began > _UNTAKEN_S and all(row.attempt == 0 for row in rows):
            began = now
            sys.stderr.write("tidemark: no worker has taken the job yet; is one running?\n")
        time.sleep(_POLL_S)


def _require_exchange(session: Session) -> None:
    """Nothing, unless the simulated exchange was that of a runtime that has gone.

    Its URL may by now be anybody's, and without it the work would go to the real exchange.
    """
    from app.config import load_settings
    from app.core.errors import Unavailable

    in_use = session.container.settings.simulator_url
    if in_use and in_use != load_settings().simulator_url:
        raise Unavailable(
            "the runtime has gone, and its simulated exchange with it; the job stays in the record "
            "and goes on with the next `tidemark up`"
        )


def _say_who_is_waited_for(session: Session, job_ids: Sequence[str]) -> None:
    """Where a job's holder was killed, its lease runs on for a while, and nothing is to be seen."""
    for job in [session.container.jobs.get(job_id) for job_id in job_ids]:
        if job.state == "running" and job.lease_until > session.container.clock.now_ms():
            at = time.strftime("%H:%M:%S", time.gmtime(job.lease_until / 1000))
            sys.stderr.write(
                f"tidemark: job {job.id} is another process's; if that has gone, it goes on here "
                f"at {at} UTC\n"
            )


def _show(progress: Progress, bars: dict[str, TaskID], row: JobRow) -> None:
    if row.id not in bars:
        bars[row.id] = progress.add_task(_title(row), total=None, text="")
    state = row.progress
    if row.kind == "backtest":
        done, total = state.get("bars_done", 0), state.get("bars_total") or None
        text = "bars"
    elif row.kind == "verification":
        done, total = state.get("slices_done", 0), state.get("slices_total")
        text = f"days · {state.get('differed', 0):,} bars differed"
    else:
        done, total = state.get("slices_done", 0), state.get("slices_total")
        what = "files" if row.kind == "import" else "pages"
        speed = state.get("rows_per_s") or 0
        kind = "trades" if state.get("trades") else "rows"
        text = f"{what} · {state.get(kind, 0):,} {kind} · {speed:,} {kind}/s"
    if row.state not in LIVE:
        text = row.state if row.state != "succeeded" else text
        total = total or 1
        done = total if row.state == "succeeded" else done
    progress.update(bars[row.id], completed=done, total=total, text=text)


class _Troubles:
    """Says on stderr why live jobs do not get on; again only where the reason is another."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def tell(self, rows: Sequence[JobRow]) -> None:
        """Say what is new of these rows, and forget what has passed."""
        now = {_trouble(row): row for row in rows if row.state in LIVE}
        for message, row in now.items():
            if message and message not in self._said:
                sys.stderr.write(f"tidemark: {message}{_again(row)}\n")
        self._said = set(now)


def _trouble(row: JobRow) -> str:
    """Why a live job does not get on; "" where it does."""
    from app.core.exchanges.errors import unreachable_words

    if row.paused:
        return f"job {row.id} rests; resume it with: tidemark job resume {row.id}"
    if not row.error:
        return ""
    exchange, code = str(row.params.get("exchange", "")), row.error.get("code")
    return unreachable_words(exchange, str(code), str(row.error["message"]))


def _again(row: JobRow) -> str:
    if row.paused or row.state != "queued" or not row.not_before:
        return ""
    return f"; tried again at {time.strftime('%H:%M:%S', time.gmtime(row.not_before / 1000))} UTC"


def _title(row: JobRow) -> str:
    params = row.params
    if row.kind in ("collection", "verification"):
        return f"{params['symbol']} {params['interval']}"
    return row.kind


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[text]}", justify="left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def _cancel(session: Session, job_id: str) -> None:
    from app.core.errors import Conflict

    try:
        session.container.jobs.cancel(job_id)
    except Conflict:
        return  # it has ended meanwhile


def _say_what_is_kept(job: JobRow) -> None:
    """What became of a job, what of an import is in the record, and how to go on."""
    if job.state in ("succeeded", "failed"):
        sys.stderr.write(f"tidemark: the {job.kind} job had {job.state} by then: {_ended(job)}\n")
        return
    if job.state in LIVE:
        sys.stderr.write(f"tidemark: job {job.id} ends with its present slice\n")
    if job.kind != "import":
        return
    done, total = job.progress.get("slices_done", 0), job.progress.get("slices_total", 0)
    files = f" ({done:,} of {total:,} files whole)" if total > 1 else ""
    sys.stderr.write(
        f"tidemark: {job.progress.get('rows', 0):,} rows{files} are kept; to go on, give the same "
        "command again: what is stored already stays as it is\n"
    )


def _ended(job: JobRow) -> str:
    if job.state == "failed":
        return str((job.error or {}).get("message", "no reason was kept"))
    return f"what it did is kept; see: tidemark job show {job.id}"


class _Worker:
    """Works on jobs in this process, one after the other, on a thread of its own."""

    def __init__(self, session: Session, job_ids: Sequence[str]) -> None:
        self._session = session
        self._job_ids = list(job_ids)
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin, unless it was begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Raise what the work raised."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Take no further slice."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end of the slice under way."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            for job_id in self._job_ids:
                self._work(job_id)
        except Exception as error:  # noqa: BLE001 - raised again by check(), on the main thread
            self._error = error

    def _work(self, job_id: str) -> None:
        container = self._session.container
        slices: dict[str, Callable[[str], Any]] = {
            "collection": container.collection.run_job,
            "verification": container.collection.run_verification,
            "import": container.importing.run,
            "backtest": container.backtests.run,
        }
        while not self._stop.is_set():
            job = container.jobs.get(job_id)
            if job.state not in LIVE:
                return
            if job.paused:
                self._stop.wait(_LOOK_S)  # for whoever resumes or cancels it
                continue
            wait_ms = max(job.not_before, job.lease_until) - container.clock.now_ms()
            if wait_ms > 0:
                self._stop.wait(min(wait_ms / 1000, _LOOK_S))
                continue
            if not self._session.works_alone:
                self._stop.wait(_LOOK_S)  # a runtime has started meanwhile: it takes the job
                continue
            slices[job.kind](job_id)
