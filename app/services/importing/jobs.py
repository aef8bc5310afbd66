"""Import jobs: files into the record in slices that end before a minute is over."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from app.core.errors import InvalidInput, NotFetched, TidemarkError, Unavailable
from app.core.market.files.archive import require_checksum_beside
from app.core.market.files.tables import NoRowsError
from app.core.ports import Clock, FileFetcher, Ids, MarketClock
from app.models import JobRow
from app.repositories.unit import Unit, Units
from app.services.activity import ActivityService
from app.services.attempts import broke_off, carried, held_on, pause_after, take
from app.services.importing.account import (
    Slice,
    new_cursor,
    progress_of,
    result_of,
    shift_error,
    stamp_of,
    unplaced_error,
    with_characters,
    with_unended,
)
from app.services.importing.chunks import (
    Chunk,
    ahead,
    checked_chunks,
    require_beginning,
)
from app.services.importing.fetching import FilesAtHand, fetched, not_fetched
from app.services.importing.funding import Payments, keep_funding, payments_of
from app.services.importing.keeping import SuspectError, keep_chunk, shift_of
from app.services.importing.order import ImportFile, ImportOrder, ImportPlan, plan_of
from app.services.importing.tally import beside, counted, new_tally
from app.services.jobs import finish, new_job

_log = structlog.get_logger(__name__)
KIND: Final = "import"
TASK: Final = "collection.import_files"
# A task ends before 60 s; a chunk takes half a second to a few seconds.
_SLICE_S: Final = 40.0
_LEASE_MS: Final = 90_000


class _LostError(Exception):
    """Another worker holds the job now, or it has ended."""


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
        self._files = FilesAtHand(units, fetcher, folder)
        self._folder = folder
        self._ids = ids
        self._clock = clock
        self._activity = ActivityService(units)

    def start(self, order: ImportOrder) -> JobRow:
        """Make the job of an import, having looked at its first file.

        Raises:
            InvalidInput: the order means no file, or the first one cannot be read.
        """
        plan = self._plan(order)
        if not order.is_remote:
            first = plan.files[0]
            require_checksum_beside(Path(first.place))
            try:
                self._look_at(first, order)
            except NoRowsError:
                if len(plan.files) == 1:
                    raise  # among others it is left out, and told of
        job_id = self._ids.new()
        return self._units.run(lambda unit: new_job(unit, job_id, KIND, order.params()))

    def run(self, job_id: str) -> str:
        """Work on a job for one slice of time; the state in which it was left.

        Killed at any point, the next call goes on behind the last chunk that was stored.
        """
        token = self._ids.new()
        job = self._units.run(lambda unit: take(unit, job_id, token, _LEASE_MS))
        if job is None:
            return "not_claimed"
        return self._attempt(job, token) if job.state == "running" else job.state

    def _attempt(self, job: JobRow, token: str) -> str:
        job_id = job.id
        try:
            with held_on(self._units, job_id, token, _LEASE_MS):
                return self._work(job_id, token, ImportOrder.of(job.params))
        except _LostError:
            return "lost"
        except InvalidInput as error:
            return self._end(job_id, token, "failed", error)
        except Unavailable as error:
            return self._finally(partial(self._put_off, job_id=job_id, token=token, error=error))
        except Exception as error:  # noqa: BLE001
            # The row says it at once, and counts: left to the lease it would be tried for ever.
            _log.exception("job_attempt_broke_off", job_id=job_id, kind=KIND)
            return self._finally(partial(self._break_off, job_id=job_id, token=token, error=error))

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
        plan = self._plan(order)
        at = self._units.run(lambda unit: self._begin(unit, job_id, token, plan))
        for position in range(at, len(plan.files)):
            file = plan.files[position]
            with self._files.at_hand(file) as path:
                if path is not None and not self._work_on(job_id, token, order, file, path, slice_):
                    return self._leave(job_id, token)
            absent = path is None and not self._files.is_stored(file)
            came = path is not None or absent
            done = self._file_done(job_id, token, file, position, absent=absent, came=came)
            goes_on = self._units.run(done)
            if not goes_on or slice_.spent() > _SLICE_S:
                return self._leave(job_id, token)
        self._count(job_id, slice_)
        return self._end(job_id, token, "succeeded", None)

    def _count(self, job_id: str, slice_: Slice) -> None:
        """Count what is traded in the series that came; what the slice leaves, beat has counted."""
        with self._units.read() as unit:
            keys = list(unit.jobs.get(job_id).cursor["series"])
        for key in keys:
            self._activity.count_named(*key.split("|"), over=lambda: slice_.spent() > _SLICE_S)

    def _begin(self, unit: Unit, job_id: str, token: str, plan: ImportPlan) -> int:
        """Position of the file to go on with; the first one where the files have changed."""
        job = self._held(unit, job_id, token)
        mark = [[file.place, *stamp_of(file)] for file in plan.files]
        if job.cursor.get("files") != mark:
            job.cursor = new_cursor(plan, mark) | carried(job.cursor)
            job.progress = progress_of(0, len(mark), {}, 0)
        return int(job.cursor["file"])

    def _work_on(
        self,
        job_id: str,
        token: str,
        order: ImportOrder,
        file: ImportFile,
        path: Path,
        slice_: Slice,
    ) -> bool:
        """Store what is left of a file; False where the slice is over or the job is to end."""
        try:
            return self._store(job_id, token, order, file, path, slice_)
        except NoRowsError:
            self._note(job_id, token, "skipped", [file.name, "it has no rows"])
            return True

    def _store(
        self,
        job_id: str,
        token: str,
        order: ImportOrder,
        file: ImportFile,
        path: Path,
        slice_: Slice,
    ) -> bool:
        if file.is_funding:
            payments = payments_of(path, file, order, self._market_now(file))
            keep_all = partial(self._keep_payments, job_id, token, file, payments, slice_)
            self._units.run(keep_all)
            return True
        with self._units.read() as unit:
            done = int(unit.jobs.get(job_id).cursor["chunks"])
        now_ms = self._market_now(file)
        chunks = checked_chunks(path, file, order, now_ms, self._folder, skip=done)
        for chunk in ahead(chunks):
            keep = self._keeping(job_id, token, order, file, chunk, slice_)
            try:
                goes_on = self._units.run(partial(keep, trusted=order.despite_shift))
            except SuspectError:
                shift = self._shift(file, chunk)
                if shift is not None:
                    found = {"file": file.name, "series": list(file.series), "shift_ms": shift}
                    self._note(job_id, token, "shifts", found)
                    return True
                goes_on = self._units.run(partial(keep, trusted=True))
            if not goes_on or slice_.spent() > _SLICE_S:
                return False
        return True

    def _keeping(
        self,
        job_id: str,
        token: str,
        order: ImportOrder,
        file: ImportFile,
        chunk: Chunk,
        slice_: Slice,
    ) -> Callable[..., bool]:
        """Store one chunk with the job's cursor, all or nothing; whether the job goes on."""

        def work(unit: Unit, *, trusted: bool) -> bool:
            job = self._held(unit, job_id, token)
            if job.cancel_requested:
                return False
            key = "|".join(file.series)
            known = job.cursor["series"].get(key) or new_tally(
                file, in_catalogue=unit.instruments.find(file.exchange, file.symbol) is not None
            )
            gap = beside(known, file, chunk)
            stored, quarantined = keep_chunk(
                unit, file, chunk, complete=order.complete, beside=gap, trusted=trusted
            )
            tally = counted(known, file, chunk, stored, quarantined, gap)
            series = {**job.cursor["series"], key: tally}
            job.cursor = {**job.cursor, "chunks": job.cursor["chunks"] + 1, "series": series}
            if chunk.unended is not None:
                job.cursor = with_unended(job.cursor, file, chunk.unended)
            done, total = job.progress["slices_done"], job.progress["slices_total"]
            work_ms = job.progress["work_ms"] + slice_.lap_ms()
            funding = job.cursor.get("funding", ())
            job.progress = progress_of(done, total, series, work_ms, funding)
            job.lease_until = unit.now_ms + _LEASE_MS
            job.error = None
            return True

        return work

    def _keep_payments(
        self,
        job_id: str,
        token: str,
        file: ImportFile,
        payments: Payments,
        slice_: Slice,
        unit: Unit,
    ) -> None:
        """Store a file of funding rates with the job's cursor, all or nothing."""
        job = self._held(unit, job_id, token)
        funding = [*job.cursor.get("funding", []), keep_funding(unit, file, payments)]
        job.cursor = {**job.cursor, "funding": funding}
        done, total = job.progress["slices_done"], job.progress["slices_total"]
        work_ms = job.progress["work_ms"] + slice_.lap_ms()
        job.progress = progress_of(done, total, job.cursor["series"], work_ms, funding)

    def _shift(self, file: ImportFile, chunk: Chunk) -> int | None:
        with self._units.read() as unit:
            return shift_of(unit, file, chunk.good)

    def _note(self, job_id: str, token: str, name: str, found: Any) -> None:
        """Keep with the job what of a file is not stored.

        Args:
            name: ``shifts``, of files whose bars lie hours away, or ``skipped``.
        """

        def work(unit: Unit) -> None:
            job = self._held(unit, job_id, token)
            job.cursor = {**job.cursor, name: [*job.cursor[name], found]}

        self._units.run(work)

    def _file_done(
        self,
        job_id: str,
        token: str,
        file: ImportFile,
        position: int,
        *,
        absent: bool,
        came: bool,
    ) -> Callable[[Unit], bool]:
        """Note that a file is done; whether the job goes on."""

        def work(unit: Unit) -> bool:
            job = self._held(unit, job_id, token)
            missing = [*job.cursor["absent"], file.name] if absent else job.cursor["absent"]
            so_far = fetched(job.cursor) if came else job.cursor
            job.cursor = {**so_far, "file": position + 1, "chunks": 0, "absent": missing}
            job.error = None
            job.progress = {**job.progress, "slices_done": position + 1}
            job.lease_until = unit.now_ms + _LEASE_MS
            return not job.cancel_requested

        return work

    def _leave(self, job_id: str, token: str) -> str:
        """Hand the job on to the next slice, or end it where that was asked for."""

        def work(unit: Unit) -> str:
            job = self._held(unit, job_id, token)
            if job.cancel_requested:
                finish(unit, job, "cancelled", result=result_of(job))
                return "cancelled"
            job.state, job.lease_owner, job.lease_until = "queued", None, 0
            unit.enqueue(TASK, job.id)
            return job.state

        return self._finally(work)

    def _put_off(self, unit: Unit, job_id: str, token: str, error: TidemarkError) -> str:
        job = self._held(unit, job_id, token)
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
        return self._finally(
            lambda unit: _finished(unit, self._held(unit, job_id, token), state, error)
        )

    def _break_off(self, unit: Unit, job_id: str, token: str, error: Exception) -> str:
        return broke_off(unit, self._held(unit, job_id, token), error)

    def _finally(self, work: Callable[[Unit], str]) -> str:
        try:
            return self._units.run(work)
        except _LostError:
            return "lost"

    def _held(self, unit: Unit, job_id: str, token: str) -> JobRow:
        job = unit.jobs.lock(job_id)
        if job.state != "running" or job.lease_owner != token:
            raise _LostError
        return job


def _finished(unit: Unit, job: JobRow, state: str, error: TidemarkError | None) -> str:
    """End a locked job with its account; the state."""
    job.error = None
    shifts = job.cursor.get("shifts", [])
    result = with_characters(unit, result_of(job))
    problem = error or (shift_error(shifts[0]) if shifts else None)
    if problem is None and result["unplaced"]:
        problem = unplaced_error(result)
    ended = "failed" if problem else state
    finish(unit, job, ended, result=result, error=problem)
    return ended
