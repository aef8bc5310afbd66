"""Days that are to be verified, and how often those are tried again that a venue refuses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from app.core.market.klines import KlineKind
from app.repositories.unit import Unit
from app.services.collection.daily import Days
from app.services.collection.target import Target

#: Days before the last one that are verified after a time without workers.
OWED_MS: Final = 29 * DAY_MS
_FIRST_PAUSE_MS: Final = HOUR_MS
_LONGEST_PAUSE_MS: Final = DAY_MS
# Attempts of so long say how many there were: after five of them there is one a day.
_REMEMBERED_MS: Final = 7 * DAY_MS
# Who comes by every hour comes some minutes early at times.
_EARLY_MS: Final = 10 * MINUTE_MS

# Exchange, symbol, interval, kind and the last day, 00:00 UTC.
_Purpose = tuple[str, str, str, str, int]


def owed(done: set[int], oldest: int, last: int, first: int | None) -> Days | None:
    """The latest run of days up to ``last`` that are not done, or None.

    Args:
        oldest: the first day that may be owed.
        first: the first day that was ever verified; None where none was, and ``last`` alone is
            owed: what was collected before was asked for when it was over already.
    """
    since = last if first is None else max(oldest, first)
    open_days = [day for day in range(since, last + 1, DAY_MS) if day not in done]
    if not open_days or open_days[-1] < oldest:
        return None
    begin = open_days[-1]
    while begin - DAY_MS in open_days:
        begin -= DAY_MS
    return Days(begin, (open_days[-1] - begin) // DAY_MS + 1, 0)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Verifications that failed of late, by what they were for.

    A venue that refuses a symbol which it does not trade will do so tomorrow as well: such days
    are tried again after an hour, two, four, and so on, and once a day in the end. The jobs that
    failed say how often they were, so that a restart begins nothing anew.

    Attributes:
        made: when each was made, wall time in ms, ascending.
    """

    made: Mapping[_Purpose, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, unit: Unit) -> Attempts:
        """Those that the record holds."""
        made: dict[_Purpose, list[int]] = defaultdict(list)
        for params, created_at in unit.jobs.failed("verification", unit.now_ms - _REMEMBERED_MS):
            made[_purpose(params)].append(created_at)
        return cls(made)

    def are_due(self, wanted: Target, days: Days, now_ms: int) -> bool:
        """Whether it is time to verify some days, for the first time or once more."""
        last = days.first + (days.count - 1) * DAY_MS
        exchange, symbol, name, kind = wanted.key
        made = self.made.get((exchange, symbol, name, kind.value, last), ())
        if not made:
            return True
        pause = min(_LONGEST_PAUSE_MS, _FIRST_PAUSE_MS << (len(made) - 1))
        return now_ms - made[-1] >= pause - _EARLY_MS


def _purpose(params: Mapping[str, Any]) -> _Purpose:
    last = int(params["first_day"]) + (int(params["days"]) - 1) * DAY_MS
    names = (params["exchange"], params["symbol"], params["interval"])
    return *names, params.get("kind", KlineKind.TRADE.value), last
