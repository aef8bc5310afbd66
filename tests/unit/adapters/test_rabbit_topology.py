"""What a task's message must look like, and what the broker is told of its users."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.celery_queue import PREFETCH, prefetch_of
from app.adapters.rabbit_topology import MAX_TASK_BODY, QUEUES, MalformedHint, read_hint, task_queue
from deploy.rabbitmq import render

SEND = {"task": "orders.send", "id": "1"}


def body(document: Any) -> bytes:
    return json.dumps(document).encode()


@given(st.lists(st.text(max_size=50), max_size=5))
def test_a_name_and_ids_are_a_task(ids: list[str]) -> None:
    message = body([ids, {}, {"callbacks": None}])
    assert read_hint("application/json", "utf-8", SEND, message).ids == tuple(ids)


@pytest.mark.parametrize(
    ("content_type", "encoding", "headers", "text", "fault"),
    [
        ("application/x-python-serialize", "binary", SEND, b"", "content type"),
        (None, None, SEND, body([[], {}, {}]), "content type"),
        ("application/json", "utf-16", SEND, body([[], {}, {}]), "encoding"),
        ("application/json", "utf-8", {}, body([[], {}, {}]), "names no task"),
        ("application/json", "utf-8", None, body([[], {}, {}]), "names no task"),
        ("application/json", "utf-8", {"task": 7}, body([[], {}, {}]), "names no task"),
        ("application/json", "utf-8", SEND, b"{", "not JSON"),
        ("application/json", "utf-8", SEND, b"[" * 10_000, "not JSON"),
        ("application/json", "utf-8", SEND, body({"a": 1}), "not a task's arguments"),
        ("application/json", "utf-8", SEND, body([{}, {}, {}]), "not a list of ids"),
        ("application/json", "utf-8", SEND, body([[], {"a": "b"}, {}]), "not a list of ids"),
        ("application/json", "utf-8", SEND, body([[["a"]], {}, {}]), "not ids"),
        ("application/json", "utf-8", SEND, body([["x" * 201], {}, {}]), "not ids"),
        ("application/json", "utf-8", SEND, b" " * (MAX_TASK_BODY + 1), "more than"),
    ],
)
def test_anything_else_is_none(
    content_type: Any, encoding: Any, headers: Any, text: bytes, fault: str
) -> None:
    with pytest.raises(MalformedHint, match=fault):
        read_hint(content_type, encoding, headers, text)


def test_celery_is_given_the_headers_of_a_hint_and_no_others() -> None:
    headers = {**SEND, "eta": "never", "timelimit": "x", "retries": "y", "origin": ["z"]}
    hint = read_hint("application/json", "utf-8", headers, body([["a"], {}, {}]))
    assert set(hint.headers()) == {
        *("lang", "task", "id", "root_id", "parent_id"),
        *("argsrepr", "kwargsrepr", "origin", "ignore_result", "retries"),
    }
    assert (hint.headers()["retries"], hint.headers()["origin"]) == (0, "")


def test_every_queue_keeps_what_it_refuses_and_is_bounded() -> None:
    for name in QUEUES:
        arguments = task_queue(name).queue_arguments
        assert arguments["x-dead-letter-exchange"] == "tidemark.dead"
        assert arguments["x-dead-letter-strategy"] == "at-least-once"
        assert arguments["x-overflow"] == "reject-publish"  # without it the strategy is void
        assert name in PREFETCH
    assert prefetch_of({"maintenance", "backtests"}) == 1
    assert prefetch_of({"maintenance", "alerts"}) == 4
    assert prefetch_of(set()) == 1


def test_passwords_are_salted_and_never_in_the_definitions(tmp_path: Path) -> None:
    passwords = {"tidemark_app": "a" * 32, "tidemark_flower": "f" * 32}
    path = tmp_path / "definitions.json"
    render.write(path, passwords)
    text = path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert not any(password in text for password in passwords.values())
    document = json.loads(text)
    assert {user["name"] for user in document["users"]} == set(passwords)
    for user in document["users"]:
        kept = base64.b64decode(user["password_hash"])
        digest = hashlib.sha256(kept[:4] + passwords[user["name"]].encode()).digest()
        assert kept[4:] == digest
    assert {each["vhost"] for each in document["permissions"]} == {"tidemark"}


@pytest.mark.parametrize("passwords", [{}, {"tidemark_app": "a" * 32}, {"tidemark_app": "short"}])
def test_a_missing_or_short_password_is_refused(passwords: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="needs a password"):
        render.definitions(passwords)
