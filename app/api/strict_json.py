"""JSON as the API takes it: RFC 8259 to the letter, and nothing that can be read in two ways."""

from __future__ import annotations

import json
from typing import Any, Final

MAX_DEPTH: Final = 16


class MalformedJson(ValueError):
    """The body is not the JSON that the API takes; the message says why."""


def check(body: bytes) -> None:
    """Refuse what is not strict JSON.

    Refused: other encodings than UTF-8, a byte order mark, ``NaN`` and ``Infinity``, a key given
    twice, more than 16 levels, lone surrogates, integers of thousands of digits.

    Raises:
        MalformedJson: with the reason.
    """
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise MalformedJson("the body begins with a byte order mark; send plain UTF-8")
    try:
        text = body.decode()
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError:
        raise MalformedJson("the body is not UTF-8") from None
    except RecursionError:
        raise MalformedJson(f"the body is nested more than {MAX_DEPTH} levels deep") from None
    except MalformedJson:
        raise
    except ValueError:
        raise MalformedJson("the body is not valid JSON") from None
    _walk(value)


def _no_constant(name: str) -> Any:
    raise MalformedJson(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedJson("a key is given twice in one object")
    return found


def _walk(value: Any) -> None:
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, (dict, list)):
            if depth > MAX_DEPTH:
                raise MalformedJson(f"the body is nested more than {MAX_DEPTH} levels deep")
            if isinstance(item, dict):
                waiting += [(key, depth) for key in item]
                waiting += [(inner, depth + 1) for inner in item.values()]
            else:
                waiting += [(inner, depth + 1) for inner in item]


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise MalformedJson("a text holds half of a surrogate pair") from None
    if "\x00" in text:
        raise MalformedJson("a text holds a NUL character")
