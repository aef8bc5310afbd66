"""Answers that a venue spoils on their way: no JSON, half of it, rows that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import orjson

from simulator.dialects.http import Answer
from simulator.faults import Rule

_HTML: Final = b"<html><head><title>maintenance</title></head><body>Be back soon</body></html>"
# Where the close stands in a row of klines, in every dialect.
_CLOSE: Final = 4
Rows = list[Any]


def garbled(rule: Rule, answer: Answer) -> Answer:
    """The answer as a rule of action ``body`` leaves it.

    A rule's status takes the place of the answer's own; a page of HTML comes with 200 where it
    states none, as from a proxy in between.
    """
    if rule.body == "html":
        status = rule.status or 200
        return replace(answer, status=status, body=_HTML, content_type="text/html")
    return replace(answer, status=rule.status or answer.status, body=_body(rule.body, answer.body))


def _body(kind: str | None, body: bytes) -> bytes:
    if kind == "empty":
        return b""
    if kind == "truncated":
        return body[: len(body) // 2]
    if kind == "duplicate_key":
        return _with_a_key_twice(body)
    decoded = orjson.loads(body)
    change = _OF_ROWS.get(str(kind))
    if change is not None:
        rows = _rows_of(decoded)
        rows[:] = change(rows)
    elif isinstance(decoded, dict):
        decoded |= dict.fromkeys(decoded.keys() & {"orderId", "clientOrderId", "symbol"})
    return orjson.dumps(decoded)


def _with_a_key_twice(body: bytes) -> bytes:
    """The same JSON and one key more, which stands there twice: readers differ on what it is."""
    twice = b'"again":1,"again":2'
    inner = body[1:-1]
    if body.startswith(b"{"):
        return b"{" + twice + (b"," + inner if inner else b"") + b"}"
    return b"[{" + twice + b"}" + (b"," + inner if inner else b"") + b"]"


def _rows_of(decoded: Any) -> Rows:
    """The rows of an answer: it is a list of them, or holds one under ``data`` or ``result``."""
    if isinstance(decoded, list):
        return decoded
    for name in ("data", "result", "list"):
        if isinstance(decoded, dict) and name in decoded:
            return _rows_of(decoded[name])
    return []


def _not_a_number(rows: Rows) -> Rows:
    """The close of the middle row is no number."""
    middle = len(rows) // 2
    return [
        [*row[:_CLOSE], "NaN", *row[_CLOSE + 1 :]] if index == middle else row
        for index, row in enumerate(rows)
    ]


#: What becomes of the rows of an answer, by the name of the body.
_OF_ROWS: Final[dict[str, Callable[[Rows], Rows]]] = {
    "nan": _not_a_number,
    "doubled": lambda rows: [row for row in rows for _ in range(2)],
    "shuffled": lambda rows: [*rows[1::2], *rows[::2]],
    # As of two pages that overlap and were put together.
    "overlapping": lambda rows: [*rows, *rows[len(rows) // 2 :]],
}
