"""Import jobs: files into the record in slices that end before a minute is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import structlog

from app.core.errors import (
    InvalidInput,
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
from app.services.attempts import carried, held_on, take
from app.services.importing.account import (
    Slice,
    new_cursor,
    progress_of,
    stamp_of,
)
from app.services.importing.chunks import (
    Chunk,
    ahead,
    checked_chunks,
    ends_before,
    last_of_tape,
    require_beginning,
)
from app.services.importing.fetching import FilesAtHand, require_sound
from app.services.importing.foresight import Foresight
from app.services.importing.funding import payments_of
from app.services.importing.leaving import Leaving
from app.services.importing.order import ImportFile, ImportOrder, ImportPlan, plan_of
from app.services.importing.tapes import Cursor, carried_to, tape_that_ends
from app.services.importing.turns import LEASE_MS, LostError, Turn, held
from app.services.jobs import new_job

_log = structlog.get_logger(__name__)
KIND: Final = "import"
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
        leaving = Leaving(self._units, job.id, token)
        try:
            with held_on(self._units, job.id, token, LEASE_MS):
                is_done = self._work(job.id, token, ImportOrder.of(job.params))
                return leaving.end("succeeded") if is_done else leaving.hand_on()
        except LostError:
            return "lost"
        except InvalidInput as error:
            return leaving.end("failed", error)
        except NotYetWhole as error:
            return leaving.hand_on(error)
        except Unavailable as error:
            return leaving.put_off(error)
        except Exception as error:  # noqa: BLE001
            # The row says it at once, and counts: left to the lease it would be tried for ever.
            _log.exception("job_attempt_broke_off", job_id=job.id, kind=KIND)
            return leaving.break_off(error)

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

    def _work(self, job_id: str, token: str, order: ImportOrder) -> bool:
        """Work until the slice is over or the job is to stop; whether every file is done."""
        slice_ = Slice(self._clock.monotonic)
        turn = Turn(self._units, job_id, token, order, slice_)
        foresight = self._foresight(turn, job_id, order, slice_)
        plan = self._plan(order)
        position = self._units.run(lambda unit: self._begin(unit, job_id, token, plan))
        while position < len(plan.files):
            file = plan.files[position]
            absent = came = False
            if not self._end_tape(turn, job_id, order, plan, file):
                return False
            left_out, looked_at = foresight.of_series(plan, position, self._cursor(job_id))
            position += left_out
            if foresight.has_looked and slice_.spent() > _SLICE_S:
                return False
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
                        return False
            except NotGiven:
                raise  # of no file of that archive, and there may be thousands
            except InvalidInput as error:
                turn.leave_out(file, error)
            goes_on = turn.file_done(file, position, absent=absent, came=came)
            files.forget(job_id)
            position += 1
            if not goes_on or slice_.spent() > _SLICE_S:
                return False
        if not self._end_tape(turn, job_id, order, plan, None):
            return False
        self._count(job_id, slice_)
        return True

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
