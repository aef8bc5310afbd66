"""Bans as one process knows them: from the rows, and from what the others told."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

import structlog

from app.adapters.budget import BanStore
from app.core.ports import Clock

_log = structlog.get_logger(__name__)

# A ban must hold within a second although Redis was flushed: so often the rows are looked at.
_BANS_S: Final = 0.5


class KnownBans:
    """Bans as the rows have them, looked at twice a second at most."""

    def __init__(self, clock: Clock, store: BanStore) -> None:
        self._clock = clock
        self._store = store
        self._known: dict[str, int] = {}
        self._read_at: float | None = None
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def until(self, scope: str) -> int:
        """End of the ban that is known, ms; 0 for none. The past is possible."""
        self._refresh()
        with self._lock:
            return self._known.get(scope, 0)

    def learn(self, scope: str, until_ms: int) -> bool:
        """Note a ban; False if it ends no later than the one that is known."""
        with self._lock:
            if until_ms <= self._known.get(scope, 0):
                return False
            self._known[scope] = until_ms
            return True

    def save(self, scope: str, until_ms: int, reason: str) -> None:
        """Write a ban to the rows."""
        self._store.save_ban(scope, until_ms, reason)

    def _refresh(self) -> None:
        first = self._read_at is None
        if not first and self._clock.monotonic() - (self._read_at or 0.0) < _BANS_S:
            return
        # The first caller must know the bans before it sends; later ones go on with what is
        # known while one of them looks.
        if not self._reading.acquire(blocking=first):
            return
        try:
            if not first or self._read_at is None:
                self._read(first=first)
        finally:
            self._reading.release()

    def _read(self, *, first: bool) -> None:
        try:
            rows = self._store.bans()
        except Exception as error:
            if first:
                raise
            _log.warning("bans_not_read", error=type(error).__name__)
            rows = {}
        for scope, until in rows.items():
            self.learn(scope, until)
        self._read_at = self._clock.monotonic()


class NoBans:
    """No rows: the shared budget knows the bans."""

    def bans(self) -> Mapping[str, int]:
        """None."""
        return {}

    def save_ban(self, scope: str, until_ms: int, reason: str) -> None:
        """Nothing is banned here."""
