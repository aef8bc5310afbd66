"""Redis as a cache that may be slow, read-only, flushed or away at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

_log = structlog.get_logger(__name__)
R = TypeVar("R")

#: Longest that one step of a call may take, seconds. A healthy Redis answers within 1 ms; a call
#: is one step, or two where it opens a connection to a server that then falls asleep.
STEP_S: Final = 0.04
# While the breaker is open nobody asks; then one caller tries, and the others still do without.
_OPEN_S: Final = 1.0


class RedisAway(Exception):
    """Redis did not do what was asked; whoever asked has another way."""


def open_redis(url: str, step_s: float = STEP_S) -> Redis:
    """A client without retries; it connects with its first command, and again after a fork."""
    return Redis.from_url(
        url,
        socket_timeout=step_s,
        socket_connect_timeout=step_s,
        retry=Retry(NoBackoff(), 0),
        # Version 2 of the protocol, and no introduction of the client: each is a round trip
        # more in opening a connection, and so a chance more to time out.
        protocol=2,
        driver_info=None,
    )


class RedisLink:
    """Calls Redis behind a breaker. Safe for threads.

    Args:
        name: of the purpose, in the log.
    """

    def __init__(self, url: str, *, name: str, step_s: float = STEP_S) -> None:
        self.client = open_redis(url, step_s)
        self._name = name
        self._lock = threading.Lock()
        self._closed_again_at: float | None = None

    def call(self, work: Callable[[Redis], R]) -> R:
        """What ``work(client)`` returns.

        Raises:
            RedisAway: Redis failed, or failed within the last second.
        """
        self._enter()
        try:
            result = work(self.client)
        except (RedisError, OSError, ValueError) as error:
            self._failed(error)
            raise RedisAway(type(error).__name__) from error
        with self._lock:
            recovered, self._closed_again_at = self._closed_again_at is not None, None
        if recovered:
            _log.info("redis_back", purpose=self._name)
        return result

    def close(self) -> None:
        """Let go of the connections."""
        self.client.close()

    def _enter(self) -> None:
        with self._lock:
            if self._closed_again_at is None:
                return
            now = time.monotonic()
            if now < self._closed_again_at:
                raise RedisAway("Redis failed a moment ago")
            self._closed_again_at = now + _OPEN_S  # this caller tries, alone

    def _failed(self, error: Exception) -> None:
        with self._lock:
            first = self._closed_again_at is None
            self._closed_again_at = time.monotonic() + _OPEN_S
        if first:
            _log.warning(
                "redis_failed",
                purpose=self._name,
                error=type(error).__name__,
                # The text of a response error is Redis's own; others may hold an address.
                reason=str(error)[:120],
            )
