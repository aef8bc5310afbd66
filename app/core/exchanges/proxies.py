"""Proxies as a person writes them: a list of URLs, each with a name that may be shown."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from app.core.errors import InvalidInput

# A name is part of keys and rows, and so never holds what separates their parts.
_NAME: Final = re.compile(r"[A-Za-z0-9.:_\[\]-]{1,60}")
_HOW: Final = "http://user:password@host:port"


def named_proxies(text: str) -> dict[str, str]:
    """URL of each proxy by its name, in the order of the list.

    Args:
        text: URLs, separated by commas or spaces. A proxy is named by its host and port, or by
            what follows a ``#``: ``http://user:password@host:port#name``.

    Raises:
        InvalidInput: a URL is malformed, or a name is not unique. URLs are not shown: they may
            hold passwords.
    """
    found: dict[str, str] = {}
    for number, given in enumerate(text.replace(",", " ").split(), 1):
        parts = _parts(number, given)
        name = parts.fragment or parts.netloc.rpartition("@")[2]
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"proxy {number} of the list needs a short name of letters, digits, dots and "
                f"dashes behind it: {_HOW}#name"
            )
        if name in found:
            raise InvalidInput(
                f"two proxies of the list are named {name}; name each behind a #: {_HOW}#first"
            )
        found[name] = parts._replace(fragment="", path="").geturl()
    return found


def _parts(number: int, given: str) -> SplitResult:
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError:
        port = None
    if (
        port is None
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.path not in ("", "/")
        or parts.query
    ):
        raise InvalidInput(
            f"proxy {number} of the list is not like {_HOW}; write special characters of a "
            "password as %40, %2F and so on"
        )
    return parts
