"""What a venue's answer says of the bars that are stored already: same, otherwise, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from app.core.events import kline_event
from app.core.market.coverage import CoverageState, Span, lay_apart, observed_absent, present_runs
from app.core.market.klines import KlineRow, contradict
from app.models import KlineDayRow
from app.repositories.unit import Unit
from app.services.alarms import tell_alarm
from app.services.collection.rolling import TASK as ROLL_UP
from app.services.collection.target import Target

#: Why a bar that was stored is in quarantine.
WITHDRAWN: Final = "the venue has no such bar"
#: Figures of a verified day that come of comparing, and add up.
SUMMED: Final = (
    *("compared", "differed", "missed", "surplus", "uncompared"),
    *("derived_compared", "derived_differed"),
)


@dataclass(frozen=True, slots=True)
class Compared:
    """What an answer says of the bars that were stored before it.

    Attributes:
        compared: bars of the answer that were stored.
        differed: of these, the ones that were stored otherwise.
        missed: bars of the answer that were not stored.
        surplus: stored bars that the venue has not, between two that it has.
        uncompared: stored bars of which no answer says anything.
    """

    compared: int = 0
    differed: int = 0
    missed: int = 0
    surplus: int = 0
    uncompared: int = 0

    def __add__(self, other: Compared) -> Compared:
        return Compared(
            self.compared + other.compared,
            self.differed + other.differed,
            self.missed + other.missed,
            self.surplus + other.surplus,
            self.uncompared + other.uncompared,
        )

    def after(self, earlier: KlineDayRow | None) -> Compared:
        """What all verifications of a day found together: how right it was when first compared.

        What differed or was missed is repaired at once, so it adds up. What the venue lacks may
        stay stored and be found again: the most of it counts. Bars that no answer covered before
        are compared for the first time now; those that were compared already are not counted anew.
        """
        if earlier is None:
            return self
        uncompared = min(earlier.uncompared, self.uncompared)
        surplus = max(earlier.surplus, self.surplus)
        settled = earlier.uncompared - uncompared - (surplus - earlier.surplus)
        return Compared(
            earlier.compared + max(0, settled),
            earlier.differed + self.differed,
            earlier.missed + self.missed,
            surplus,
            uncompared,
        )


def compared(stored: Mapping[int, Any], stated: Iterable[Any]) -> Compared:
    """The venue's bars against stored ones, by open time."""
    same = differed = missed = 0
    for row in stated:
        known = stored.get(row[0])
        if known is None:
            missed += 1
        elif contradict(known, row):
            differed += 1
        else:
            same += 1
    return Compared(same + differed, differed, missed)


def differing(made: Mapping[int, Any], stated: Iterable[KlineRow]) -> list[int]:
    """Open times of bars that are made otherwise than the venue states them."""
    return [row.open_ts for row in stated if made.get(row.open_ts, prices(row)) != prices(row)]


def prices(row: KlineRow) -> Sequence[Any]:
    """What must agree: a venue's own quote volume of an hour is rounded another way."""
    return row[:6]


def withdraw(unit: Unit, wanted: Target, opens: Sequence[int]) -> int:
    """Take stored bars away that the venue has not; how many there were.

    They are kept in quarantine as they were stored, and asked for again as every gap is: three
    looks over an hour prove that the venue has none, and one that comes is stored once more.

    Args:
        opens: ascending; in two answers the bars on both sides came without them.
    """
    series = unit.klines.locked(*wanted.key[:3], unit.now_ms, kind=wanted.kind.value)
    first, end = opens[0], wanted.interval.next(opens[-1])
    chosen = set(opens)
    rows = [row for row in unit.klines.read_exact(series.id, first, end) if row.open_ts in chosen]
    if not rows:
        return 0
    source = f"verify:{wanted.exchange}"
    if unit.klines.withdraw(series.id, rows, WITHDRAWN, source=source, now_ms=unit.now_ms):
        unit.enqueue(ROLL_UP, str(series.id))
    before = unit.coverage.spans(series.id, first, end)
    absent: list[Span] = []
    for run in present_runs([row.open_ts for row in rows], wanted.interval):
        gone = Span(run.start, run.end, CoverageState.PENDING)
        absent += observed_absent([gone], run.start, run.end, unit.now_ms)
    unit.coverage.save(series.id, before, lay_apart(before, absent))
    names = (wanted.exchange, wanted.symbol, wanted.interval.name)
    reach = (rows[0].open_ts, rows[-1].open_ts)
    unit.emit(*kline_event(*names, *reach, len(rows), kind=wanted.kind))
    told = (
        f"{wanted.exchange} has no such bar of {wanted.symbol} {wanted.interval.name}, twice asked"
    )
    text = f"{told}: {len(rows)} stored ones from {reach[0]} on are in quarantine now"
    _tell(unit, wanted, text, len(rows), reach[0])
    return len(rows)


def keep_for_all_that(unit: Unit, wanted: Target, opens: Sequence[int], agreed: int) -> None:
    """Tell that a venue lacks more of the stored bars than it has, and that none was taken away."""
    text = (
        f"{wanted.exchange} lacks {len(opens)} of the stored bars of {wanted.symbol} "
        f"{wanted.interval.name} from {opens[0]} on and has {agreed}; none was taken away, for "
        "such bars are another market's, or the venue's answer is short"
    )
    _tell(unit, wanted, text, len(opens), opens[0])


def date_of(day: int) -> str:
    """A day by the calendar, UTC: ``2026-03-01``."""
    return datetime.fromtimestamp(day // 1_000, UTC).date().isoformat()


def tell_uncompared(unit: Unit, wanted: Target, day: int, bars: int) -> None:
    """Tell that of some stored bars of a day the venue said nothing: they may be right or wrong."""
    text = (
        f"{bars} stored bars of {wanted.symbol} {wanted.interval.name} of {date_of(day)} could not "
        f"be compared: {wanted.exchange} gave no bar before them or none after them, or one that "
        "cannot be; verify that day again later"
    )
    _tell(unit, wanted, text, bars, day, "bars-not-compared")


def _tell(
    unit: Unit, wanted: Target, text: str, bars: int, first: int, kind: str = "surplus-bars"
) -> None:
    facts = {"exchange": wanted.exchange, "symbol": wanted.symbol, "bars": bars, "first": first}
    tell_alarm(unit, "warning", kind, text, interval=wanted.interval.name, **facts)
