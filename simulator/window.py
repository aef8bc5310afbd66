"""Tapes as one venue shows them: on its own tick, from listing to delisting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from app.core.market.intervals import Interval
from simulator.bars import Bar, Bars, no_bars
from simulator.tape import Tape


class RoundedTape:
    """A tape on a coarser tick."""

    def __init__(self, tape: Tape, tick: Decimal) -> None:
        self.finest = tape.finest
        self.first_ts = tape.first_ts
        self.end_ts = tape.end_ts
        self.typical_volume = tape.typical_volume
        self.omits_quiet = tape.omits_quiet
        self._tape = tape
        self._tick = tick

    def between(self, wanted: Interval, start: int, end: int) -> Bars:
        """See ``Tape.between``."""
        bars = self._tape.between(wanted, start, end)
        return bars.rounded(self._units(bars))

    def prepare(self, wanted: Interval, start: int, end: int) -> Iterator[None]:
        """See ``Tape.prepare``."""
        return self._tape.prepare(wanted, start, end)

    def bar_at(self, ts: int) -> tuple[Bars, Bar] | None:
        """See ``Tape.bar_at``: the bars are those of before the rounding, for their units."""
        found = self._tape.bar_at(ts)
        if found is None:
            return None
        bars, bar = found
        tick = self._units(bars)

        def rounded(price: int) -> int:
            return max((price + tick // 2) // tick, 1) * tick

        return bars, bar._replace(
            open=rounded(bar.open),
            high=rounded(bar.high),
            low=rounded(bar.low),
            close=rounded(bar.close),
        )

    def last_before(self, ts: int) -> int | None:
        """See ``Tape.last_before``."""
        return self._tape.last_before(ts)

    def shown_from(self, ts: int) -> int:
        """See ``Tape.shown_from``."""
        return self._tape.shown_from(ts)

    def _units(self, bars: Bars) -> int:
        return max(1, int(self._tick.scaleb(bars.price_decimals)))


@dataclass(frozen=True, slots=True)
class Listed:
    """When a venue lists an instrument.

    Attributes:
        since: before it the venue knows neither the instrument nor a bar of it; ms.
        until: from it on it is delisted and has no bars; None while nobody knows of an end.
    """

    since: int
    until: int | None = None


class WindowTape:
    """The part of a tape between listing and delisting.

    A coarser bar that begins before the listing, or ends after the delisting, is made of what
    lies in between.
    """

    def __init__(self, tape: Tape, listed: Listed) -> None:
        self.finest = tape.finest
        self.first_ts = max(tape.first_ts, tape.finest.ceil(listed.since))
        ends = [tape.finest.floor(end) for end in (tape.end_ts, listed.until) if end is not None]
        self.end_ts = min(ends) if ends else None
        self.typical_volume = tape.typical_volume
        self.omits_quiet = tape.omits_quiet
        self._tape = tape

    def between(self, wanted: Interval, start: int, end: int) -> Bars:
        """See ``Tape.between``."""
        start = max(start, wanted.floor(self.first_ts))
        end = end if self.end_ts is None else min(end, self.end_ts)
        if start >= end:
            return no_bars()
        # Whole bars lie in [first, stop); at most one bar at either end is a part.
        first, stop = max(start, wanted.ceil(self.first_ts)), end
        if self.end_ts is not None:
            stop = min(stop, wanted.floor(self.end_ts))
        parts = []
        if start < first:
            parts.append(self._part(wanted, self.first_ts, first))
        if first < stop:
            parts.append(self._tape.between(wanted, first, stop))
        if stop < end and stop >= first:
            parts.append(self._part(wanted, stop, end))
        filled = [part for part in parts if len(part)]
        return filled[0].joined(*filled[1:]) if filled else no_bars()

    def _part(self, wanted: Interval, start: int, end: int) -> Bars:
        end = end if self.end_ts is None else min(end, self.end_ts)
        if wanted.length_ms < self.finest.length_ms:
            return no_bars()
        return self._tape.between(self.finest, start, end).aggregated(wanted)

    def prepare(self, wanted: Interval, start: int, end: int) -> Iterator[None]:
        """See ``Tape.prepare``."""
        return self._tape.prepare(wanted, max(start, self.first_ts), end)

    def bar_at(self, ts: int) -> tuple[Bars, Bar] | None:
        """See ``Tape.bar_at``."""
        if ts < self.first_ts or (self.end_ts is not None and ts >= self.end_ts):
            return None
        return self._tape.bar_at(ts)

    def last_before(self, ts: int) -> int | None:
        """See ``Tape.last_before``."""
        within = ts if self.end_ts is None else min(ts, self.end_ts - 1)
        opened = self._tape.last_before(within)
        return None if opened is None or opened < self.first_ts else opened

    def shown_from(self, ts: int) -> int:
        """See ``Tape.shown_from``."""
        return self._tape.shown_from(max(ts, self.first_ts))
