"""Which passwords are no secret."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.security.passwords import LEAST_LENGTH, is_weak


@pytest.mark.parametrize(
    "password",
    [
        "",
        "123456",
        "zK4#vv81xQ!",  # eleven characters
        "123456789012",
        "0987654321098",
        "qwertyuiop12",
        "abcdefghijkl",
        "aaaaaaaaaaaaaaaaaaaa",
        "abababababababab",
        "password1234",
        "Tidemark-2026!",
        "tidemarktidemark",
        "CHANGEME-changeme",
        "change-this-please",
        "admin_password_1",
        "tidemark_app",
        "tidemark_app_1",
    ],
)
def test_what_is_short_or_tried_first_is_weak(password: str) -> None:
    assert is_weak(password, "tidemark_app")


@pytest.mark.parametrize(
    "password",
    [
        "c0rrect-h0rse-b4ttery",
        "73920174839201",
        "zK4#vv81xQ!7",
        "5f0c9a527f0e4a6e9b7e0d0c64a3a1de5f0c9a527f0e4a6e",  # as openssl rand -hex 24 makes
    ],
)
def test_what_nobody_tries_is_taken(password: str) -> None:
    assert not is_weak(password, "tidemark_app")


@given(st.text(alphabet=string.printable, max_size=LEAST_LENGTH - 1))
def test_nothing_short_is_taken(password: str) -> None:
    assert is_weak(password)


@given(
    st.lists(st.sampled_from(["tidemark", "admin", "password", "secret"]), min_size=1, max_size=2),
    st.text(alphabet=string.digits + "-_!", max_size=7),
)
def test_words_stay_weak_whatever_stands_between_them(words: list[str], marks: str) -> None:
    assert is_weak(marks.join(words))
