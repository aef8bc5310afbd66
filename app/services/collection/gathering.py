"""Pages of a long back-fill that are stored together.

A transaction's statements cost more than the thousand bars of a page do: with five pages in one,
a bar takes half the CPU time. What is stored together is lost together, so a venue that answers
slowly has each of its pages stored as it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from app.core.errors import TidemarkError
from app.core.market.files.columns import KlineColumns
from app.core.ports import Clock
from app.services.collection.filling import Answer
from app.services.collection.target import Ask, Target

#: A slice begins with one page alone: it shows at once that bars come.
MOST: Final = 5
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


def gathered(
    fetch: Callable[[Target, Ask], Answer], target: Target, ask: Ask, clock: Clock, most: int
) -> Gathered:
    """Ask for a page, and for those behind it as long as they come quickly, full and flawless.

    Args:
        most: pages.

    Raises:
        VenueError: the first page did not come.
    """
    began = clock.monotonic()
    answers = [fetch(target, ask)]
    while (
        len(answers) < most
        and _goes_on(target, answers[-1])
        and clock.monotonic() - began < _LONGEST_S
    ):
        position = answers[-1].position
        behind = Ask(position, ask.end, position, position)
        try:
            answers.append(fetch(target, behind))
        except TidemarkError as error:
            return Gathered(_joined(answers), len(answers), error)
    return Gathered(_joined(answers), len(answers))


def _goes_on(target: Target, answer: Answer) -> bool:
    is_full = isinstance(answer.good, KlineColumns) and len(answer.good) == target.page
    return is_full and not answer.bad and answer.position < answer.ask.end


def _joined(answers: list[Answer]) -> Answer:
    if len(answers) == 1:
        return answers[0]
    first, last = answers[0], answers[-1]
    parts = [
        answer.good if isinstance(answer.good, KlineColumns) else KlineColumns.of_rows(answer.good)
        for answer in answers
    ]
    return replace(first, good=KlineColumns.joined(parts), bad=last.bad, position=last.position)
