"""Stored days compared with the venue, bar by bar, and repaired.

A venue may revise a closed bar, or have one on the second day that it had not on the first. So a
day is asked for again once it is over: what differs becomes a revision, what was missed is
stored, what the venue has not, asked twice, is taken away into quarantine; all are counted. Hours
and days that derive from the minutes, as they are read, are compared with the venue's own. Where
one differs, its minutes are asked for once more and it is made of them anew: what differs still
is the venue's own doing, and is counted. Where the stored bars turn out to lie whole hours away
from the venue's, nothing is changed: a file in another zone's time is better imported again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

from app.core.errors import InvalidInput
from app.core.market.coverage import CoverageState, Span, count_bars, present_runs
from app.core.market.files.columns import KlineColumns
from app.core.market.intervals import DAY_MS, HOUR_MS, Interval, interval
from app.core.market.retention import is_retired, retired_parts
from app.core.market.shifts import REACH_MS, found_shift, is_suspect
from app.core.ports import Clock, Ids
from app.models import JobRow, KlineDayRow, KlineSeriesRow
from app.repositories.unit import Unit, Units
from app.services.alarms import tell_alarm
from app.services.collection.comparing import (
    SUMMED,
    Compared,
    compared,
    differing,
    keep_for_all_that,
    no_figures,
    prices,
    surplus_in,
    withdraw,
)
from app.services.collection.filling import Answer, Filler
from app.services.collection.rolling import TASK as ROLL_UP
from app.services.collection.target import Ask, Target, target
from app.services.jobs import new_job, purpose_of
from app.services.kline_sources import read_rows
from app.services.slices import SlicedJobs

KIND: Final = "verification"
#: Behind every back-fill: it asks again for what is there.
PRIORITY: Final = 900
# The venue's own bars that minutes are checked against.
_DERIVED: Final = ("1h", "1d")
_LONGEST_DAYS: Final = 3_660


class Verifier(SlicedJobs):
    """Creates and runs the jobs that verify days of one series."""

    def __init__(self, units: Units, filler: Filler, ids: Ids, clock: Clock) -> None:
        super().__init__(units, ids, clock)
        self._filler = filler

    def ensure(
        self,
        unit: Unit,
        wanted: Target,
        first_day: int,
        days: int,
        *,
        despite_shift: bool = False,
    ) -> JobRow:
        """The live job that verifies days of a series, made if there is none.

        Args:
            first_day: 00:00 UTC of the first one, ms.
            despite_shift: put the venue's bars in the place of stored ones that lie whole hours
                away.

        Raises:
            InvalidInput: not a number of days that makes sense.
        """
        if not 0 < days <= _LONGEST_DAYS:
            raise InvalidInput(f"verify 1 to {_LONGEST_DAYS} days at once")
        params = {
            "exchange": wanted.exchange,
            "symbol": wanted.symbol,
            "interval": wanted.interval.name,
            "kind": wanted.kind.value,
            "first_day": first_day - first_day % DAY_MS,
            "days": days,
            **({"despite_shift": True} if despite_shift else {}),
        }
        purpose = purpose_of(KIND, params)
        known = unit.jobs.live_with(purpose)
        if known is not None:
            return known
        return new_job(unit, self._ids.new(), KIND, params, dedupe_key=purpose, priority=PRIORITY)

    def verify_day(self, wanted: Target, day: int, *, despite_shift: bool = False) -> KlineDayRow:
        """Compare one day that is over with the venue, and repair it; its figures.

        Of a day whose bars were removed by a rule nothing is asked, and its figures are 0; those
        of an earlier verification are kept.

        Raises:
            InvalidInput: the day is not over by the venue's clock, nothing is stored, or what is
                stored lies whole hours away from the venue's bars.
            VenueError: the venue could not be asked.
        """
        end = day + DAY_MS
        if self._filler.closed_end(wanted) < wanted.interval.floor(end):
            raise InvalidInput(f"{wanted.exchange} has not closed the last bar of that day yet")
        if self._is_retired(wanted, day):
            return no_figures(day)
        found = self._asked_again(wanted, day, end, despite_shift=despite_shift)
        derived = Compared()
        if wanted.interval.name == "1m":
            derived, mended = self._derived(wanted, day)
            found += mended
        return self._units.run(lambda unit: self._noted(unit, wanted, day, found, derived))

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
                self._require_no_shift(wanted, answer)
            repair = partial(self._repair, wanted=wanted, answer=answer, reach=(opened, over))
            here, doubted = self._units.run(repair)
            found += here + self._surplus(wanted, ask, doubted, here.compared)
            opened = over
        return found

    def _surplus(self, wanted: Target, ask: Ask, doubted: Sequence[int], agreed: int) -> Compared:
        """Have stored bars taken away that the venue has not when it is asked once more either.

        Args:
            agreed: bars of the page that both have. Where fewer, the stored ones are not this
                market's, or the answers are short: that is told, and a person decides.
        """
        if not doubted:
            return Compared()
        opens = surplus_in(self._filler.fetch(wanted, ask), doubted)
        if len(opens) > agreed:
            self._units.run(lambda unit: keep_for_all_that(unit, wanted, opens, agreed))
        elif opens:
            self._units.run(lambda unit: withdraw(unit, wanted, opens))
        return Compared(surplus=len(opens))

    def _is_retired(self, wanted: Target, day: int) -> bool:
        with self._units.read() as unit:
            spans = unit.coverage.spans(series_of(unit, wanted).id, day, day + DAY_MS)
        return bool(retired_parts(spans)) and is_retired(spans, day, day + DAY_MS)

    def _require_no_shift(self, wanted: Target, answer: Answer) -> None:
        """Nothing, unless most of an answer's bars are stored whole hours away; then it is told.

        Raises:
            InvalidInput: they are.
        """
        with self._units.read() as unit:
            series = series_of(unit, wanted)
            start, end = answer.ask.start, answer.ask.end
            stored = {row.open_ts: row for row in unit.klines.read_exact(series.id, start, end)}
            found = compared(stored, answer.rows())
            if not is_suspect(found.differed, found.compared - found.differed):
                return
            around = unit.klines.read_exact_columns(series.id, start - REACH_MS, end + REACH_MS)
        shift = found_shift(_columns(answer), around, wanted.interval)
        if shift is None:
            return
        # The venue's bars are ahead by as much as the stored ones are behind.
        way = "behind" if shift > 0 else "ahead of"
        text = (
            f"the stored bars of {wanted.symbol} {wanted.interval.name} lie "
            f"{abs(shift) // HOUR_MS} h {way} the same bars of {wanted.exchange}, and were not "
            "changed; import their file again with its --utc-offset, or say --despite-shift to "
            "take the venue's"
        )
        facts = {"exchange": wanted.exchange, "symbol": wanted.symbol, "shift_ms": -shift}
        self._units.run(lambda unit: tell_alarm(unit, "warning", "series-shifted", text, **facts))
        raise InvalidInput(text, code="shifted")

    def _repair(
        self, unit: Unit, wanted: Target, answer: Answer, reach: tuple[int, int]
    ) -> tuple[Compared, list[int]]:
        """Store an answer; what it says of the bars in ``reach``, and those that it lacks."""
        series = series_of(unit, wanted)
        unit.klines.lock_series(series.id)
        around = (answer.ask.start, answer.ask.end)
        known = {row.open_ts: row for row in unit.klines.read_exact(series.id, *around)}
        stored = {ts: row for ts, row in known.items() if reach[0] <= ts < reach[1]}
        doubted = surplus_in(answer, stored)
        spans = unit.coverage.spans(series.id, *around)
        # A bar beside the page is there for what it proves, and is not wanted by every plan.
        beside = [
            Span(opened, wanted.interval.next(opened), CoverageState.PENDING)
            for opened in (around[0], reach[1])
            if opened not in known
        ]
        answer = answer.outside([*retired_parts(spans), *beside])
        self._filler.keep(unit, wanted, answer, transport="verify")
        rows = [row for row in answer.rows() if reach[0] <= row.open_ts < reach[1]]
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
            found += Compared(0, again.differed, again.missed, again.surplus)
        self._units.run(lambda unit: _make_anew(unit, wanted, day))
        return found

    def _made(self, wanted: Target, length: Interval, day: int) -> dict[int, Sequence[Any]]:
        """Bars of a day that derive from stored minutes, as everyone reads them."""
        with self._units.read() as unit:
            series = series_of(unit, wanted)
            rows = read_rows(unit, series, length, day, day + DAY_MS)
        return {row.open_ts: prices(row) for row in rows}

    def _noted(
        self, unit: Unit, wanted: Target, day: int, found: Compared, derived: Compared
    ) -> KlineDayRow:
        series = series_of(unit, wanted)
        end = day + DAY_MS
        counts = count_bars(unit.coverage.spans(series.id, day, end), wanted.interval, day, end)
        rows = unit.klines.read_exact(series.id, day, end)
        figures = KlineDayRow(
            series_id=series.id,
            day_ts=day,
            expected=sum(counts.values())
            - counts[CoverageState.BEFORE_LISTING]
            - counts[CoverageState.AFTER_DELISTING]
            - counts[CoverageState.RETIRED],
            present=counts[CoverageState.PRESENT],
            exchange_side=counts[CoverageState.EXCHANGE_SIDE],
            pending=counts[CoverageState.PENDING],
            quiet=sum(not row.volume for row in rows),
            compared=found.compared,
            differed=found.differed,
            missed=found.missed,
            surplus=found.surplus,
            derived_compared=derived.compared,
            derived_differed=derived.differed,
            verified_at=unit.now_ms,
        )
        unit.days.put(figures)
        return figures

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
            stop = self._stop(job.id)
            if stop == "paused":
                break
            if stop:
                return self._end(job.id, token, stop, None)
            # The latest day first: one that is refused must not keep those after it from it.
            day = int(job.params["first_day"]) + (days - 1 - done) * DAY_MS
            despite = bool(job.params.get("despite_shift"))
            figures = self.verify_day(wanted, day, despite_shift=despite)
            done += 1
            self._units.run(
                partial(self._advance, job_id=job.id, token=token, done=done, figures=figures)
            )
        if done >= days:
            return self._end(job.id, token, "succeeded", None)
        return self._units.run(lambda unit: self._hand_on(unit, job.id, token))

    def _stop(self, job_id: str) -> str:
        with self._units.read() as unit:
            job = unit.jobs.get(job_id)
        return "cancelled" if job.cancel_requested else "paused" if job.paused else ""

    def _advance(
        self, unit: Unit, job_id: str, token: str, done: int, figures: KlineDayRow
    ) -> None:
        job = self._held(unit, job_id, token)
        job.cursor = {"done": done, "failures": 0}
        before, total = job.progress, int(job.params["days"])
        sums = {name: int(before.get(name, 0)) + int(getattr(figures, name)) for name in SUMMED}
        job.progress = {"slices_done": done, "slices_total": total, **sums}
        job.error = None

    def _result(self, unit: Unit, job: JobRow) -> dict[str, Any]:
        del unit
        return {name: job.progress[name] for name in job.progress if name != "eta_s"}


def series_of(unit: Unit, wanted: Target) -> KlineSeriesRow:
    """The stored series.

    Raises:
        InvalidInput: nothing of it is stored.
    """
    series = unit.klines.find_series(*wanted.key)
    if series is None:
        raise InvalidInput(
            f"nothing of {wanted.symbol} {wanted.interval.name} is stored; collect it first"
        )
    return series


def _columns(answer: Answer) -> KlineColumns:
    good = answer.good
    return good if isinstance(good, KlineColumns) else KlineColumns.of_rows(good)


def _make_anew(unit: Unit, wanted: Target, day: int) -> None:
    """Trust no roll-up of a day of which a bar differed, whatever its minutes say now."""
    series = unit.klines.lock_series(series_of(unit, wanted).id)
    if series.rolled_to is not None and day < series.rolled_to:
        unit.rolls.mark(series.id, [day])
        unit.enqueue(ROLL_UP, str(series.id))
