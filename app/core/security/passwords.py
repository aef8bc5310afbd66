"""Which passwords are no secret: short ones, and those that everybody tries first."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

#: Twelve random letters and digits hold 71 bits.
LEAST_LENGTH: Final = 12
# Names of the service, of its servers and of those who run them, and words that stand for one.
_WORDS: Final = (
    *("tidemark", "guest", "root", "admin", "administrator", "user", "default", "test", "demo"),
    *("password", "passwd", "pass", "secret", "changeme", "change", "changethis", "this", "me"),
    *("letmein", "welcome", "login", "hello", "iloveyou", "monkey", "dragon", "trading", "app"),
    *("mysql", "mariadb", "rabbitmq", "rabbit", "redis", "database", "broker", "please", "my"),
)
_ONLY_WORDS: Final = re.compile(f"(?:{'|'.join(_WORDS)})+")
_LETTER: Final = re.compile(r"[a-z]")
_NO_LETTER: Final = re.compile(r"[^a-z]")
# What fingers write by walking; forwards and backwards, and over again.
_ROWS: Final = ("12345678901", "qwertyuiop", "asdfghjkl", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz")
_STEPS: Final = frozenset(
    pair for row in _ROWS for way in (row, row[::-1]) for pair in map("".join, pairwise(way))
)
_WALK: Final = 5
_LEAST_DIFFERENT: Final = 5
# Beside words and rows there must be so much that neither explains.
_LEAST_OWN: Final = 8


def is_weak(password: str, *names: str) -> bool:
    """Whether a password is short, or one that is guessed: words with digits, rows of keys.

    Args:
        names: that are known to whoever guesses, such as the user's.
    """
    own = password.lower()
    if len(password) < LEAST_LENGTH or len(set(own)) < _LEAST_DIFFERENT:
        return True
    for name in names:
        own = own.replace(name.lower(), "") if name else own
    own = _without_rows(own)
    if _ONLY_WORDS.fullmatch(_NO_LETTER.sub("", own)):
        own = _LETTER.sub("", own)
    return len(own) < _LEAST_OWN


def _without_rows(text: str) -> str:
    """A text without runs of at least five neighbours on a keyboard."""
    kept, run = "", text[:1]
    for before, after in pairwise(text):
        if before + after in _STEPS:
            run += after
            continue
        kept, run = kept + (run if len(run) < _WALK else ""), after
    return kept + (run if len(run) < _WALK else "")
