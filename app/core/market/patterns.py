"""Patterns of symbols: ``*`` stands for any characters, ``?`` for one, all else for itself."""

from __future__ import annotations

from fnmatch import fnmatchcase


def matches(symbol: str, pattern: str) -> bool:
    """Whether a symbol is one of a pattern; letters in their case.

    A bracket begins no set of characters, as it would for a shell: symbols need none, and one in a
    pattern would match what nobody sees in it.
    """
    return fnmatchcase(symbol, pattern.replace("[", "[[]"))
