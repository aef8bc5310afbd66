"""A tape whose bars the venue takes out, puts back and states anew."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import numpy as np

from app.core.errors import InvalidInput
from app.core.market.intervals import Interval
from simulator.bars import Bar, Bars
from simulator.tape import Tape


class EditedTape:
    """A tape with holes, and with bars of another volume than they had.

    Coarser bars are made of the finest ones that are left, as a venue makes them.
    """

    def __init__(self, tape: Tape) -> None:
        self.finest = tape.finest
        self.first_ts = tape.first_ts
        self.end_ts = tape.end_ts
        self.typical_volume = tape.typical_volume
        self.omits_quiet = tape.omits_quiet
        self._tape = tape
        self._holes: list[tuple[int, int]] = []
        # Volume by open time, as counts of the tape's own unit.
        self._volumes: dict[int, int] = {}

    def omit(self, start: int, end: int) -> None:
        """Take out the finest bars that open in [start, end).

        Raises:
            InvalidInput: the range is empty.
        """
        if self.finest.ceil(start) >= self.finest.ceil(end):
            raise InvalidInput(f"from {start} to {end} no bar opens; give a longer range")
        self._holes.append((self.finest.ceil(start), self.finest.ceil(end)))

    def restore(self) -> None:
        """Put back whatever was taken out."""
        self._holes.clear()

    def revise(self, open_ts: int, volume: Decimal) -> None:
        """State another volume for one of the finest bars.

        Raises:
            InvalidInput: there is no such bar, or the amount is not one of its unit's.
        """
        found = self._tape.bar_at(open_ts)
        if found is None or found[1].open_ts != open_ts:
            raise InvalidInput(f"no bar opens at {open_ts}")
        counts = volume.scaleb(found[0].volume_decimals)
        if counts < 0 or counts != counts.to_integral_value():
            raise InvalidInput(f"volume was {volume}; it must be a multiple of the market's unit")
        self._volumes[open_ts] = int(counts)

    def between(self, wanted: Interval, start: int, end: int) -> Bars:
        """See ``Tape.between``."""
        first, stop = wanted.ceil(start), wanted.ceil(end)
        if wanted.length_ms < self.finest.length_ms or not self._touches(first, stop):
            return self._tape.between(wanted, start, end)
        bars = self._with_edits(self._tape.between(self.finest, first, stop))
        return bars if wanted is self.finest else bars.aggregated(wanted)

    def prepare(self, wanted: Interval, start: int, end: int) -> Iterator[None]:
        """See ``Tape.prepare``."""
        return self._tape.prepare(wanted, start, end)

    def bar_at(self, ts: int) -> tuple[Bars, Bar] | None:
        """See ``Tape.bar_at``."""
        found = None if self._is_out(ts) else self._tape.bar_at(ts)
        if found is None or found[1].open_ts not in self._volumes:
            return found
        bars, bar = found
        return bars, bar._replace(volume=self._volumes[bar.open_ts])

    def last_before(self, ts: int) -> int | None:
        """See ``Tape.last_before``."""
        opened = self._tape.last_before(ts)
        while opened is not None and self._is_out(opened):
            start = min(begun for begun, over in self._holes if begun <= opened < over)
            opened = self._tape.last_before(start - 1)
        return opened

    def _is_out(self, ts: int) -> bool:
        return any(start <= ts < end for start, end in self._holes)

    def _touches(self, start: int, end: int) -> bool:
        return any(begun < end and over > start for begun, over in self._holes) or any(
            start <= opened < end for opened in self._volumes
        )

    def _with_edits(self, bars: Bars) -> Bars:
        kept = np.ones(len(bars), dtype=np.bool_)
        for start, end in self._holes:
            kept &= (bars.open_ts < start) | (bars.open_ts >= end)
        columns = [np.array(column) for column in bars.where(kept).columns()]
        for opened, volume in self._volumes.items():
            columns[5][columns[0] == opened] = volume
        return bars.with_columns(columns)
