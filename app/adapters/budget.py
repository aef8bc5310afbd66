"""The request weight of each venue and address, counted by one process."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from app.adapters.pacing import Marks, Paces
from app.adapters.waiting import (
    MINUTE_MS,
    SHARES,
    WEIGHTS,
    Reason,
    Wait,
    WaitingBudget,
    banned,
    scope_of,
    share_of,
)
from app.core.ports import OWN, Clock, Purpose


class BanStore(Protocol):
    """Where bans survive a restart. A scope is a venue and an address: see ``scope_of``."""

    def bans(self) -> Mapping[str, int]:
        """Bans of the last day by scope: the wall time of their end, ms; it may have passed."""
        ...

    def save_ban(self, scope: str, until_ms: int, reason: str) -> None:
        """Keep a ban; the later end wins."""
        ...


@dataclass(slots=True)
class _Window:
    """One address's minute at one venue.

    Attributes:
        back_off_until: monotonic seconds, so that a clock that is set back prolongs no pause.
        banned_until: wall time, ms, as the row has it; the past is possible.
        marks: of what is held beside the minute.
    """

    minute: int = -1
    used: int = 0
    back_off_until: float = 0.0
    banned_until: int = 0
    marks: Marks = field(default_factory=Marks)


class InProcessBudget(WaitingBudget):
    """Minute windows of request weight; implements ``RequestBudget``. Safe for threads.

    Binance counts by the minute of its own clock, and its answers say what was used
    (``X-MBX-USED-WEIGHT-1M``), so the window is the wall clock's minute and ``correct`` wins
    wherever the venue has counted more than we have.

    Args:
        weights: weight per minute of each venue; ``DEFAULT_WEIGHT`` for others.
        shares: part of a minute that each purpose may use up.
        paces: what holds a request beside the minute.
        sleep: how to wait, seconds.
    """

    def __init__(
        self,
        clock: Clock,
        store: BanStore,
        *,
        weights: Mapping[str, int] = WEIGHTS,
        shares: Mapping[Purpose, float] = SHARES,
        paces: Paces | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(clock, weights, sleep)
        self._store = store
        self._shares = shares
        self._paces = paces or Paces()
        self._lock = threading.Lock()
        self._windows: dict[str, _Window] = {}
        for scope, until in store.bans().items():
            self._window(scope).banned_until = until

    def take(self, exchange: str, weight: int, purpose: Purpose, address: str = OWN) -> Wait | None:
        """Take the weight, or say when to ask again.

        Raises:
            VenueBanned: nothing may be sent.
        """
        with self._lock:
            window, now = self._present(scope_of(exchange, address)), self._clock.now_ms()
            if window.banned_until > now:
                raise banned(exchange, window.banned_until, now)
            left = window.back_off_until - self._clock.monotonic()
            if left > 0:
                return Wait(now + math.ceil(left * 1000), Reason.ASKED)
            share = share_of(self._weights, self._shares, exchange, purpose)
            # An empty window takes any request, or one that weighs more than its share never goes.
            if window.used and window.used + weight > share:
                return Wait((now // MINUTE_MS + 1) * MINUTE_MS, Reason.MINUTE)
            pace = self._paces.of(exchange, weight, purpose, window.banned_until, now)
            short_at, polite_at = window.marks.ready_at(pace, now)
            if max(short_at, polite_at) > now:
                reason = Reason.SHORT if short_at > polite_at else Reason.POLITE
                return Wait(max(short_at, polite_at), reason)
            window.marks.take(pace, now)
            window.used += weight
            return None

    def correct(self, exchange: str, used_weight: int, address: str = OWN) -> None:
        """Learn what the venue says was used in the present minute.

        A smaller figure than ours is not believed: requests may be on their way.
        """
        with self._lock:
            window = self._present(scope_of(exchange, address))
            window.used = max(window.used, used_weight)

    def back_off(self, exchange: str, until_ms: int, address: str = OWN) -> None:
        """Send nothing before a wall time. Not persisted."""
        until = self._clock.monotonic() + (until_ms - self._clock.now_ms()) / 1000
        with self._lock:
            window = self._window(scope_of(exchange, address))
            window.back_off_until = max(window.back_off_until, until)

    def ban(self, exchange: str, until_ms: int, reason: str, address: str = OWN) -> None:
        """Stop all traffic of an address to the venue until a wall time; survives a restart."""
        scope = scope_of(exchange, address)
        with self._lock:
            window = self._window(scope)
            if until_ms <= window.banned_until:
                return
            window.banned_until = until_ms
        self._store.save_ban(scope, until_ms, reason)

    def banned_until(self, exchange: str, address: str = OWN) -> int | None:
        """End of the ban in force, ms of wall time, or None."""
        with self._lock:
            until = self._window(scope_of(exchange, address)).banned_until
        return until if until > self._clock.now_ms() else None

    def polite_until(self, exchange: str, address: str = OWN) -> int:
        """Until when an address is treated gently, ms of wall time; the past is possible."""
        with self._lock:
            until = self._window(scope_of(exchange, address)).banned_until
        return self._paces.gentle_until(exchange, until)

    def used(self, exchange: str, address: str = OWN) -> int:
        """Weight used in the present minute, as far as known."""
        with self._lock:
            return self._present(scope_of(exchange, address)).used

    def _window(self, scope: str) -> _Window:
        return self._windows.setdefault(scope, _Window())

    def _present(self, scope: str) -> _Window:
        window, minute = self._window(scope), self._clock.now_ms() // MINUTE_MS
        # A clock corrected by a second must not hand out a fresh minute, nor one that was hours
        # ahead keep this one for hours.
        if minute > window.minute or minute < window.minute - 1:
            window.minute, window.used = minute, 0
        return window
