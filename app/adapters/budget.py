"""The request weight of each venue: how callers wait for it, and the count of one process."""

from __future__ import annotations

import abc
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from app.core.exchanges.errors import BudgetExhausted, RateLimited, VenueBanned
from app.core.ports import Clock, Purpose

#: Weight per minute and IP where a venue is not listed.
DEFAULT_WEIGHT: Final = 1200
#: Binance and its futures count weights as we do. OKX counts each endpoint by itself over 2 s;
#: its smallest unit here is a request of which 40 go in 2 s. Bybit allows 600 requests in any
#: 5 s and bans for 10 minutes beyond: 600 in a minute never come near that.
WEIGHTS: Final[Mapping[str, int]] = {
    "binance": 6000,
    "binanceusdm": 2400,
    "okx": 1200,
    "bybit": 600,
}
MINUTE_MS: Final = 60_000
# Data may use 60 % of a minute; orders and queries 80 %; the last 20 % are for cancels.
SHARES: Final[Mapping[Purpose, float]] = {
    Purpose.DATA: 0.6,
    Purpose.ORDER: 0.8,
    Purpose.CANCEL: 1.0,
}
# Waits are cut so that a thread notices weight that ``correct`` gave back.
_LONGEST_NAP_S: Final = 1.0


class BanStore(Protocol):
    """Where bans survive a restart."""

    def bans(self) -> Mapping[str, int]:
        """Bans by venue: the wall time of their end, ms."""
        ...

    def save_ban(self, exchange: str, until_ms: int, reason: str) -> None:
        """Keep a ban; the later end wins."""
        ...


