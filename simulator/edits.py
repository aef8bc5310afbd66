"""A tape whose bars the venue takes out, puts back and states anew."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import numpy as np

from app.core.errors import InvalidInput
from app.core.market.intervals import Interval
from simulator.bars import Bar, Bars, no_bars
from simulator.tape import Tape

# 2200-01-01T00:00Z: what is later is a unit mixed up, and no calendar goes much further.
_LATEST_MS: Final = 7_258_118_400_000


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
            InvalidInput: the range is empty, or does not lie between 1970 and 2200.
        """
        if start < 0 or end > _LATEST_MS:
            raise InvalidInput(f"from {start} to {end} is no range of times from 1970 to 2200, ms")
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
        parts = []
        at = first
        for begun, over in self._edited(wanted, first, stop):
            parts.append(self._tape.between(wanted, at, begun))
            parts.append(self._made(wanted, begun, over))
            at = over
        parts.append(self._tape.between(wanted, at, stop))
        return _joined(parts)

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

    def shown_from(self, ts: int) -> int:
        """See ``Tape.shown_from``."""
        shown = self._tape.shown_from(ts)
        while self._is_out(shown):
            over = max(over for begun, over in self._holes if begun <= shown < over)
            shown = self._tape.shown_from(over)
        return shown

    def _is_out(self, ts: int) -> bool:
        return any(start <= ts < end for start, end in self._holes)

    def _touches(self, start: int, end: int) -> bool:
        return any(begun < end and over > start for begun, over in self._holes) or any(
            start <= opened < end for opened in self._volumes
        )

    def _edited(self, wanted: Interval, start: int, end: int) -> list[tuple[int, int]]:
        """Ranges of whole bars in [start, end) of which something was edited, ascending, apart."""
        touched = [*self._holes, *((opened, opened + 1) for opened in self._volumes)]
        found: list[tuple[int, int]] = []
        for begun, over in sorted(touched):
            if begun >= end or over <= start:
                continue
            first, stop = wanted.floor(max(begun, start)), wanted.ceil(min(over, end))
            if found and first <= found[-1][1]:
                found[-1] = (found[-1][0], max(stop, found[-1][1]))
            else:
                found.append((first, stop))
        return found

    def _made(self, wanted: Interval, start: int, end: int) -> Bars:
        """Bars of what is left in [start, end); what was taken out is not even looked at."""
        parts = []
        at = start
        for begun, over in sorted(self._holes):
            if begun < end and over > at:
                parts.append(self._tape.between(self.finest, at, max(at, begun)))
                at = min(over, end)
        parts.append(self._tape.between(self.finest, at, end))
        bars = self._revised(_joined(parts))
        return bars if wanted is self.finest or not len(bars) else bars.aggregated(wanted)

    def _revised(self, bars: Bars) -> Bars:
        columns = [np.array(column) for column in bars.columns()]
        for opened, volume in self._volumes.items():
            columns[5][columns[0] == opened] = volume
        return bars.with_columns(columns)


def _joined(parts: list[Bars]) -> Bars:
    """Parts that follow each other; an empty one says nothing of units."""
    filled = [part for part in parts if len(part)]
    return filled[0].joined(*filled[1:]) if filled else no_bars()
