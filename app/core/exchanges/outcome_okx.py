"""What each refusal of OKX proves. Nearly all come with HTTP 200; the code alone decides."""

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

OKX: Final = (
    Rule(
        Outcome.UNKNOWN,
        "timed out or failed half way: documented as neither success nor failure",
        codes=codes(50004, 50026, 51149),
    ),
    TOO_MANY,
    Rule(
        Outcome.RETRY_LATER,
        "too many requests or orders: counted before the order is looked at",
        codes=codes(50011, 50061, 51113),
    ),
    Rule(
        Outcome.RETRY_LATER,
        "maintenance, upgrade, busy, settling: not taken, try again later",
        codes=codes(50001, 50005, 50013, 51029, 51030, 51290),
    ),
    Rule(
        Outcome.RETRY_LATER,
        "the request's time was too old: synchronise, then the same id again",
        codes=codes(50102),
    ),
    Rule(
        Outcome.UNKNOWN,
        "the id is taken: the first order of that id lives and must be asked for",
        codes=codes(51011, 51016),
    ),
    Rule(Outcome.UNKNOWN, "after any other 5xx nothing is proven", SERVER_ERROR),
    Rule(
        Outcome.KEY_REFUSED,
        "key, passphrase, signature, address or permission: refused before anything is done",
        codes=codes(50007, 50008, 50100, 50101, range(50103, 50108), range(50110, 50115))
        | codes(50119, 50120, 50121),
    ),
    Rule(
        Outcome.FINAL,
        "no open order of that id: filled, cancelled, being cancelled or never there",
        codes=codes(51400, 51401, 51402, 51410, 51503, 51603),
        actions=_CANCEL,
    ),
    Rule(
        Outcome.FINAL,
        "no order of that id at this moment",
        codes=codes(51603),
        actions=_QUERY,
    ),
    Rule(
        Outcome.OUTDATED,
        "no such instrument, or suspended, expired, not listed yet",
        codes=codes(51001, 51002, 51015, 51021, 51022, 51027, 51028, 51087),
    ),
    Rule(
        Outcome.OUTDATED,
        "smaller or larger than the instrument allows, or off its lot",
        codes=codes(51007, 51020, 51101, 51105, 51120, 51121),
    ),
    Rule(
        Outcome.REJECTED,
        "a parameter is missing or malformed",
        codes=codes(50000, 50002, 50006, range(50014, 50017), 50024, 50025, 51000, 51003),
    ),
    Rule(
        Outcome.REJECTED,
        "balance or margin does not suffice",
        codes=codes(51008, 51119, 51127, 51131),
    ),
    Rule(
        Outcome.REJECTED,
        "price, size or number of orders is out of a limit that moves with the market",
        codes=codes(51004, 51005, 51006, 51025, 51031, 51102, 51103, 51104, 51106, 51107)
        | codes(range(51108, 51113), range(51115, 51119), 51122, 51124)
        | codes(range(51135, 51139), 51174, 51185, 51201, 51202, 51203),
    ),
    Rule(
        Outcome.REJECTED,
        "the account may not do this",
        codes=codes(50009, 50012, range(50017, 50024), 50027, 50028, 51009, 51010, 51023, 51024)
        | codes(51155, 51205),
    ),
)
