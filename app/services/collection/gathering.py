"""Pages of a long back-fill that are checked and stored together.

A transaction's statements, and Arrow's calls, cost as much as the thousand bars of a page do: with
ten pages at once a bar takes half the CPU time. What is stored together is lost together, so a
venue that answers slowly has each of its pages stored as it comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.core.errors import TidemarkError
from app.core.market.files.columns import KlineColumns
from app.core.ports import Clock
from app.services.collection.filling import Answer, Filler, is_many
from app.services.collection.target import Ask, Target

#: A slice begins with one page alone: it shows at once that bars come.
MOST: Final = 10
_LONGEST_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Gathered:
    """What came.

    Attributes:
        answer: the pages as one.
        pages: how many.
        error: why the next one did not come; it is to be raised once these are stored.
    """

    answer: Answer
    pages: int
    error: TidemarkError | None = None


def gathered(filler: Filler, target: Target, ask: Ask, clock: Clock, most: int) -> Gathered:
    """Ask for a page, and for those behind it as long as they come quickly, full and in order.

    Args:
        most: pages.

    Raises:
        VenueError: the first page did not come.
    """
    if not is_many(target, ask):
        return Gathered(filler.fetch(target, ask), 1)
    began = clock.monotonic()
    pages = [filler.stated(target, ask)]
    error = None
    start = ask.start
    while len(pages) < most and clock.monotonic() - began < _LONGEST_S:
        if not _is_full(target, pages[-1], start, ask.end):
            break
        start = target.interval.next(int(pages[-1].open_ts[-1]))
        try:
            pages.append(filler.stated(target, Ask(start, ask.end, start, start)))
        except TidemarkError as failed:
            error = failed
            break
    answer = filler.sorted_out(target, ask, KlineColumns.joined(pages))
    return Gathered(answer, len(pages), error)


def _is_full(target: Target, page: KlineColumns, start: int, end: int) -> bool:
    """Whether more is behind a page, and its times are such that one can go on by the last."""
    times = page.open_ts
    if len(times) != target.page or not bool(np.all(times[1:] > times[:-1])):
        return False
    last = int(times[-1])
    is_inside = int(times[0]) >= start and target.interval.next(last) < end
    return is_inside and target.interval.floor(last) == last
