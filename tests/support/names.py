"""This process's resolver, which a story may let swallow."""

from __future__ import annotations

import socket
import threading
from typing import Any, Final

import pytest

#: The one name that a simulator, which is on loopback, can have.
NAME: Final = "localhost"


class SwallowingResolver:
    """Looks names up; told to swallow, it lets a lookup wait and fail as the C library does.

    Attributes:
        refused: lookups that were given up.
        waiting: set while a lookup waits.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._lookup = socket.getaddrinfo
        self._answers = threading.Event()
        self._answers.set()
        self._patience_s = 0.0
        self.waiting = threading.Event()
        self.refused = 0
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)

    def swallow(self, patience_s: float = 0.02) -> None:
        """From now on no answer comes, and a lookup is given up after so many seconds."""
        self._patience_s = patience_s
        self._answers.clear()

    def answer(self) -> None:
        """From now on answers come, to those who wait as well."""
        self._answers.set()

    def _getaddrinfo(self, host: Any, *given: Any, **named: Any) -> Any:
        if host != NAME:
            return self._lookup(host, *given, **named)
        if not self._answers.is_set():
            self.waiting.set()
            if not self._answers.wait(self._patience_s):
                self.refused += 1
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            self.waiting.clear()
        # Where a simulator listens; ::1 is another place.
        return self._lookup("127.0.0.1", *given, **named)
