"""JSON as the API takes it."""

from __future__ import annotations

import pytest

from app.api.strict_json import MAX_DEPTH, MalformedJson, check


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        '{"a": {"a": 1}, "b": [1.5, -0, 1e400, "é", "\\u00e9", "\\ud83d\\ude00"]}',
        "[" * MAX_DEPTH + "]" * MAX_DEPTH,
        ' {"a" : 1} \n',
    ],
)
def test_strict_json_passes(text: str) -> None:
    check(text.encode())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not valid"),
        (b"{", "not valid"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": {"b": 1, "b": 1}}', "twice"),
        (b'{"a": 1, "\\u0061": 2}', "twice"),
        (b'["\\udc00"]', "surrogate"),
        (b'{"\\udc00": 1}', "surrogate"),
        (b'["\\u0000"]', "NUL"),
        (b'["\xc3("]', "UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ('{"a": 1}'.encode("utf-16-le"), "not valid"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "levels"),
        (b"[" * 60_000, "levels"),
        (b"1" * 10_000, "not valid"),
    ],
)
def test_anything_else_is_refused_with_a_reason(body: bytes, why: str) -> None:
    with pytest.raises(MalformedJson, match=why):
        check(body)
