"""How a venue tells of a minute without a trade: by a flat bar, or by none.

Both are right. Which one it is decides what a hole means: at a venue that fills, a hole is an
outage or a loss; at one that omits, it is a minute in which nothing happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from app.core.market.activity import Activity
from app.core.market.coverage import CoverageState, Span
from app.core.market.intervals import DAY_MS, Interval

#: Bars to judge by: those stored and those proven to be absent. A day of minutes.
ENOUGH: Final = 1_000
#: So many bars without a trade, or gaps, and one in so many: seven years of hours of the busiest
#: market have 28 outages, one in 2,100, and 4 bars without volume.
AT_LEAST: Final = 20
ONE_IN: Final = 1_000
#: A longer gap is an outage. The thinnest market that was looked at left out 87 minutes at most.
SHORT_BARS: Final = 120
#: Gaps of one bad day are one outage that came back; where a range has fewer days, all of them.
ON_DAYS: Final = 3
#: Bars without volume that move are not a venue's filling: marks and indices have none either.
MOSTLY_FLAT: Final = 0.95


class Character(StrEnum):
    """What a venue does with a bar in which nothing is traded.

    ``fills``: it writes a flat bar without volume. ``omits``: it leaves the bar out.
    ``trades_always``: hardly any bar is without a trade. ``unknown``: too little is stored, or
    gaps are not proven yet to be the venue's.
    """

    FILLS = "fills"
    OMITS = "omits"
    TRADES_ALWAYS = "trades_always"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Absence:
    """Bars that lack between two stored ones.

    Attributes:
        start: open time of the first, ms.
        bars: how many.
        is_proven: whether all of them are known to be missing at the venue.
    """

    start: int
    bars: int
    is_proven: bool


@dataclass(frozen=True, slots=True)
class Absences:
    """The gaps of a range together.

    Attributes:
        count: gaps.
        bars: of all of them.
        longest: bars of the longest.
        proven: bars known to be missing at the venue, gaps of any length.
        left_out: of these, the ones of short gaps: minutes without a trade, not outages.
    """

    count: int = 0
    bars: int = 0
    longest: int = 0
    proven: int = 0
    left_out: int = 0


def absences_of(spans: Sequence[Span], interval: Interval, offset_ms: int = 0) -> list[Absence]:
    """What lacks between the present spans of a series, ascending; what lies outside does not.

    Args:
        spans: of coverage, ascending; what none covers was never asked for.
    """
    present = [
        (position, span)
        for position, span in enumerate(spans)
        if span.state is CoverageState.PRESENT
    ]
    found = []
    for (at, left), (upto, right) in pairwise(present):
        bars = interval.expected(left.end, right.start, offset_ms)
        if not bars:
            continue
        between = spans[at + 1 : upto]
        position = left.end
        for span in between:
            if span.state is not CoverageState.EXCHANGE_SIDE or span.start != position:
                break
            position = span.end
        found.append(Absence(left.end, bars, position == right.start))
    return found


def absences_together(gaps: Sequence[Absence]) -> Absences:
    """Their counts."""
    return Absences(
        len(gaps),
        sum(gap.bars for gap in gaps),
        max((gap.bars for gap in gaps), default=0),
        sum(gap.bars for gap in gaps if gap.is_proven),
        sum(gap.bars for gap in gaps if gap.is_proven and gap.bars <= SHORT_BARS),
    )


def no_trade_share(activity: Activity, absences: Absences) -> float | None:
    """The part of the bars in which nothing was traded, filled or left out; None for no bar."""
    bars = activity.bars + absences.left_out
    return (activity.idle + absences.left_out) / bars if bars else None


def character_of(
    activity: Activity, gaps: Sequence[Absence], days: int, *, all_proven: bool = False
) -> Character:
    """What the venue does with a bar without a trade, by the numbers above.

    Where it seems to do both, what is more counts: a venue that fills has outages as well.

    Args:
        activity: of the stored bars of a range.
        gaps: between them.
        days: UTC days in which any bar is stored.
        all_proven: judge as if every gap were the venue's, as of a file that is the whole truth.
    """
    proven = [gap for gap in gaps if gap.is_proven or all_proven]
    absent = sum(gap.bars for gap in proven)
    judged = activity.bars + absent
    if judged < ENOUGH:
        return Character.UNKNOWN
    omitted = [gap for gap in proven if gap.bars <= SHORT_BARS]
    on_days = len({gap.start // DAY_MS for gap in omitted})
    omits = _many(len(omitted), judged) and on_days >= min(ON_DAYS, days)
    is_idle = _many(activity.idle, judged)
    fills = is_idle and activity.flat >= MOSTLY_FLAT * activity.idle
    left_out = sum(gap.bars for gap in omitted)
    if fills and not (omits and left_out > activity.flat):
        return Character.FILLS
    if omits:
        return Character.OMITS
    if is_idle or _many(len(gaps) - len(proven), judged):
        return Character.UNKNOWN
    return Character.TRADES_ALWAYS


def _many(number: int, of: int) -> bool:
    return number >= AT_LEAST and number * ONE_IN >= of
