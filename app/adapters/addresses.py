"""The addresses by which market data are asked for, and which of the proxies can be reached."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from app.core.ports import OWN, Clock

#: A proxy that is not reached rests so long, then twice as long each time, up to the second.
FIRST_PAUSE_S: Final = 30.0
LONGEST_PAUSE_S: Final = 600.0
# A venue that is slow or down takes answers away from every proxy; a proxy that was reached is
# blamed for the third in a row alone.
_LOST_IN_A_ROW: Final = 3
# The one request that finds out whether a proxy is back may wait 5 s and take 10 s; until then
# no other goes by it, unless that one was never sent.
_TRIAL_S: Final = 20.0


class ProxyWatcher(Protocol):
    """Who is told how the proxies are; the same may be told more than once."""

    def went_away(self, name: str) -> None:
        """A proxy cannot be reached."""
        ...

    def came_back(self, name: str) -> None:
        """A proxy works."""
        ...


@dataclass(slots=True)
class _Health:
    """How a proxy is, as this process knows it.

    Attributes:
        is_known: whether it worked or failed once, and that was told.
        lost: answers in a row that did not come whole.
        pause_s: of the present rest; 0 where it can be reached.
        retry_at: monotonic seconds at which it may be tried.
        is_tried: whether a request is out that finds out.
    """

    is_known: bool = False
    lost: int = 0
    pause_s: float = 0.0
    retry_at: float = 0.0
    is_tried: bool = False


class AddressPool:
    """The own address and some proxies; implements ``Addresses``. Safe for threads.

    Each process finds out for itself whether a proxy can be reached: that costs it one request,
    which is then sent by another address.

    Args:
        proxies: URL of each by its name.
    """

    def __init__(self, proxies: Mapping[str, str], clock: Clock, watcher: ProxyWatcher) -> None:
        self._proxies = dict(proxies)
        self._clock = clock
        self._watcher = watcher
        self._lock = threading.Lock()
        self._health = {name: _Health() for name in proxies}

    def all(self) -> list[str]:
        """Every name, whether or not it can be reached."""
        return [OWN, *self._proxies]

    def offered(self) -> list[str]:
        """Names to choose from: the own address, and the proxies that can be reached.

        One that could not be reached is offered again for one request, after a pause.
        """
        now = self._clock.monotonic()
        with self._lock:
            return [OWN, *(name for name in self._proxies if self._is_open(name, now))]

    def url(self, address: str) -> str | None:
        """URL of a proxy, with its password; None for the own address."""
        return self._proxies.get(address)

    def failed(self, address: str, *, was_reached: bool) -> None:
        """Learn that no whole answer came by a proxy, or that it could not be reached at all."""
        now = self._clock.monotonic()
        with self._lock:
            health = self._health[address]
            health.lost += 1
            if health.pause_s and not health.is_tried:
                return  # sent before it was set aside
            if was_reached and not health.pause_s and health.lost < _LOST_IN_A_ROW:
                return
            health.pause_s = min(max(2 * health.pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            health.retry_at, health.is_tried, health.is_known = now + health.pause_s, False, True
        self._watcher.went_away(address)

    def worked(self, address: str) -> None:
        """Learn that a whole answer came by a proxy."""
        with self._lock:
            health = self._health[address]
            news = not health.is_known or bool(health.pause_s)
            self._health[address] = _Health(is_known=True)
        if news:  # at first as well: whoever told that it was away may be gone
            self._watcher.came_back(address)

    def _is_open(self, name: str, now: float) -> bool:
        health = self._health[name]
        if not health.pause_s:
            return True
        if now < health.retry_at:
            return False
        health.retry_at, health.is_tried = now + _TRIAL_S, True
        return True
