"""What one slice of an import writes: each part with the job's cursor, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from app.core.errors import InvalidInput
from app.models import JobRow
from app.repositories.unit import Unit, Units
from app.services.importing.account import (
    Slice,
    at_file,
    progress_of,
    with_left_out,
    with_unended,
    with_verdict,
)
from app.services.importing.chunks import Chunk
from app.services.importing.contradictions import require_agreement
from app.services.importing.fetching import fetched
from app.services.importing.funding import Payments, keep_funding
from app.services.importing.keeping import SuspectError, keep_chunk, shift_of
from app.services.importing.looking import Against, shift_at_meeting
from app.services.importing.order import ImportFile, ImportOrder
from app.services.importing.tally import beside, counted, cursor_cut_off, is_stated, new_tally
from app.services.importing.tapes import after_chunk, moved_on, torn

#: For so long a job is a worker's after each chunk.
LEASE_MS: Final = 90_000


class LostError(Exception):
    """Another worker holds the job now, or it has ended."""


def held(unit: Unit, job_id: str, token: str) -> JobRow:
    """The job, locked.

    Raises:
        LostError: it is not held under this token any more.
    """
    job = unit.jobs.lock(job_id)
    if job.state != "running" or job.lease_owner != token:
        raise LostError
    return job


def _is_to_stop(job: JobRow) -> bool:
    """Whether somebody has asked for the job to end, or to rest where it is."""
    return job.cancel_requested or job.paused


class Turn:
    """Writes what a slice of work finds; every call may raise ``LostError``.

    Args:
        token: under which the slice holds the job.
    """

    def __init__(
        self, units: Units, job_id: str, token: str, order: ImportOrder, slice_: Slice
    ) -> None:
        self._units = units
        self._job_id = job_id
        self._token = token
        self._order = order
        self._slice = slice_
        self._file_rows = 0

    def held(self, unit: Unit) -> JobRow:
        """The job, locked."""
        return held(unit, self._job_id, self._token)

    def opened(self, rows: int) -> None:
        """Note of the file whose chunks come next about how many rows it has."""
        self._file_rows = rows

    def kept(self, file: ImportFile, chunk: Chunk) -> bool | None:
        """Store one chunk; whether the job goes on, and None where the file is shifted.

        Raises:
            InvalidInput: it contradicts what is stored.
        """
        keep = self._keeping(file, chunk)
        try:
            return self._units.run(partial(keep, trusted=False))
        except SuspectError:
            is_shifted = self._looked_closer(file, chunk)
        if is_shifted:
            return None
        return self._units.run(partial(keep, trusted=True))

    def _keeping(self, file: ImportFile, chunk: Chunk) -> Callable[..., bool]:
        """Store one chunk with the job's cursor, all or nothing; whether the job goes on."""

        def work(unit: Unit, *, trusted: bool) -> bool:
            job = self.held(unit)
            if _is_to_stop(job):
                return False
            trusted = trusted or bool(job.cursor.get("is_right"))
            key = "|".join(file.series)
            known = job.cursor["series"].get(key) or new_tally(
                file, in_catalogue=unit.instruments.find(file.exchange, file.symbol) is not None
            )
            gap = beside(known, file, chunk)
            at = job.cursor["tape"]["at"] if chunk.ends_tape else job.cursor["file"]
            position = int(at)
            stored, quarantined = keep_chunk(
                unit,
                file,
                chunk,
                complete=self._order.complete,
                beside=gap,
                stated=gap is not None and is_stated(known, file, position, chunk),
                trusted=trusted,
            )
            tally = counted(known, file, chunk, stored, quarantined, gap, position)
            series = {**job.cursor["series"], key: tally}
            job.cursor = after_chunk({**job.cursor, "series": series}, file, chunk)
            if chunk.unended is not None:
                job.cursor = with_unended(job.cursor, file, chunk.unended)
            work_ms = job.progress["work_ms"] + self._slice.lap_ms()
            job.progress = progress_of(job.cursor, work_ms, self._file_rows)
            job.lease_until = unit.now_ms + LEASE_MS
            job.error = None
            return True

        return work

    def keep_payments(self, file: ImportFile, payments: Payments) -> None:
        """Store a file of funding rates with the job's cursor, all or nothing."""

        def work(unit: Unit) -> None:
            job = self.held(unit)
            funding = [*job.cursor.get("funding", []), keep_funding(unit, file, payments)]
            job.cursor = {**job.cursor, "funding": funding}
            work_ms = job.progress["work_ms"] + self._slice.lap_ms()
            job.progress = progress_of(job.cursor, work_ms)

        self._units.run(work)

    def foresees(self, file: ImportFile, chunks: Iterator[Chunk]) -> bool:
        """Whether a file agrees with the first stored bars that it meets; False if it is shifted.

        Else all that comes before those in another market's file would be stored as new bars.

        Args:
            chunks: of the file, from its beginning; of the first five million rows as many as it
                takes are read, in less time than a lease has.

        Raises:
            InvalidInput: it contradicts what is stored.
        """
        shift = shift_at_meeting(self._units, file, chunks)
        return not shift or not self._is_wrong(file, shift)

    def judged(self, file: ImportFile, against: Against | None, looked_at: str) -> None:
        """Note whether the files of a file's series may come in.

        Args:
            looked_at: the place of the file that told it.
        """
        told = None if against is None else against.params()
        verdict = {"series": list(file.series), "against": told, "looked_at": looked_at}

        def work(unit: Unit) -> None:
            job = self.held(unit)
            job.cursor = {**job.cursor, "judged": verdict}

        self._units.run(work)

    def leave_out_series(
        self, files: Sequence[ImportFile], against: Against, position: int
    ) -> None:
        """Note of files that follow each other in the plan that none comes in.

        Args:
            position: of the first one in the plan.
        """

        def work(unit: Unit) -> None:
            job = self.held(unit)
            cursor = job.cursor
            for file in files:
                if file.place == against.place and against.shift_ms is not None:
                    found = {"file": file.name, "series": list(file.series)}
                    shift = {**found, "shift_ms": against.shift_ms}
                    cursor = {**cursor, "shifts": [*cursor["shifts"], shift]}
                else:
                    cursor = with_left_out(cursor, file, against.error_of(file), in_part=False)
            self._come_to(job, cursor, position + len(files))
            job.lease_until = unit.now_ms + LEASE_MS

        self._units.run(work)

    def _looked_closer(self, file: ImportFile, chunk: Chunk) -> bool:
        """Whether a chunk, most of whose stored bars differ, is shifted and not to be kept.

        Raises:
            InvalidInput: it contradicts what is stored, and nobody has said that it is right.
        """
        with self._units.read() as unit:
            shift = shift_of(unit, file, chunk.good)
            if shift is None and not self._order.revise:
                require_agreement(unit, file, chunk.good)
        return shift is not None and self._is_wrong(file, shift)

    def _is_wrong(self, file: ImportFile, shift: int) -> bool:
        """Note by how much a file is shifted; whether it is, and not what is stored."""
        if not self._order.despite_shift:
            found = {"file": file.name, "series": list(file.series), "shift_ms": shift}
            self.note(file, "shifts", found)
            return True

        def work(unit: Unit) -> None:
            job = self.held(unit)
            # Also of its chunks that meet too few stored bars for a shift to be told.
            job.cursor = {**job.cursor, "is_right": True}

        self._units.run(work)
        return False

    @staticmethod
    def _come_to(job: JobRow, cursor: Mapping[str, Any], position: int) -> None:
        """Let a locked job stand at the beginning of a file."""
        job.cursor = at_file(cursor, position)
        job.progress = progress_of(job.cursor, job.progress["work_ms"])

    def leave_out(
        self,
        file: ImportFile,
        error: InvalidInput,
        *,
        is_tape: bool = False,
    ) -> None:
        """Note why a file does not come in, or not farther: it keeps no other one out.

        Args:
            is_tape: the last bar of its trades alone does not.
        """

        def work(unit: Unit) -> None:
            job = self.held(unit)
            in_part = is_tape or job.cursor["chunks"] > 0
            cursor = torn(cursor_cut_off(job.cursor, file), file, is_over=is_tape)
            job.cursor = with_left_out(cursor, file, error, in_part=in_part)

        self._units.run(work)

    def note(self, file: ImportFile, name: str, found: Any) -> None:
        """Keep with the job what of a file is not stored.

        Args:
            name: ``shifts``, of files whose bars lie hours away, or ``skipped``.
        """

        def work(unit: Unit) -> None:
            job = self.held(unit)
            cursor = (
                torn(cursor_cut_off(job.cursor, file), file) if name == "shifts" else job.cursor
            )
            job.cursor = {**cursor, name: [*job.cursor[name], found]}

        self._units.run(work)

    def file_done(self, file: ImportFile, position: int, *, absent: bool, came: bool) -> bool:
        """Note that a file is done; whether the job goes on.

        Args:
            absent: its archive has none.
            came: the archive has given an answer.
        """

        def work(unit: Unit) -> bool:
            job = self.held(unit)
            missing = [*job.cursor["absent"], file.name] if absent else job.cursor["absent"]
            so_far = fetched(job.cursor) if came else job.cursor
            cursor = moved_on(with_verdict(so_far, file))
            self._come_to(job, {**cursor, "absent": missing}, position + 1)
            job.error = None
            job.lease_until = unit.now_ms + LEASE_MS
            return not _is_to_stop(job)

        return self._units.run(work)