@dataclass(slots=True)
class _Window:
    """One venue's minute.

    Attributes:
        back_off_until: monotonic seconds, so that a clock that is set back prolongs no pause.
        banned_until: wall time, ms, as the row has it.
    """

    minute: int = -1
    used: int = 0
    back_off_until: float = 0.0
    banned_until: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a request may not go yet.

    Attributes:
        ready_at: wall time at which to ask again, ms.
        asked: whether the venue asked to slow down, rather than the minute being used up.
    """

    ready_at: int
    asked: bool


class WaitingBudget(abc.ABC):
    """How a caller waits for weight; subclasses say where it is counted.

    Args:
        sleep: how to wait, seconds.
    """

    def __init__(self, clock: Clock, sleep: Callable[[float], None]) -> None:
        self._clock = clock
        self._sleep = sleep

    @abc.abstractmethod
    def take(self, exchange: str, weight: int, purpose: Purpose) -> Wait | None:
        """Take the weight, or say when to ask again.

        Raises:
            VenueBanned: nothing may be sent.
        """

    def acquire(self, exchange: str, weight: int, purpose: Purpose, timeout: float) -> None:
        """Take ``weight`` from the present minute, waiting up to ``timeout`` seconds.

        Raises:
            BudgetExhausted: no weight within the timeout; carries when to try again.
            RateLimited: the venue asked to slow down for longer than the timeout.
            VenueBanned: the venue banned this IP; carries until when.
        """
        deadline = self._clock.monotonic() + timeout
        while (wait := self.take(exchange, weight, purpose)) is not None:
            wait_ms = max(0, wait.ready_at - self._clock.now_ms())
            left = deadline - self._clock.monotonic()
            if wait_ms / 1000 > left or left <= 0:
                _refuse(exchange, weight, wait, wait_ms)
            # At least a millisecond, so that a clock that stands still cannot spin the loop.
            self._sleep(min(max(wait_ms / 1000, 0.001), _LONGEST_NAP_S))


class InProcessBudget(WaitingBudget):
    """Minute windows of request weight; implements ``RequestBudget``. Safe for threads.

    Binance counts by the minute of its own clock, and its answers say what was used
    (``X-MBX-USED-WEIGHT-1M``), so the window is the wall clock's minute and ``correct`` wins
    wherever the venue has counted more than we have.

    Args:
        weights: weight per minute of each venue; ``DEFAULT_WEIGHT`` for others.
        shares: part of a minute that each purpose may use up.
        sleep: how to wait, seconds.
    """

    def __init__(
        self,
        clock: Clock,
        store: BanStore,
        *,
        weights: Mapping[str, int] = WEIGHTS,
        shares: Mapping[Purpose, float] = SHARES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(clock, sleep)
        self._store = store
        self._weights = weights
        self._shares = shares
        self._lock = threading.Lock()
        self._windows: dict[str, _Window] = {}
        for exchange, until in store.bans().items():
            self._window(exchange).banned_until = until

    def take(self, exchange: str, weight: int, purpose: Purpose) -> Wait | None:
        """Take the weight, or say when to ask again.

        Raises:
            VenueBanned: nothing may be sent.
        """
        with self._lock:
            return self._take(exchange, weight, purpose)

    def correct(self, exchange: str, used_weight: int) -> None:
        """Learn what the venue says was used in the present minute.

        A smaller figure than ours is not believed: requests may be on their way.
        """
        with self._lock:
            window = self._present(exchange)
            window.used = max(window.used, used_weight)

    def back_off(self, exchange: str, until_ms: int) -> None:
        """Send nothing before a wall time. Not persisted."""
        until = self._clock.monotonic() + (until_ms - self._clock.now_ms()) / 1000
        with self._lock:
            window = self._window(exchange)
            window.back_off_until = max(window.back_off_until, until)

    def ban(self, exchange: str, until_ms: int, reason: str) -> None:
        """Stop all traffic to the venue until a wall time; survives a restart."""
        with self._lock:
            window = self._window(exchange)
            if until_ms <= window.banned_until:
                return
            window.banned_until = until_ms
        self._store.save_ban(exchange, until_ms, reason)

    def banned_until(self, exchange: str) -> int | None:
        """End of the ban in force, ms of wall time, or None."""
        with self._lock:
            until = self._window(exchange).banned_until
        return until if until > self._clock.now_ms() else None

    def used(self, exchange: str) -> int:
        """Weight used in the present minute, as far as known."""
        with self._lock:
            return self._present(exchange).used

    def _take(self, exchange: str, weight: int, purpose: Purpose) -> Wait | None:
        window, now = self._present(exchange), self._clock.now_ms()
        if window.banned_until > now:
            raise banned(exchange, window.banned_until, now)
        left = window.back_off_until - self._clock.monotonic()
        if left > 0:
            return Wait(now + math.ceil(left * 1000), asked=True)
        share = share_of(self._weights, self._shares, exchange, purpose)
        # An empty window takes any request, or one that weighs more than its share never goes.
        if window.used and window.used + weight > share:
            return Wait((now // MINUTE_MS + 1) * MINUTE_MS, asked=False)
        window.used += weight
        return None

    def _window(self, exchange: str) -> _Window:
        return self._windows.setdefault(exchange, _Window())

    def _present(self, exchange: str) -> _Window:
        window, minute = self._window(exchange), self._clock.now_ms() // MINUTE_MS
        # A clock corrected by a second must not hand out a fresh minute, nor one that was hours
        # ahead keep this one for hours.
        if minute > window.minute or minute < window.minute - 1:
            window.minute, window.used = minute, 0
        return window


def share_of(
    weights: Mapping[str, int],
    shares: Mapping[Purpose, float],
    exchange: str,
    purpose: Purpose,
) -> int:
    """Weight of a minute up to which a purpose may use it."""
    return int(weights.get(exchange, DEFAULT_WEIGHT) * shares[purpose])


def banned(exchange: str, until_ms: int, now_ms: int) -> VenueBanned:
    """The refusal of a request during a ban."""
    return VenueBanned(
        exchange,
        "nothing is sent until the venue's ban of this address ends",
        until_ms=until_ms,
        retry_after_ms=until_ms - now_ms,
    )


def _refuse(exchange: str, weight: int, wait: Wait, wait_ms: int) -> NoReturn:
    if wait.asked:
        raise RateLimited(exchange, "the venue asked to slow down", retry_after_ms=wait_ms)
    raise BudgetExhausted(
        exchange,
        f"this minute's share leaves no room for a request of weight {weight}",
        retry_at=wait.ready_at,
        retry_after_ms=wait_ms,
    )
