"""Dead letters: hints that no worker could take. Rows are the truth, so nothing waits for them."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.errors import Conflict, NotFound
from app.core.ports import DeadLetter, DeadLetters

#: What an installation without a broker says.
NONE_KEPT = (
    "the embedded queue keeps no dead letters: a hint that cannot be taken is logged, and the "
    "sweeper gives it again"
)


class DeadLetterService:
    """Lists, requeues and drops dead letters.

    Args:
        letters: where the broker keeps them; None where there is no broker.
    """

    def __init__(self, letters: DeadLetters | None) -> None:
        self._letters = letters

    @property
    def kept(self) -> bool:
        """Whether this installation keeps dead letters at all."""
        return self._letters is not None

    def all(self) -> list[DeadLetter]:
        """Every dead letter, oldest first.

        Raises:
            Unavailable: the broker cannot be asked.
        """
        return self._letters.all() if self._letters is not None else []

    def requeue(self, ids: Sequence[str] | None) -> list[str]:
        """Put these dead letters back into their queues, or all; the ids of those that went.

        Raises:
            Conflict: this installation keeps none, or the broker did not take some back.
            NotFound: there is none of an id; nothing was done.
            Unavailable: the broker cannot be asked.
        """
        letters = self._broker()
        wanted = self._wanted(letters, ids)
        gone = letters.requeue(wanted)
        if left := len(wanted) - len(set(gone)):
            raise Conflict(
                f"{len(gone)} went back into their queues, and {left} stayed: the broker refused "
                "them or their queue is none of Tidemark's"
            )
        return gone

    def drop(self, ids: Sequence[str] | None) -> list[str]:
        """Delete these dead letters, or all; the ids of those that went.

        Raises:
            Conflict: this installation keeps none.
            NotFound: there is none of an id; nothing was done.
            Unavailable: the broker cannot be asked.
        """
        letters = self._broker()
        return letters.drop(self._wanted(letters, ids))

    def _broker(self) -> DeadLetters:
        if self._letters is None:
            raise Conflict(NONE_KEPT)
        return self._letters

    @staticmethod
    def _wanted(letters: DeadLetters, ids: Sequence[str] | None) -> set[str]:
        known = {letter.id for letter in letters.all()}
        if ids is None:
            return known
        missing = [each for each in ids if each not in known]
        if missing:
            raise NotFound(f"there is no dead letter {missing[0][:40]!r}; nothing was done")
        return set(ids)
