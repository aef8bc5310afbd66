"""What each refusal of Bybit proves. Nearly all come with HTTP 200; ``retCode`` decides."""

from __future__ import annotations

from typing import Final

from app.core.exchanges.outcome_rules import (
    SERVER_ERROR,
    TOO_MANY,
    Action,
    Outcome,
    Rule,
    codes,
)

_CANCEL: Final = frozenset({Action.CANCEL})
_QUERY: Final = frozenset({Action.QUERY})

BYBIT: Final = (
    TOO_MANY,
    Rule(
        Outcome.RETRY_LATER,
        "403: this address asked too often and is banned for 10 minutes",
        range(403, 404),
    ),
    Rule(Outcome.UNKNOWN, "after a 5xx nothing is proven", SERVER_ERROR),
    Rule(
        Outcome.UNKNOWN,
        "server timeout, system error, network error, timeout of a creation or cancellation",
        codes=codes(5004, 10000, 10016, 170007, 170032, 170146, 170147),
    ),
    Rule(
        Outcome.RETRY_LATER,
        "too many requests or orders: counted before the order is looked at",
        codes=codes(429, 10006, 10018, 170005, 170222),
    ),
    Rule(
        Outcome.RETRY_LATER,
        "the request's time was outside recv_window: synchronise, then the same id again",
        codes=codes(10002),
    ),
    Rule(
        Outcome.UNKNOWN,
        "the id is taken: the first order of that id lives and must be asked for",
        codes=codes(10014, 12141, 110030, 110072, 170141),
    ),
    Rule(
        Outcome.KEY_REFUSED,
        "key, signature, address or permission: refused before anything is done",
        codes=codes(10003, 10004, 10005, 10007, 10008, 10009, 10010, 10027, 33004),
    ),
    Rule(
        Outcome.FINAL,
        "no open order of that id: filled, cancelled or never there; the query tells which",
        codes=codes(110001, 110008, 110010, 170139, 170142, 170143, 170190, 170213),
        actions=_CANCEL,
    ),
    Rule(
        Outcome.FINAL,
        "no order of that id at this moment",
        codes=codes(110001, 170213),
        actions=_QUERY,
    ),
    *(
        Rule(Outcome.OUTDATED, "no such symbol", codes=codes(10001), text=text)
        for text in ("symbol invalid", "symbol is invalid", "not supported symbols")
    ),
    Rule(
        Outcome.OUTDATED,
        "smaller or larger than the instrument allows, off its steps, or not open",
        codes=codes(12137, 110094, 170121, 170124, range(170132, 170138), 170140, 170148)
        | codes(170151, 170157),
    ),
    Rule(
        Outcome.REJECTED,
        "a parameter is missing or malformed",
        codes=codes(7001, 10001, 10017, 170105, range(170115, 170118), 170130, 170202),
    ),
    Rule(
        Outcome.REJECTED,
        "balance or margin does not suffice",
        codes=codes(110004, 110006, 110007, 110012, 110014, 110044, 110045)
        | codes(range(110051, 110054), 170033, 170034, 170131),
    ),
    Rule(
        Outcome.REJECTED,
        "price, size or number of orders is out of a limit that moves with the market",
        codes=codes(110003, 110009, 110011, 110016, 110017, range(110020, 110024), 110092)
        | codes(110093, range(170192, 170195), range(170197, 170201), 170210, 170217, 170218)
        | codes(170371, 170372),
    ),
    Rule(
        Outcome.REJECTED,
        "the account may not do this",
        codes=codes(10020, 10024, 10028, 10029, 100028, 110066, 110068, 110069, 170201, 170209),
    ),
)
