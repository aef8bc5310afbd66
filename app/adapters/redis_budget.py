"""The request weight of each venue, shared by every process that goes out by this address.

The window of the present minute is a hash in Redis, changed by one script, so that no two
processes take the same weight. Bans are rows: Redis only spreads them faster. Without Redis each
process counts for itself, takes less for data, and keeps room for orders and cancels.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from app.adapters.budget import (
    MINUTE_MS,
    SHARES,
    WEIGHTS,
    BanStore,
    InProcessBudget,
    Wait,
    WaitingBudget,
    banned,
    share_of,
)
from app.adapters.redis_link import RedisAway, RedisLink
from app.core.ports import Clock, Purpose

_log = structlog.get_logger(__name__)

#: Without Redis a process does not know what the others take. Data, which are most of the
#: traffic, slow down to a tenth of the minute each; orders and cancels are few, and keep what the
#: minute has left. What the venue says was used by all (``correct``) still counts.
ALONE: Final[Mapping[Purpose, float]] = {**SHARES, Purpose.DATA: 0.1}
# A ban must hold within a second although Redis was flushed: so often the rows are looked at.
_BANS_S: Final = 0.5
_KEY_MS: Final = 10 * MINUTE_MS
_NO_LIMIT: Final = 1_000_000_000

# KEYS: the venue's window. ARGV: now (ms), weight, limit, used weight that the caller knows of in
# this minute, back-off and ban that it knows of (ms, 0 for none), life of the key (ms).
# Answer: 1 where the weight was taken, ms to wait, used weight, back-off, ban.
# A caller whose clock is over a minute behind the last one's was set back: the pause that the
# venue asked for goes back with it. A ban stays, for a request too early is what prolongs it.
_SCRIPT: Final = """
local function number(text, most)
  local found = tonumber(text)
  if not found or found ~= found or found < 0 or found > most then return 0 end
  return found
end
local now, weight, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local known = redis.pcall('HMGET', KEYS[1], 'minute', 'used', 'back_off', 'ban', 'seen')
if known.err then
  redis.call('DEL', KEYS[1])
  known = {}
end
local horizon = now + 4 * 86400000
local minute = math.floor(now / 60000)
local window, used = number(known[1], 1e12), number(known[2], 1e9)
if minute > window or minute < window - 1 then
  window, used = minute, 0
end
used = math.max(used, tonumber(ARGV[4]))
local ahead = number(known[5], 1e15) - now
if ahead < 60000 then ahead = 0 end
local back_off = math.max(number(known[3], horizon) - ahead, tonumber(ARGV[5]))
local ban = math.max(number(known[4], horizon), tonumber(ARGV[6]))
local taken, wait = 0, 0
if ban > now then
  wait = ban - now
elseif back_off > now then
  wait = back_off - now
elseif weight > 0 and used > 0 and used + weight > limit then
  wait = (minute + 1) * 60000 - now
else
  taken, used = 1, used + weight
end
redis.call('HSET', KEYS[1],
  'minute', string.format('%.0f', window), 'used', string.format('%.0f', used),
  'back_off', string.format('%.0f', back_off), 'ban', string.format('%.0f', ban),
  'seen', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], ARGV[7])
