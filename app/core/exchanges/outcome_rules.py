"""The words in which ``outcomes`` is written: what was asked, what came, what it proves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Action(StrEnum):
    """What was asked of the venue."""

    CREATE = "create"
    CANCEL = "cancel"
    QUERY = "query"


class Outcome(StrEnum):
    """What the answer proves about the request."""

    REJECTED = "rejected"
    #: Rejected by a rule that the venue's catalogue states: ours is out of date.
    OUTDATED = "outdated"
    #: Rejected, and so will be everything that is signed with this key.
    KEY_REFUSED = "key_refused"
    RETRY_LATER = "retry_later"
    UNKNOWN = "unknown"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not a success.

    Attributes:
        status: HTTP status.
        code: the venue's error code as text, or None where the body had none.
        text: the venue's error text, or "".
    """

    status: int
    code: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a table; what is None matches anything. The first row that matches decides.

    Attributes:
        status: range of HTTP statuses.
        codes: the venue's codes.
        text: a part of the venue's text, compared without regard to case.
        actions: what was asked.
        why: the reason, for whoever changes the table.
    """

    outcome: Outcome
    why: str
    status: range | None = None
    codes: frozenset[str] | None = None
    text: str | None = None
    actions: frozenset[Action] | None = None

    def matches(self, action: Action, refusal: Refusal) -> bool:
        """Whether the row speaks of this refusal."""
        if self.status is not None and refusal.status not in self.status:
            return False
        if self.codes is not None and refusal.code not in self.codes:
            return False
        if self.actions is not None and action not in self.actions:
            return False
        return self.text is None or self.text in refusal.text.lower()


def codes(*values: int | range) -> frozenset[str]:
    """Codes and ranges of codes, as the text that tables compare."""
    found: set[str] = set()
    for value in values:
        found.update(map(str, value) if isinstance(value, range) else [str(value)])
    return frozenset(found)


ANY_ERROR: Final = range(400, 600)
CLIENT_ERROR: Final = range(400, 500)
SERVER_ERROR: Final = range(500, 600)
TOO_MANY: Final = Rule(
    Outcome.RETRY_LATER, "429 is answered before anything is done", range(429, 430)
)
