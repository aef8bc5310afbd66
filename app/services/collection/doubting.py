"""Stored bars that an answer of the venue's lacks: asked for once more, with what lies around."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.core.market.coverage import CoverageState, Span
from app.services.collection.filling import Answer, Filler
from app.services.collection.target import Ask, Target


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What became of the doubt about some stored bars.

    Attributes:
        lacking: the venue gave a bar before and a bar after, twice without them; ascending.
        came: those that came this time, with the answer that held each.
        silent: how many no answer covers: nothing is said of them.
    """

    lacking: Sequence[int] = ()
    came: Sequence[tuple[Answer, Sequence[int]]] = ()
    silent: int = 0


def look_again(
    filler: Filler, wanted: Target, answer: Answer, doubted: Sequence[int]
) -> SecondLook:
    """Ask once more for stored bars that an answer lacks, from the bar before them to the next.

    A request reaches from there to the present: a page of it holds the next bar that the venue
    has, however long a hole is. One request where the bars around came with the answer.

    Args:
        doubted: open times, ascending.

    Raises:
        VenueError: the venue could not be asked.
    """
    if not doubted or answer.bad:
        return SecondLook(silent=len(doubted))
    times = answer.times
    older = bisect_left(times, doubted[0])
    if older:
        position = times[older - 1]
    elif _has_older(filler, wanted, doubted[0]):
        position = wanted.interval.floor(doubted[0] - 1)
    else:
        # The venue may give its latest bars alone: what lies before the first one it may have had.
        first = times[0] if times else doubted[-1] + 1
        rest = [opened for opened in doubted if opened > first]
        silent = len(doubted) - len(rest)
        found = look_again(filler, wanted, answer, rest) if rest else SecondLook()
        return replace(found, silent=found.silent + silent)
    return _walked(filler, wanted, doubted, position)


def within(answer: Answer, start: int, end: int) -> Answer:
    """The part of an answer of bars that open in [start, end), as if no more had been asked for."""
    before = [Span(0, start, CoverageState.PENDING)] if start > 0 else []
    last = max(end, answer.ask.end) + 1
    cut = answer.outside([*before, Span(end, last, CoverageState.PENDING)])
    first = cut.times[0]
    return replace(cut, ask=Ask(first, end, first, first), position=end, earliest=None)


def _has_older(filler: Filler, wanted: Target, opened: int) -> bool:
    """Whether the venue gives any bar before one: then it has not forgotten what came after."""
    answer = filler.fetch(wanted, Ask(0, opened, 0, 0))
    return bool(answer.times) and not answer.bad


def _walked(filler: Filler, wanted: Target, doubted: Sequence[int], position: int) -> SecondLook:
    closed = filler.closed_end(wanted)
    lacking: list[int] = []
    came: list[tuple[Answer, Sequence[int]]] = []
    rest = list(doubted)
    while rest and position < closed:
        again = filler.fetch(wanted, Ask(position, closed, position, position))
        times = again.times
        if again.bad or not times or times[-1] <= position:
            break
        given = set(times)
        reached = [opened for opened in rest if opened <= times[-1]]
        lacking += [opened for opened in reached if opened not in given]
        if here := [opened for opened in reached if opened in given]:
            came.append((again, here))
        rest = rest[len(reached) :]
        position = times[-1]
    return SecondLook(lacking, came, len(rest))
