"""Import jobs: files into the record in slices that end before a minute is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from app.core.errors import (
    InvalidInput,
    NotFetched,
    NotGiven,
    NotYetWhole,
    TidemarkError,
    Unavailable,
    UnknownName,
)
from app.core.market.files.reading import rows_of
from app.core.market.files.tables import NoRowsError
from app.core.market.files.tape import Carried
from app.core.ports import Clock, FileFetcher, Ids, MarketClock
from app.models import JobRow
from app.repositories.unit import Unit, Units
from app.services.activity import ActivityService
from app.services.attempts import broke_off, carried, held_on, pause_after, take
from app.services.importing.account import (
    Slice,
    absent_error,
    left_out_error,
    new_cursor,
    progress_of,
    shift_error,
    stamp_of,
    unplaced_error,
    with_characters,
)
from app.services.importing.chunks import (
    Chunk,
    ahead,
    checked_chunks,
    ends_before,
    last_of_tape,
    require_beginning,
)
from app.services.importing.fetching import FilesAtHand, fetched, not_fetched, require_sound
from app.services.importing.foresight import Foresight
from app.services.importing.funding import payments_of
from app.services.importing.order import ImportFile, ImportOrder, ImportPlan, plan_of
from app.services.importing.tapes import Cursor, carried_to, tape_that_ends
from app.services.importing.turns import LEASE_MS, LostError, Turn, held
from app.services.job_accounts import import_account
from app.services.jobs import finish, new_job

_log = structlog.get_logger(__name__)
KIND: Final = "import"
TASK: Final = "collection.import_files"
# A task ends before 60 s; a chunk takes half a second to a few seconds.
_SLICE_S: Final = 40.0


class ImportJobs:
    """Creates and runs the jobs of importing.

    Args:
        units: of the engine that may load in bulk.
        market_clock: where market time is another than wall time; None asks no venue, so that
            files come in without a network.
        fetcher: gets files by URL.
        folder: where those lie while they are read, and files that are sorted first.
    """

    def __init__(
        self,
        units: Units,
        market_clock: MarketClock | None,
        fetcher: FileFetcher,
        ids: Ids,
        clock: Clock,
        folder: Path,
    ) -> None:
        self._units = units
        self._market_clock = market_clock
        self._fetcher = fetcher
        self._files = FilesAtHand(units, fetcher, folder / "fetched")
        # What was looked at before its turn, and waits for it.
        self._ahead = FilesAtHand(units, fetcher, folder / "ahead")
        self._folder = folder
        self._ids = ids
        self._clock = clock
        self._activity = ActivityService(units)

    def start(self, order: ImportOrder) -> JobRow:
        """Make the job of an import, having looked at its first file.

        Raises:
            InvalidInput: the order means no file, or the first one cannot be read.
            UnknownName: nobody knows the exchange, and the order does not say that it is new.
        """
        plan = self._plan(order)
        if not order.new_exchange:
            self._require_exchange(order.exchange)
        self._require_beginning(plan, order)
        job_id = self._ids.new()
        return self._units.run(lambda unit: new_job(unit, job_id, KIND, order.params()))

    def run(self, job_id: str) -> str:
        """Work on a job for one slice of time; the state in which it was left.

        Killed at any point, the next call goes on behind the last chunk that was stored.
        """
        token = self._ids.new()
        job = self._units.run(lambda unit: take(unit, job_id, token, LEASE_MS))
        state = "not_claimed" if job is None else job.state
        if job is not None and state == "running":
            state = self._attempt(job, token)
        if state != "queued":
            self.tidy()
        return state

    def tidy(self) -> None:
        """Delete what was fetched for jobs that have ended."""
        self._files.tidy()
        self._ahead.tidy()

    def _attempt(self, job: JobRow, token: str) -> str:
        job_id = job.id
        try:
            with held_on(self._units, job_id, token, LEASE_MS):
                return self._work(job_id, token, ImportOrder.of(job.params))
        except LostError:
            return "lost"
        except InvalidInput as error:
            return self._end(job_id, token, "failed", error)
        except NotYetWhole as error:
            return self._leave(job_id, token, error)
        except Unavailable as error:
            return self._finally(partial(self._put_off, job_id=job_id, token=token, error=error))
        except Exception as error:  # noqa: BLE001
            # The row says it at once, and counts: left to the lease it would be tried for ever.
            _log.exception("job_attempt_broke_off", job_id=job_id, kind=KIND)
            return self._finally(partial(self._break_off, job_id=job_id, token=token, error=error))

    def _require_exchange(self, exchange: str) -> None:
        try:
            with self._units.read() as unit:
                unit.instruments.require_exchange(exchange)
        except UnknownName as error:
            more = "; for files of an exchange that ccxt does not know, say --new-exchange"
            raise UnknownName(error.message + more) from None

    def _require_beginning(self, plan: ImportPlan, order: ImportOrder) -> None:
        first = plan.files[0]
        if order.is_remote:
            self._fetcher.require_allowed(first.place)
            return
        try:
            require_sound(Path(first.place))
            self._look_at(first, order)
        except InvalidInput:
            if len(plan.files) == 1:
                raise  # among others it is left out, and told of

    def _look_at(self, file: ImportFile, order: ImportOrder) -> None:
        """Nothing, where the beginning of a local file can be read."""
        asked = (Path(file.place), file, order, self._market_now(file))
        if file.is_funding:
            payments_of(*asked)
        else:
            require_beginning(*asked)

    def _plan(self, order: ImportOrder) -> ImportPlan:
        with self._units.read() as unit:
            return plan_of(
                order,
                lambda native: unit.instruments.symbols_of_native(order.exchange, native),
                unit.now_ms,
            )

    def _market_now(self, file: ImportFile) -> int:
        if self._market_clock is None:
            return self._clock.now_ms()
        try:
            return self._market_clock.now_ms(file.exchange)
        except TidemarkError:
            # A venue that is not set up, or cannot be reached now: files need none.
            return self._clock.now_ms()

    def _work(self, job_id: str, token: str, order: ImportOrder) -> str:
        slice_ = Slice(self._clock.monotonic)
        turn = Turn(self._units, job_id, token, order, slice_)
        foresight = self._foresight(turn, job_id, order, slice_)
        plan = self._plan(order)
        position = self._units.run(lambda unit: self._begin(unit, job_id, token, plan))
        while position < len(plan.files):
            file = plan.files[position]
            absent = came = False
            if not self._end_tape(turn, job_id, order, plan, file):
                return self._leave(job_id, token)
            left_out, looked_at = foresight.of_series(plan, position, self._cursor(job_id))
            position += left_out
            if foresight.has_looked and slice_.spent() > _SLICE_S:
                return self._leave(job_id, token)
            if left_out:
                continue
            files = self._ahead if file.place == looked_at else self._files
            try:
                left_s = _SLICE_S - slice_.spent()
                with files.at_hand(job_id, file, left_s) as path:
                    absent = path is None and not self._files.is_stored(file)
                    came = path is not None or absent
                    if path is not None and not self._work_on(
                        turn, job_id, order, plan, file, path, slice_, foresight
                    ):
                        return self._leave(job_id, token)
            except NotGiven:
                raise  # of no file of that archive, and there may be thousands
            except InvalidInput as error:
                turn.leave_out(file, error)
            goes_on = turn.file_done(file, position, absent=absent, came=came)
            files.forget(job_id)
            position += 1
            if not goes_on or slice_.spent() > _SLICE_S:
                return self._leave(job_id, token)
        if not self._end_tape(turn, job_id, order, plan, None):
            return self._leave(job_id, token)
        self._count(job_id, slice_)
        return self._end(job_id, token, "succeeded", None)

    def _cursor(self, job_id: str) -> Cursor:
        with self._units.read() as unit:
            return unit.jobs.get(job_id).cursor

    def _count(self, job_id: str, slice_: Slice) -> None:
        """Count what is traded in the series that came; what the slice leaves, beat has counted."""
        with self._units.read() as unit:
            keys = list(unit.jobs.get(job_id).cursor["series"])
        for key in keys:
            self._activity.count_named(*key.split("|"), over=lambda: slice_.spent() > _SLICE_S)

    def _begin(self, unit: Unit, job_id: str, token: str, plan: ImportPlan) -> int:
        """Position of the file to go on with; the first one where the files have changed."""
        job = held(unit, job_id, token)
        mark = [[file.place, *stamp_of(file)] for file in plan.files]
        if job.cursor.get("files") != mark:
            job.cursor = new_cursor(plan, mark, job.cursor) | carried(job.cursor)
            job.progress = progress_of(job.cursor, 0)
        return int(job.cursor["file"])

    def _work_on(
        self,
        turn: Turn,
        job_id: str,
        order: ImportOrder,
        plan: ImportPlan,
        file: ImportFile,
        path: Path,
        slice_: Slice,
        foresight: Foresight,
    ) -> bool:
        """Store what is left of a file; False where the slice is over or the job is to stop."""
        try:
            return self._store(turn, job_id, order, plan, file, path, slice_, foresight)
        except NoRowsError:
            turn.note(file, "skipped", [file.name, "it has no rows"])
            return True

    def _store(
        self,
        turn: Turn,
        job_id: str,
        order: ImportOrder,
        plan: ImportPlan,
        file: ImportFile,
        path: Path,
        slice_: Slice,
        foresight: Foresight,
    ) -> bool:
        if file.is_funding:
            payments = payments_of(path, file, order, self._market_now(file))
            turn.keep_payments(file, payments)
            return True
        cursor = self._cursor(job_id)
        done = int(cursor["chunks"])
        if done == 0 and not foresight.of_file(file, path):
            return True
        carried = carried_to(cursor, file)
        if done == 0 and carried is not None and ends_before(path, file, carried):
            if not self._ended_tape(turn, order, plan.files[cursor["tape"]["at"]], carried):
                return False
            carried = None
        asked = (path, file, order, self._market_now(file), self._folder)
        turn.opened(rows_of(path, file.reading))
        for chunk in ahead(checked_chunks(*asked, skip=done, carried=carried)):
            goes_on = turn.kept(file, chunk)
            if goes_on is None:
                return True
            if not goes_on or slice_.spent() > _SLICE_S:
                return False
        return True

    def _foresight(self, turn: Turn, job_id: str, order: ImportOrder, slice_: Slice) -> Foresight:
        def at_hand(file: ImportFile) -> AbstractContextManager[Path | None]:
            left_s = _SLICE_S - slice_.spent()
            return self._ahead.at_hand(job_id, file, left_s, is_needed=True)

        def read(file: ImportFile, path: Path, *, most: int | None) -> Iterator[Chunk]:
            now = self._market_now(file)
            return checked_chunks(path, file, order, now, self._folder, most=most)

        return Foresight(
            self._units,
            turn,
            order,
            is_stored=self._files.is_stored,
            at_hand=at_hand,
            read=read,
        )

    def _end_tape(
        self,
        turn: Turn,
        job_id: str,
        order: ImportOrder,
        plan: ImportPlan,
        file: ImportFile | None,
    ) -> bool:
        """End the trades that no file goes on with behind this one; False if the job is to stop."""
        ended = tape_that_ends(self._cursor(job_id), plan, file)
        if ended is None:
            return True
        return self._ended_tape(turn, order, *ended)

    def _ended_tape(self, turn: Turn, order: ImportOrder, of: ImportFile, rest: Carried) -> bool:
        """Store the last bar of trades that no file goes on with; False if the job is to stop."""
        chunk = last_of_tape(rest, of, order, self._market_now(of))
        try:
            return turn.kept(of, chunk) is not False
        except InvalidInput as error:
            turn.leave_out(of, error, is_tape=True)
            return True

    def _leave(self, job_id: str, token: str, slow: NotYetWhole | None = None) -> str:
        """Hand the job on to the next slice, or end it where that was asked for.

        Args:
            slow: what the slice was over with: a file comes slowly, and the next one goes on.
        """

        def work(unit: Unit) -> str:
            job = held(unit, job_id, token)
            if job.cancel_requested:
                finish(unit, job, "cancelled")
                return "cancelled"
            if slow is not None:
                job.cursor = fetched(job.cursor)
                job.error = {"code": slow.error_code, "message": slow.message}
            job.state, job.lease_owner, job.lease_until = "queued", None, 0
            if not job.paused:
                unit.enqueue(TASK, job.id)
            return job.state

        return self._finally(work)

    def _put_off(self, unit: Unit, job_id: str, token: str, error: TidemarkError) -> str:
        job = held(unit, job_id, token)
        if isinstance(error, NotFetched):
            job.cursor, last = not_fetched(job.cursor, error, unit.now_ms)
            if last is not None:
                return _finished(unit, job, "failed", last)
        failures = int(job.cursor.get("failures", 0)) + 1
        job.cursor = {**job.cursor, "failures": failures}
        job.state, job.lease_owner, job.lease_until = "queued", None, 0
        pause = pause_after(failures)
        job.not_before = unit.now_ms + pause
        job.error = {"code": error.error_code, "message": error.message}
        return job.state

    def _end(self, job_id: str, token: str, state: str, error: TidemarkError | None) -> str:
        return self._finally(lambda unit: _finished(unit, held(unit, job_id, token), state, error))

    def _break_off(self, unit: Unit, job_id: str, token: str, error: Exception) -> str:
        return broke_off(unit, held(unit, job_id, token), error)

    def _finally(self, work: Callable[[Unit], str]) -> str:
        try:
            return self._units.run(work)
        except LostError:
            return "lost"


def _finished(unit: Unit, job: JobRow, state: str, error: TidemarkError | None) -> str:
    """End a locked job with its account; the state."""
    job.error = None
    if job.progress:
        job.progress = {**job.progress, "eta_s": None}
    shifts = job.cursor.get("shifts", [])
    result = with_characters(unit, import_account(job))
    problem = error or (shift_error(shifts[0]) if shifts else None)
    if problem is None and result["left_out"]:
        problem = left_out_error(result, len(job.cursor["files"]))
    if problem is None and result["unplaced"]:
        problem = unplaced_error(result)
    if problem is None and len(result["absent"]) == len(job.cursor.get("files", ())) > 0:
        problem = absent_error(job.params, result["absent"])
    ended = "failed" if problem else state
    finish(unit, job, ended, result=result, error=problem)
    return ended
