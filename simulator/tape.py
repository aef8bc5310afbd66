"""Tapes: the bars of one instrument, generated or replayed, asked for by time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import numpy as np

from app.core.market.intervals import DAY_MS, INTERVALS, MINUTE_MS, Interval, interval
from simulator.bars import Bar, Bars, no_bars
from simulator.derived import Days

_MINUTE_DAYS: Final = 192  # 115 kB each
_HOUR_DAYS: Final = 4096  # 2 kB each
_WHOLE_DAYS: Final = 16384
_DAYS_PER_TURN: Final = 8  # computed in about 5 ms


class Tape(Protocol):
    """The bars of one instrument.

    Attributes:
        finest: the interval below which the tape knows nothing.
        first_ts: opening of the first bar.
        end_ts: close of the last bar, or None for a market without an end.
        typical_volume: base units (as counts of the volume unit) of an ordinary minute.
        omits_quiet: whether bars without a trade are left out, as some venues do.
    """

    finest: Interval
    first_ts: int
    end_ts: int | None
    typical_volume: int
    omits_quiet: bool

    def between(self, wanted: Interval, start: int, end: int) -> Bars:
        """Bars of an interval that open in [start, end), each with its whole length."""
        ...

    def prepare(self, wanted: Interval, start: int, end: int) -> Iterator[None]:
        """Compute beforehand what ``between`` will need, a few milliseconds at a time."""
        ...

    def bar_at(self, ts: int) -> tuple[Bars, Bar] | None:
        """The finest bar that contains a time (with its units), or None in a gap."""
        ...

    def last_before(self, ts: int) -> int | None:
        """Opening time of the last finest bar that opens at or before a time."""
        ...

    def shown_from(self, ts: int) -> int:
        """The time itself, or where bars go on where it lies in a hole or before all of them."""
        ...


class _Lru:
    def __init__(self, size: int, compute: Callable[[int], Bars]) -> None:
        self._size = size
        self._compute = compute
        self._items: OrderedDict[int, Bars] = OrderedDict()

    def get(self, day: int) -> Bars:
        found = self._items.get(day)
        if found is not None:
            self._items.move_to_end(day)
            return found
        made = self._items[day] = self._compute(day)
        if len(self._items) > self._size:
            self._items.popitem(last=False)
        return made


class GeneratedTape:
    """A symbol of a price process; days are computed on demand and kept for a while.

    Args:
        typical: see ``Tape.typical_volume``.
        minute_days: how many days of minutes are kept.
    """

    finest: Interval = INTERVALS["1m"]
    end_ts: int | None = None

    def __init__(
        self,
        process: Days,
        symbol: str,
        listed_ms: int,
        typical: int,
        *,
        omits_quiet: bool = False,
        minute_days: int = _MINUTE_DAYS,
    ) -> None:
        self.first_ts = listed_ms
        self.typical_volume = typical
        self.omits_quiet = omits_quiet
        self._process = process
        self._symbol = symbol
        self._minutes = _Lru(minute_days, self._compute)
        self._hours = _Lru(_HOUR_DAYS, lambda day: self._derived(day, "1h"))
        self._days = _Lru(_WHOLE_DAYS, lambda day: self._derived(day, "1d"))

    def between(self, wanted: Interval, start: int, end: int) -> Bars:
        """See ``Tape.between``."""
        source = _source(wanted)
        first, stop = wanted.floor(max(start, self.first_ts)), wanted.ceil(end)
        if first >= stop:
            return no_bars()
        cache = self._cache(wanted)
        days = range(first // DAY_MS, -(-stop // DAY_MS))
        parts = [cache.get(day) for day in days]
        bars = (parts[0].joined(*parts[1:]) if len(parts) > 1 else parts[0]).between(first, stop)
        if self.omits_quiet and source is self.finest:
            bars = bars.traded()
        if wanted is not source:
            bars = bars.aggregated(wanted)
        return bars.between(start, end)

    def prepare(self, wanted: Interval, start: int, end: int) -> Iterator[None]:
        """See ``Tape.prepare``."""
        cache = self._cache(wanted)
        first, stop = max(start, self.first_ts) // DAY_MS, -(-end // DAY_MS)
        for day in range(max(first, stop - _WHOLE_DAYS), stop):
            cache.get(day)
            if day % _DAYS_PER_TURN == 0:
                yield

    def _cache(self, wanted: Interval) -> _Lru:
        caches = {"1m": self._minutes, "1h": self._hours, "1d": self._days}
        return caches[_source(wanted).name]

    def bar_at(self, ts: int) -> tuple[Bars, Bar] | None:
        """See ``Tape.bar_at``."""
        if ts < self.first_ts:
            return None
        bars = self._minutes.get(ts // DAY_MS)
        opened = ts - ts % MINUTE_MS
        return bars, bars.bar(int(np.searchsorted(bars.open_ts, opened)))

    def last_before(self, ts: int) -> int | None:
        """See ``Tape.last_before``."""
        return ts - ts % MINUTE_MS if ts >= self.first_ts else None

    def shown_from(self, ts: int) -> int:
        """See ``Tape.shown_from``."""
        return max(ts, self.first_ts)

    def _compute(self, day: int) -> Bars:
        bars = self._process.day(self._symbol, day)
        return bars if bars.open_ts[0] >= self.first_ts else bars.between(self.first_ts, 1 << 62)

    def _derived(self, day: int, name: str) -> Bars:
        # A sweep over years must not push the minutes that are being traded out of the cache.
        minutes = self._compute(day)
        return (minutes.traded() if self.omits_quiet else minutes).aggregated(interval(name))


def _source(wanted: Interval) -> Interval:
    if wanted.is_month or wanted.length_ms >= DAY_MS:
        return INTERVALS["1d"]
    return INTERVALS["1h"] if wanted.length_ms >= 60 * MINUTE_MS else INTERVALS["1m"]
