"""How a caller waits for request weight, wherever it is counted."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NoReturn

from app.core.exchanges.errors import BudgetExhausted, RateLimited, VenueBanned
from app.core.ports import OWN, Clock, Purpose, Usage

#: Weight per minute and address where a venue is not listed.
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


class Reason(IntEnum):
    """What a request waits for; the numbers are those of the script in Redis."""

    ASKED = 1
    MINUTE = 2
    SHORT = 3
    POLITE = 4


_FULL: Final[Mapping[Reason, str]] = {
    Reason.MINUTE: "this minute's share leaves no room for a request of weight {weight}",
    Reason.SHORT: "the venue's short window leaves no room for a request of weight {weight}",
    Reason.POLITE: "the address is treated gently, and its next request goes later",
}


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a request may not go yet.

    Attributes:
        ready_at: wall time at which to ask again, ms.
    """

    ready_at: int
    reason: Reason


class WaitingBudget(abc.ABC):
    """How a caller waits for weight; subclasses say where it is counted.

    Args:
        weights: weight per minute of each venue and address; ``DEFAULT_WEIGHT`` for others.
        sleep: how to wait, seconds.
    """

    def __init__(
        self, clock: Clock, weights: Mapping[str, int], sleep: Callable[[float], None]
    ) -> None:
        self._clock = clock
        self._weights = weights
        self._sleep = sleep

    @abc.abstractmethod
    def take(self, exchange: str, weight: int, purpose: Purpose, address: str = OWN) -> Wait | None:
        """Take the weight of one address, or say when to ask again.

        Raises:
            VenueBanned: nothing may be sent by it.
        """

    @abc.abstractmethod
    def used(self, exchange: str, address: str = OWN) -> int:
        """Weight used in the present minute, as far as this process knows."""

    @abc.abstractmethod
    def banned_until(self, exchange: str, address: str = OWN) -> int | None:
        """End of the ban in force, ms of wall time, or None."""

    @abc.abstractmethod
    def polite_until(self, exchange: str, address: str = OWN) -> int:
        """Until when an address is treated gently, ms of wall time; the past is possible."""

    def acquire(
        self,
        exchange: str,
        weight: int,
        purpose: Purpose,
        timeout: float,
        addresses: Sequence[str] = (OWN,),
    ) -> str:
        """Take ``weight`` from the present minute, waiting up to ``timeout`` seconds.

        Returns:
            The address that pays: of those given, the one with the most room left.

        Raises:
            BudgetExhausted: no weight within the timeout; carries when to try again.
            RateLimited: the venue asked each address to slow down for longer than the timeout.
            VenueBanned: the venue banned every address; carries until when.
        """
        deadline = self._clock.monotonic() + timeout
        while isinstance(found := self._first(exchange, weight, purpose, addresses), Wait):
            wait_ms = max(0, found.ready_at - self._clock.now_ms())
            left = deadline - self._clock.monotonic()
            if wait_ms / 1000 > left or left <= 0:
                _refuse(exchange, weight, found, wait_ms)
            # At least a millisecond, so that a clock that stands still cannot spin the loop.
            self._sleep(min(max(wait_ms / 1000, 0.001), _LONGEST_NAP_S))
        return found

    def usage(self, exchange: str, addresses: Sequence[str] = (OWN,)) -> Usage:
        """What is used of the present minute by all the addresses together."""
        bans = [self.banned_until(exchange, each) for each in addresses]
        ends = [end for end in bans if end is not None]
        polite = min((self.polite_until(exchange, each) for each in addresses), default=0)
        return Usage(
            used=sum(self.used(exchange, each) for each in addresses),
            limit=self._weights.get(exchange, DEFAULT_WEIGHT) * len(addresses),
            banned_until=min(ends) if len(ends) == len(bans) else None,
            polite_until=polite if polite > self._clock.now_ms() else None,
        )

    def _first(
        self, exchange: str, weight: int, purpose: Purpose, addresses: Sequence[str]
    ) -> str | Wait:
        """The first address that has room, those with the most asked first; or what to wait for."""
        waits, bans = [], []
        for address in sorted(addresses, key=lambda each: self.used(exchange, each)):
            try:
                wait = self.take(exchange, weight, purpose, address)
            except VenueBanned as error:
                bans.append(error)
                continue
            if wait is None:
                return address
            waits.append(wait)
        if not waits:
            raise min(bans, key=lambda each: each.until_ms)
        return min(waits, key=lambda each: each.ready_at)


def scope_of(exchange: str, address: str) -> str:
    """What is counted and banned by itself: ``okx`` by the own address, ``okx@name`` by a proxy."""
    return f"{exchange}@{address}" if address else exchange


def parted(scope: str) -> tuple[str, str]:
    """Venue and address of a scope."""
    exchange, _, address = scope.partition("@")
    return exchange, address


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
    if wait.reason is Reason.ASKED:
        raise RateLimited(exchange, "the venue asked to slow down", retry_after_ms=wait_ms)
    raise BudgetExhausted(
        exchange,
        _FULL[wait.reason].format(weight=weight),
        retry_at=wait.ready_at,
        retry_after_ms=wait_ms,
        is_polite=wait.reason is Reason.POLITE,
    )
