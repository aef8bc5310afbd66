"""What each refusal of a venue proves, as data.

ccxt's exception classes are not fit for this: a duplicate order (which means that the first one
lives) and a wrong price are both ``InvalidOrder``; a busy server that refused and one that
timed out half way are both ``OperationFailed``. So the tables read the HTTP status, the venue's
code and its text. What no row proves is UNKNOWN.
"""

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


def _codes(*values: int | range) -> frozenset[str]:
    found: set[str] = set()
    for value in values:
        found.update(map(str, value) if isinstance(value, range) else [str(value)])
    return frozenset(found)


_ANY_ERROR: Final = range(400, 600)
_CLIENT_ERROR: Final = range(400, 500)
_SERVER_ERROR: Final = range(500, 600)

BINANCE: Final = (
    Rule(Outcome.RETRY_LATER, "429 and 418 are answered before anything is done", range(429, 430)),
    Rule(Outcome.RETRY_LATER, "a ban", range(418, 419)),
    Rule(Outcome.UNKNOWN, "-1007 says so: send status unknown", codes=_codes(-1007)),
    Rule(
        Outcome.RETRY_LATER,
        "-1008 server overloaded: documented as never executed",
        _ANY_ERROR,
        _codes(-1008),
    ),
    Rule(
        Outcome.UNKNOWN,
        "documented: after any other 5xx the execution status is unknown",
        _SERVER_ERROR,
    ),
    Rule(
        Outcome.RETRY_LATER,
        "too many requests or orders: counted before the order is looked at",
        _CLIENT_ERROR,
        _codes(-1003, -1015, -1034),
    ),
    Rule(
        Outcome.RETRY_LATER,
        "the request's time was outside recvWindow: synchronise, then the same id again",
        _CLIENT_ERROR,
        _codes(-1021),
    ),
    Rule(
        Outcome.UNKNOWN,
        "the id is taken: the first order of that id lives and must be asked for",
        codes=_codes(-2010),
        text="duplicate order",
    ),
    *(
        Rule(Outcome.OUTDATED, "closed, as exchangeInfo states", _CLIENT_ERROR, _codes(-2010), text)
        for text in ("market is closed", "trading is not enabled")
    ),
    Rule(Outcome.REJECTED, "refused by the matching engine", _CLIENT_ERROR, _codes(-2010)),
    Rule(
        Outcome.FINAL,
        "no open order of that id: filled, cancelled or never there; the query tells which",
        _CLIENT_ERROR,
        _codes(-2011, -2013),
        actions=frozenset({Action.CANCEL}),
    ),
    Rule(
        Outcome.FINAL,
        "no order of that id at this moment",
        _CLIENT_ERROR,
        _codes(-2013),
        actions=frozenset({Action.QUERY}),
    ),
    Rule(
        Outcome.KEY_REFUSED,
        "key, signature or permission: refused before the order is looked at",
        _CLIENT_ERROR,
        _codes(-1002, -1022, -2014, -2015, -2017),
    ),
    Rule(
        Outcome.OUTDATED,
        "filter, closed market, precision, symbol: all stated by exchangeInfo",
        _CLIENT_ERROR,
        _codes(-1013, -1111, -1121),
    ),
    Rule(
        Outcome.REJECTED,
        "order type refused: unsupported combination",
        _CLIENT_ERROR,
        _codes(-1014, -1016, -1020),
    ),
    Rule(
        Outcome.REJECTED,
        "the -11xx family: a parameter is missing, malformed, too long or not known",
        _CLIENT_ERROR,
        _codes(range(-1199, -1099)),
    ),
    Rule(Outcome.REJECTED, "archived long ago", _CLIENT_ERROR, _codes(-2026)),
)

TABLES: Final[dict[str, tuple[Rule, ...]]] = {"binance": BINANCE}


def outcome(exchange: str, action: Action, refusal: Refusal) -> Outcome:
    """What ``refusal`` proves; UNKNOWN unless the venue's table has a row for it."""
    for rule in TABLES.get(exchange, ()):
        if rule.matches(action, refusal):
            return rule.outcome
    return Outcome.UNKNOWN