return {taken, wait, used, back_off, ban}
"""


class RedisBudget(WaitingBudget):
    """Implements ``RequestBudget`` for many processes. Safe for threads; survives a fork.

    Args:
        store: where bans survive everything.
        weights: weight per minute of each venue.
        sleep: how to wait, seconds.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        store: BanStore,
        *,
        weights: Mapping[str, int] = WEIGHTS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(clock, sleep)
        self._weights = weights
        self._link = RedisLink(url, name="budget")
        self._script = self._link.client.register_script(_SCRIPT)
        # What this process knows of each window: it counts on without Redis, and gives a Redis
        # that was flushed or restarted its count back.
        self._own = InProcessBudget(clock, _NoBans(), weights=weights, shares=ALONE)
        self._bans = _Bans(clock, store)

    def take(self, exchange: str, weight: int, purpose: Purpose) -> Wait | None:
        """Take the weight, or say when to ask again.

        Raises:
            VenueBanned: nothing may be sent.
        """
        now = self._clock.now_ms()
        self._refuse_banned(exchange, now)
        share = share_of(self._weights, SHARES, exchange, purpose)
        try:
            taken, wait_ms, back_off = self._ask(exchange, now, weight=weight, limit=share)
        except RedisAway:
            return self._own.take(exchange, weight, purpose)
        if taken:
            return None
        self._refuse_banned(exchange, now)
        return Wait(now + wait_ms, asked=back_off > now)

    def correct(self, exchange: str, used_weight: int) -> None:
        """Learn what the venue says was used in the present minute."""
        self._own.correct(exchange, used_weight)
        self._tell(exchange)

    def back_off(self, exchange: str, until_ms: int) -> None:
        """Send nothing before a wall time. Not persisted."""
        self._own.back_off(exchange, until_ms)
        self._tell(exchange, back_off=until_ms)

    def ban(self, exchange: str, until_ms: int, reason: str) -> None:
        """Stop all traffic to the venue until a wall time; survives a restart."""
        if self._bans.learn(exchange, until_ms):
            self._tell(exchange, ban=until_ms)
            self._bans.save(exchange, until_ms, reason)

    def banned_until(self, exchange: str) -> int | None:
        """End of the ban in force, ms of wall time, or None."""
        until = self._bans.until(exchange)
        return until if until > self._clock.now_ms() else None

    def used(self, exchange: str) -> int:
        """Weight used in the present minute, as far as this process knows."""
        return self._own.used(exchange)

    def close(self) -> None:
        """Let go of the connections."""
        self._link.close()

    def _refuse_banned(self, exchange: str, now: int) -> None:
        until = self._bans.until(exchange)
        if until > now:
            raise banned(exchange, until, now)

    def _tell(self, exchange: str, *, back_off: int = 0, ban: int = 0) -> None:
        try:
            self._ask(exchange, self._clock.now_ms(), back_off=back_off, ban=ban)
        except RedisAway:
            return  # this process knows, and tells Redis with its next request

    def _ask(
        self,
        exchange: str,
        now: int,
        *,
        weight: int = 0,
        limit: int = _NO_LIMIT,
        back_off: int = 0,
        ban: int = 0,
    ) -> tuple[bool, int, int]:
        """(taken, ms to wait, back-off) by the shared window; learns what it knows.

        Raises:
            RedisAway: Redis was not there.
        """
        known = [self._own.used(exchange), back_off, max(ban, self._bans.until(exchange))]
        arguments: list[Any] = [now, weight, limit, *known, _KEY_MS]
        answer = self._link.call(
            lambda client: self._script(keys=[f"budget:{exchange}"], args=arguments, client=client)
        )
        taken, wait_ms, used, asked_until, ban_until = (int(each) for each in answer)
        self._own.correct(exchange, used)
        self._own.back_off(exchange, asked_until)
        if ban_until > now:
            self._bans.learn(exchange, ban_until)
        return bool(taken), wait_ms, asked_until


class _Bans:
    """Bans as the rows have them, looked at twice a second at most."""

    def __init__(self, clock: Clock, store: BanStore) -> None:
        self._clock = clock
        self._store = store
        self._known: dict[str, int] = {}
        self._read_at: float | None = None
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def until(self, exchange: str) -> int:
        """End of the ban that is known, ms; 0 for none. The past is possible."""
        self._refresh()
        with self._lock:
            return self._known.get(exchange, 0)

    def learn(self, exchange: str, until_ms: int) -> bool:
        """Note a ban; False if it ends no later than the one that is known."""
        with self._lock:
            if until_ms <= self._known.get(exchange, 0):
                return False
            self._known[exchange] = until_ms
            return True

    def save(self, exchange: str, until_ms: int, reason: str) -> None:
        """Write a ban to the rows."""
        self._store.save_ban(exchange, until_ms, reason)

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
        for exchange, until in rows.items():
            self.learn(exchange, until)
        self._read_at = self._clock.monotonic()


class _NoBans:
    """No rows: the shared budget knows the bans."""

    def bans(self) -> Mapping[str, int]:
        """None."""
        return {}

    def save_ban(self, exchange: str, until_ms: int, reason: str) -> None:
        """Nothing is banned here."""
