"""What each refusal of a venue proves, as data.

ccxt's exception classes are not fit for this: a duplicate order (which means that the first one
lives) and a wrong price are both ``InvalidOrder``; a busy server that refused and one that
timed out half way are both ``OperationFailed``. So the tables read the HTTP status, the venue's
code and its text. What no row proves is UNKNOWN.
"""

from __future__ import annotations

from typing import Final

from app.core.exchanges.outcome_bybit import BYBIT
from app.core.exchanges.outcome_okx import OKX
from app.core.exchanges.outcome_rules import (
    ANY_ERROR,
    CLIENT_ERROR,
    SERVER_ERROR,
    TOO_MANY,
    Action,
    Outcome,
    Refusal,
    Rule,
    codes,
)

__all__ = ["TABLES", "Action", "Outcome", "Refusal", "Rule", "outcome"]

BINANCE: Final = (
    TOO_MANY,
    Rule(Outcome.RETRY_LATER, "a ban", range(418, 419)),
    Rule(Outcome.UNKNOWN, "-1007 says so: send status unknown", codes=codes(-1007)),
    Rule(
        Outcome.RETRY_LATER,
        "-1008 server overloaded: documented as never executed",
        ANY_ERROR,
        codes(-1008),
    ),
    Rule(
        Outcome.UNKNOWN,
        "documented: after any other 5xx the execution status is unknown",
        SERVER_ERROR,
    ),
    Rule(
        Outcome.RETRY_LATER,
        "too many requests or orders: counted before the order is looked at",
        CLIENT_ERROR,
        codes(-1003, -1015, -1034),
    ),
    Rule(
        Outcome.RETRY_LATER,
        "the request's time was outside recvWindow: synchronise, then the same id again",
        CLIENT_ERROR,
        codes(-1021),
    ),
    Rule(
        Outcome.UNKNOWN,
        "the id is taken: the first order of that id lives and must be asked for",
        codes=codes(-2010),
        text="duplicate order",
    ),
    *(
        Rule(Outcome.OUTDATED, "closed, as exchangeInfo states", CLIENT_ERROR, codes(-2010), text)
        for text in ("market is closed", "trading is not enabled")
    ),
    Rule(Outcome.REJECTED, "refused by the matching engine", CLIENT_ERROR, codes(-2010)),
    Rule(
        Outcome.FINAL,
        "no open order of that id: filled, cancelled or never there; the query tells which",
        CLIENT_ERROR,
        codes(-2011, -2013),
        actions=frozenset({Action.CANCEL}),
    ),
    Rule(
        Outcome.FINAL,
        "no order of that id at this moment",
        CLIENT_ERROR,
        codes(-2013),
        actions=frozenset({Action.QUERY}),
    ),
    Rule(
        Outcome.KEY_REFUSED,
        "key, signature or permission: refused before the order is looked at",
        CLIENT_ERROR,
        codes(-1002, -1022, -2014, -2015, -2017),
    ),
    Rule(
        Outcome.OUTDATED,
        "filter, closed market, precision, symbol: all stated by exchangeInfo",
        CLIENT_ERROR,
        codes(-1013, -1111, -1121),
    ),
    Rule(
        Outcome.REJECTED,
        "order type refused: unsupported combination",
        CLIENT_ERROR,
        codes(-1014, -1016, -1020),
    ),
    Rule(
        Outcome.REJECTED,
        "the -11xx family: a parameter is missing, malformed, too long or not known",
        CLIENT_ERROR,
        codes(range(-1199, -1099)),
    ),
    Rule(Outcome.REJECTED, "archived long ago", CLIENT_ERROR, codes(-2026)),
)

BINANCE_USDM: Final = (
    Rule(
        Outcome.UNKNOWN,
        "the id is taken: the first order of that id lives and must be asked for",
        codes=codes(-4116),
    ),
    Rule(
        Outcome.OUTDATED,
        "below the smallest value, or off the step of price or quantity",
        CLIENT_ERROR,
        codes(-4003, -4004, -4005, -4013, -4014, -4016, -4023, -4164),
    ),
    Rule(
        Outcome.REJECTED,
        "margin, reduce-only, post-only, price band, trigger that is passed already",
        CLIENT_ERROR,
        codes(-2018, -2019, -2021, -2022, -2027, -2028, -4131, -5021, -5022),
    ),
    *BINANCE,
)

#: What is true of every venue.
UNLISTED: Final = (TOO_MANY,)

TABLES: Final[dict[str, tuple[Rule, ...]]] = {
    "binance": BINANCE,
    "binanceusdm": BINANCE_USDM,
    "okx": OKX,
    "bybit": BYBIT,
}


def outcome(exchange: str, action: Action, refusal: Refusal) -> Outcome:
    """What ``refusal`` proves; UNKNOWN unless the venue's table has a row for it."""
    for rule in TABLES.get(exchange, UNLISTED):
        if rule.matches(action, refusal):
            return rule.outcome
    return Outcome.UNKNOWN
