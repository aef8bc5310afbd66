"""Stored days compared with the venue, bar by bar, and repaired.

A venue may revise a closed bar, or have one on the second day that it had not on the first. So a
day is asked for again once it is over: what differs becomes a revision, what was missed is
stored, what the venue has not, asked twice, is taken away into quarantine; all are counted, and
so is what no answer covers. Hours
and days that derive from the minutes, as they are read, are compared with the venue's own. Where
one differs, its minutes are asked for once more and it is made of them anew: what differs still
is the venue's own doing, and is counted. Where the stored bars turn out to lie whole hours away
from the venue's, nothing is changed: a file in another zone's time is better imported again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from app.core.errors import Conflict, InvalidInput
from app.core.market.coverage import CoverageState, Span, present_runs
from app.core.market.expected import Range
from app.core.market.intervals import DAY_MS, Interval, interval
from app.core.market.retention import is_retired, retired_parts
from app.core.ports import Clock, Ids
from app.models import JobRow
from app.repositories.unit import Unit, Units
from app.services.collection.comparing import (
    SUMMED,
    Compared,
    compared,
    date_of,
    differing,
    keep_for_all_that,
    prices,
    tell_uncompared,
    withdraw,
)
from app.services.collection.daily import (
    Days,
    note_day,
    parts_of_day,
    require_number,
    series_of,
)
from app.services.collection.doubting import look_again, within
from app.services.collection.filling import Answer, Filler
from app.services.collection.rolling import TASK as ROLL_UP
from app.services.collection.shifting import require_no_shift
from app.services.collection.target import Ask, Target, target
from app.services.jobs import new_job, purpose_of
from app.services.kline_sources import read_rows
from app.services.pace import eta_s
from app.services.slices import SlicedJobs

KIND: Final = "verification"
#: Behind every back-fill: it asks again for what is there.
PRIORITY: Final = 900
# The venue's own bars that minutes are checked against.
_DERIVED: Final = ("1h", "1d")
#: Days that were asked for and of which nothing is stored or planned.
SKIPPED: Final = "skipped_days"
# Those of them that lie between others.
_EMPTY: Final = "empty_days"


class Verifier(SlicedJobs):
    """Creates and runs the jobs that verify days of one series."""

    def __init__(self, units: Units, filler: Filler, ids: Ids, clock: Clock) -> None:
        super().__init__(units, ids, clock)
        self._filler = filler

    def ensure(
        self,
        unit: Unit,
        wanted: Target,
        days: Days,
        *,
        skipped: int = 0,
        despite_shift: bool = False,
    ) -> JobRow:
        """The live job that verifies days of a series, made if there is none.

        One that is under way may be for other days, see ``require_covered``.

        Args:
            skipped: days before the first one that were asked for, and of which nothing is kept.
            despite_shift: put the venue's bars in the place of stored ones that lie whole hours
                away.

        Raises:
            InvalidInput: not a number of days that makes sense.
        """
        require_number(skipped + days.count)
        left_out = skipped + days.empty
        params = {
            "exchange": wanted.exchange,
            "symbol": wanted.symbol,
            "interval": wanted.interval.name,
            "kind": wanted.kind.value,
            "first_day": days.first - days.first % DAY_MS,
            "days": days.count,
            **({"despite_shift": True} if despite_shift else {}),
            **({SKIPPED: left_out} if left_out else {}),
            **({_EMPTY: days.empty} if days.empty else {}),
        }
        purpose = purpose_of(KIND, params)
        known = unit.jobs.live_with(purpose)
        if known is not None:
            return known
        return new_job(unit, self._ids.new(), KIND, params, dedupe_key=purpose, priority=PRIORITY)

    def verify_day(
        self, wanted: Target, day: int, *, despite_shift: bool = False
    ) -> dict[str, int]:
        """Compare one day that is over with the venue, and repair it; what this look found.

        Of a day that is stored or planned in part, only that part. Of a day of which nothing is,
        and of one whose bars were removed by a rule, nothing is asked, and its figures are 0;
        those of an earlier verification are kept.

        Returns:
            By the names of ``SUMMED``. The record of the day adds up all looks at it.

        Raises:
            InvalidInput: the day is not over by the venue's clock, nothing is stored, or what is
                stored lies whole hours away from the venue's bars.
            VenueError: the venue could not be asked.
        """
        end = day + DAY_MS
        if self._filler.closed_end(wanted) < wanted.interval.floor(end):
            raise InvalidInput(f"{wanted.exchange} has not closed the last bar of that day yet")
        parts = self._parts(wanted, day)
        if not parts or self._is_retired(wanted, day):
            return dict.fromkeys(SUMMED, 0)
        found, derived = Compared(), Compared()
        for part in parts:
            found += self._asked_again(wanted, *part, despite_shift=despite_shift)
        if wanted.interval.name == "1m":
            derived, mended = self._derived(wanted, day)
            found += mended
        # A venue that is known to give its latest bars alone would be told of every day.
        tell = found.uncompared > 0 and not self._filler.forgets(wanted.exchange)

        def note(unit: Unit) -> None:
            note_day(unit, wanted, day, parts, found, derived)
            if tell:
                tell_uncompared(unit, wanted, day, found.uncompared)

        self._units.run(note)
        sums = (found.compared, found.differed, found.missed, found.surplus, found.uncompared)
        return dict(zip(SUMMED, (*sums, derived.compared, derived.differed), strict=True))

    def _asked_again(
        self, wanted: Target, start: int, end: int, *, despite_shift: bool = True
    ) -> Compared:
        """Bars that open in [start, end) against the venue's, which are stored.

        Each page is asked for with the bars before and after it: between two that came the venue
        has no others.
        """
        found = Compared()
        closed = self._filler.closed_end(wanted)
        opened, stop = wanted.interval.ceil(start), wanted.interval.ceil(end)
        while opened < stop:
            over = min(stop, opened + (wanted.page - 2) * wanted.interval.length_ms)
            before = wanted.interval.floor(opened - 1)
            ask = Ask(before, max(over, min(closed, wanted.interval.next(over))), opened, opened)
            answer = self._filler.fetch(wanted, ask)
            if not despite_shift:
                require_no_shift(self._units, wanted, answer)
            repair = partial(self._repair, wanted=wanted, answer=answer, reach=(opened, over))
            here, doubted = self._units.run(repair)
            found += here + self._doubted(wanted, answer, (opened, over), doubted, here.compared)
            opened = over
        return found

    def _doubted(
        self,
        wanted: Target,
        answer: Answer,
        reach: tuple[int, int],
        doubted: Sequence[int],
        agreed: int,
    ) -> Compared:
        """Have stored bars taken away that the venue has not when it is asked once more either.

        Args:
            agreed: bars of the page that both have. Where fewer, the stored ones are not this
                market's, or the answers are short: that is told, and a person decides.
        """
        look = look_again(self._filler, wanted, answer, doubted)
        found = Compared(surplus=len(look.lacking), uncompared=look.silent)
        for again, opens in look.came:
            part = within(again, *reach)
            repair = partial(self._repair, wanted=wanted, answer=part, reach=reach, of=set(opens))
            found += self._units.run(repair)[0]
        agreed += found.compared
        opens = look.lacking
        if len(opens) > agreed:
            self._units.run(lambda unit: keep_for_all_that(unit, wanted, opens, agreed))
        elif opens:
            self._units.run(lambda unit: withdraw(unit, wanted, opens))
        return found

    def _parts(self, wanted: Target, day: int) -> list[Range]:
        with self._units.read() as unit:
            return parts_of_day(unit, wanted, day)

    def _is_retired(self, wanted: Target, day: int) -> bool:
        with self._units.read() as unit:
            spans = unit.coverage.spans(series_of(unit, wanted).id, day, day + DAY_MS)
        return bool(retired_parts(spans)) and is_retired(spans, day, day + DAY_MS)

    def _repair(
        self,
        unit: Unit,
        wanted: Target,
        answer: Answer,
        reach: tuple[int, int],
        of: Container[int] | None = None,
    ) -> tuple[Compared, list[int]]:
        """Store an answer; what it says of the bars in ``reach``, and those that it lacks.

        Args:
            of: stored bars to compare; None for all. Those that are not stored count anyway.
        """
        series = series_of(unit, wanted)
        unit.klines.lock_series(series.id)
        around = (answer.ask.start, answer.ask.end)
        known = {row.open_ts: row for row in unit.klines.read_exact(series.id, *around)}
        stored = {ts: row for ts, row in known.items() if reach[0] <= ts < reach[1]}
        came = set(answer.times)
        doubted = [ts for ts in stored if ts not in came]
        spans = unit.coverage.spans(series.id, *around)
        # A bar beside the page is there for what it proves, and is not wanted by every plan.
        beside = [
            Span(opened, wanted.interval.next(opened), CoverageState.PENDING)
            for opened in (around[0], reach[1])
            if opened not in known and not reach[0] <= opened < reach[1]
        ]
        answer = answer.outside([*retired_parts(spans), *beside])
        self._filler.keep(unit, wanted, answer, transport="verify")
        rows = [
            row
            for row in answer.rows()
            if reach[0] <= row.open_ts < reach[1]
            and (of is None or row.open_ts in of or row.open_ts not in known)
        ]
        return compared(stored, rows), doubted

    def _derived(self, wanted: Target, day: int) -> tuple[Compared, Compared]:
        """The venue's hours and day against those that are read here, and what was at fault.

        The second counts the minutes that the venue stated otherwise when it was asked for them
        once more, since a bar of theirs differed.
        """
        found, mended = Compared(), Compared()
        for name in _DERIVED:
            length = interval(name)
            if not self._filler.offers(wanted.exchange, name):
                continue
            own = Target(wanted.exchange, wanted.symbol, length, 0, wanted.kind)
            stated = self._filler.fetch(own, Ask(day, day + DAY_MS, day, day)).rows()
            made = self._made(wanted, length, day)
            if wrong := differing(made, stated):
                mended += self._second_look(wanted, day, present_runs(wrong, length))
                made = self._made(wanted, length, day)
            # A bar with a hole derives from nothing: that it is missing is counted elsewhere.
            found += compared(made, [prices(row) for row in stated if row.open_ts in made])
        return found, mended

    def _second_look(self, wanted: Target, day: int, doubted: Iterable[Span]) -> Compared:
        """Ask once more for minutes of bars that differ, and have these made anew."""
        found = Compared()
        for span in doubted:
            again = self._asked_again(wanted, span.start, span.end)
            # What the venue lacks was counted by the first pass, and may be stored still.
            found += Compared(0, again.differed, again.missed)
        self._units.run(lambda unit: _make_anew(unit, wanted, day))
        return found

    def _made(self, wanted: Target, length: Interval, day: int) -> dict[int, Sequence[Any]]:
        """Bars of a day that derive from stored minutes, as everyone reads them."""
        with self._units.read() as unit:
            series = series_of(unit, wanted)
            rows = read_rows(unit, series, length, day, day + DAY_MS)
        return {row.open_ts: prices(row) for row in rows}

    # -- as a job ------------------------------------------------------------------------

    def _work(self, job: JobRow, token: str) -> str:
        over = self._slice()
        asked = job.params
        names = (asked["exchange"], asked["symbol"], asked["interval"])
        page = self._filler.page(asked["exchange"])
        wanted = target(*names, 0, asked["kind"], page)
        days = int(job.params["days"])
        done = int(job.cursor.get("done", 0))
        while done < days and not over():
            began = self._clock.monotonic()
            stop = self._stop(job.id)
            if stop == "paused":
                break
            if stop:
                return self._end(job.id, token, stop, None)
            # The latest day first: one that is refused must not keep those after it from it.
            day = int(job.params["first_day"]) + (days - 1 - done) * DAY_MS
            despite = bool(job.params.get("despite_shift"))
            figures = None
            if self._parts(wanted, day):
                figures = self.verify_day(wanted, day, despite_shift=despite)
            done += 1
            spent = round((self._clock.monotonic() - began) * 1000)
            self._units.run(partial(self._advance, job.id, token, done, figures, spent))
        if done >= days:
            return self._end(job.id, token, "succeeded", None)
        return self._units.run(lambda unit: self._hand_on(unit, job.id, token))

    def _stop(self, job_id: str) -> str:
        with self._units.read() as unit:
            job = unit.jobs.get(job_id)
        return "cancelled" if job.cancel_requested else "paused" if job.paused else ""

    def _advance(
        self,
        job_id: str,
        token: str,
        done: int,
        figures: Mapping[str, int] | None,
        spent_ms: int,
        unit: Unit,
    ) -> None:
        """Note a day that is done; without ``figures`` nothing of it is expected."""
        job = self._held(unit, job_id, token)
        empty = int(job.cursor.get(_EMPTY, 0)) + (figures is None)
        job.cursor = {"done": done, "failures": 0, **({_EMPTY: empty} if empty else {})}
        before, total = job.progress, int(job.params["days"]) - int(job.params.get(_EMPTY, 0))
        found = figures or {}
        sums = {name: int(before.get(name, 0)) + found.get(name, 0) for name in SUMMED}
        moved = {
            **before,
            **sums,
            "slices_done": min(done - empty, total),
            "slices_total": total,
            "work_ms": int(before.get("work_ms", 0)) + spent_ms,
        }
        job.progress = {**moved, "eta_s": eta_s(moved)}
        job.error = None

    def _result(self, unit: Unit, job: JobRow) -> dict[str, Any]:
        del unit
        skipped = {name: job.params[name] for name in (SKIPPED,) if name in job.params}
        told = ("slices_done", "slices_total", *SUMMED)
        return {name: job.progress[name] for name in told if name in job.progress} | skipped


def require_covered(job: JobRow, days: Days, *, despite_shift: bool) -> None:
    """Nothing, if a job verifies these days, and in that way.

    Raises:
        Conflict: it was made for others, and is not over yet.
    """
    had = job.params
    first, last = int(had["first_day"]), int(had["first_day"]) + int(had["days"]) * DAY_MS
    is_inside = first <= days.first and days.first + days.count * DAY_MS <= last
    if is_inside and bool(had.get("despite_shift")) is despite_shift:
        return
    how = "rests" if job.paused else "is under way"
    raise Conflict(
        f"another verification of {had['symbol']} {had['interval']} {how}, for {had['days']} days "
        f"up to {date_of(last - DAY_MS)}; wait for it, or end it with: "
        f"tidemark job cancel {job.id}",
        code="verification-under-way",
    )


def _make_anew(unit: Unit, wanted: Target, day: int) -> None:
    """Trust no roll-up of a day of which a bar differed, whatever its minutes say now."""
    series = unit.klines.lock_series(series_of(unit, wanted).id)
    if series.rolled_to is not None and day < series.rolled_to:
        unit.rolls.mark(series.id, [day])
        unit.enqueue(ROLL_UP, str(series.id))
