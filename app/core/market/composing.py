"""Which of several stored series each bar of an interval comes of.

The series are ordered, the best first. Each holds the bars that lie wholly between its first
stored bar and its last, holes included; a bar comes of the first series that holds it. So the best
one is read where it has bars, and the next ones before it, after it and between, and no bar is
made of two of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.core.market.intervals import Interval

#: Behind every time that a bar opens at.
FOREVER: Final = (1 << 63) - 1


class Stretch(NamedTuple):
    """Bars that open in [start, end), ms, and come of the series at this place of the order."""

    place: int
    start: int
    end: int


class Origin(NamedTuple):
    """A stretch as it was read: of which series, and how often its past had changed by then."""

    series_id: int
    past_version: int
    start: int
    end: int


def whole_bars(wanted: Interval, first: int, stop: int, offset_ms: int) -> tuple[int, int] | None:
    """Where the bars of an interval open that lie wholly in [first, stop), half open.

    Args:
        first, stop: ms.
        offset_ms: the venue's grid offset.

    Returns:
        None where there is none.
    """
    begin, end = wanted.ceil(first, offset_ms), wanted.floor(stop, offset_ms)
    return (begin, end) if begin < end else None


def stretches(held: Sequence[tuple[int, int] | None], start: int, end: int) -> list[Stretch]:
    """The parts of [start, end) that any series holds, ascending and apart.

    Args:
        held: where the bars open that each series holds, half open, the best series first; None
            where it holds none.
    """
    found: list[Stretch] = []
    for place, each in enumerate(held):
        if each is None:
            continue
        position, stop = max(each[0], start), min(each[1], end)
        free = []
        for taken in found:
            if position < min(taken.start, stop):
                free.append(Stretch(place, position, min(taken.start, stop)))
            position = max(position, taken.end)
        if position < stop:
            free.append(Stretch(place, position, stop))
        found = sorted([*found, *free], key=lambda one: one.start)
    return found


def holes(parts: Sequence[Stretch], start: int, end: int) -> list[tuple[int, int]]:
    """The parts of [start, end) that no stretch spans.

    Args:
        parts: as ``stretches`` gives them for that range.
    """
    ends = [start, *(part.end for part in parts)]
    begins = [*(part.start for part in parts), end]
    return [(one, other) for one, other in zip(ends, begins, strict=True) if one < other]


def same_to(before: Sequence[Origin], after: Sequence[Origin]) -> int:
    """Up to when bars that were read are as they were, though series grew or changed since.

    Args:
        before: what was read, ascending.
        after: what the same range comes of now.

    Returns:
        A time in ms: bars that open before it are the same; of later ones nothing is said.
    """
    for old, new in zip(before, after, strict=False):
        if old[:3] != new[:3]:
            return min(old.start, new.start)
        if old.end != new.end:
            return min(old.end, new.end)
    more = [*before[len(after) :], *after[len(before) :]]
    return more[0].start if more else FOREVER
