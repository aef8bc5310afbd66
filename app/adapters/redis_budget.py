"""The request weight of each venue and address, shared by every process that goes out by it.

Where an address stands with a venue is a hash in Redis, changed by one script, so that no two
processes take the same weight. Bans are rows: Redis only spreads them faster. Without Redis each
process counts for itself, takes less for data, and keeps room for orders and cancels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from app.adapters.budget import BanStore, InProcessBudget
from app.adapters.known_bans import KnownBans, NoBans
from app.adapters.pacing import FAR_MS, Pace, Paces
from app.adapters.redis_link import RedisAway, RedisLink
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
from app.core.exchanges.politeness import POLITE_BATCH, POLITE_GAP_MS, POLITE_REST_MS
from app.core.ports import OWN, Clock, Purpose, Usage

#: Without Redis a process does not know what the others take. Data, which are most of the
#: traffic, slow down to a tenth of the minute each; orders and cancels are few, and keep what the
#: minute has left. What the venue says was used by all (``correct``) still counts.
ALONE: Final[Mapping[Purpose, float]] = {**SHARES, Purpose.DATA: 0.1}
#: And so do polite requests, of which each process alone would send one in 3 s.
ALONE_GAP_MS: Final = 10 * POLITE_GAP_MS
_KEY_MS: Final = 10 * MINUTE_MS
_NO_LIMIT: Final = 1_000_000_000
_NO_PACE: Final = Pace()

# KEYS: the window of a venue and an address. ARGV: now (ms), weight, limit, used weight that the
# caller knows of in this minute, back-off and ban that it knows of (ms, 0 for none), life of the
# key (ms); the pace (cost, slack, gap: see ``Pace``), batch and rest of the polite profile, and
# how far ahead a mark is believed.
# Answer: 0 where the weight was taken, else the number of the reason (5 is a ban); ms to wait,
# used weight, back-off, ban.
# A caller whose clock is over a minute behind the last one's was set back: the pause that the
# venue asked for goes back with it. A ban stays, for a request too early is what prolongs it.
_SCRIPT: Final = """
local function number(text, most)
  local found = tonumber(text)
  if not found or found ~= found or found < 0 or found > most then return 0 end
  return found
end
local now, weight, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cost, slack, gap = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local batch, rest, far = tonumber(ARGV[11]), tonumber(ARGV[12]), now + tonumber(ARGV[13])
local known = redis.pcall('HMGET', KEYS[1], 'minute', 'used', 'back_off', 'ban', 'seen',
  'mark', 'last', 'batch')
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
local mark, last = number(known[6], far), number(known[7], far)
local count = number(known[8], 1e9)
if now - last >= rest then count = 0 end
local short = mark + cost - slack
local polite = last + (count >= batch and rest or gap)
local reason, wait = 0, 0
if ban > now then
  reason, wait = 5, ban - now
elseif back_off > now then
  reason, wait = 1, back_off - now
elseif weight > 0 and used > 0 and used + weight > limit then
  reason, wait = 2, (minute + 1) * 60000 - now
elseif cost > 0 and short > now then
  reason, wait = 3, short - now
elseif gap > 0 and polite > now then
  reason, wait = 4, polite - now
else
  used = used + weight
  if cost > 0 then
    redis.call('HSET', KEYS[1], 'mark', string.format('%.0f', math.max(mark, now) + cost))
  end
  if gap > 0 then
    redis.call('HSET', KEYS[1], 'last', string.format('%.0f', now), 'batch', count + 1)
  end
end
redis.call('HSET', KEYS[1],
  'minute', string.format('%.0f', window), 'used', string.format('%.0f', used),
  'back_off', string.format('%.0f', back_off), 'ban', string.format('%.0f', ban),
  'seen', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], ARGV[7])
return {reason, wait, used, back_off, ban}
"""


class RedisBudget(WaitingBudget):
    """Implements ``RequestBudget`` for many processes. Safe for threads; survives a fork.

    Args:
        store: where bans survive everything.
        weights: weight per minute of each venue.
        paces: what holds a request beside the minute.
        sleep: how to wait, seconds.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        store: BanStore,
        *,
        weights: Mapping[str, int] = WEIGHTS,
        paces: Paces | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(clock, weights, sleep)
        self._paces = paces or Paces()
        self._link = RedisLink(url, name="budget")
        self._script = self._link.client.register_script(_SCRIPT)
        # What this process knows of each window: it counts on without Redis, and gives a Redis
        # that was flushed or restarted its count back.
        alone = Paces(self._paces.short, self._paces.polite, ALONE_GAP_MS)
        self._own = InProcessBudget(clock, NoBans(), weights=weights, shares=ALONE, paces=alone)
        self._bans = KnownBans(clock, store)

    def take(self, exchange: str, weight: int, purpose: Purpose, address: str = OWN) -> Wait | None:
        """Take the weight, or say when to ask again.

        Raises:
            VenueBanned: nothing may be sent.
        """
        now = self._clock.now_ms()
        last_ban = self._refuse_banned(exchange, address, now)
        pace = self._paces.of(exchange, weight, purpose, last_ban, now)
        share = share_of(self._weights, SHARES, exchange, purpose)
        try:
            reason, wait_ms = self._ask(
                exchange, address, now, weight=weight, limit=share, pace=pace
            )
        except RedisAway:
            self._own.ban(exchange, last_ban, "", address)  # it ended, and its day is polite
            return self._own.take(exchange, weight, purpose, address)
        if not reason:
            return None
        self._refuse_banned(exchange, address, now)
        return Wait(now + wait_ms, Reason(reason))

    def correct(self, exchange: str, used_weight: int, address: str = OWN) -> None:
        """Learn what the venue says was used in the present minute."""
        self._own.correct(exchange, used_weight, address)
        self._tell(exchange, address)

    def back_off(self, exchange: str, until_ms: int, address: str = OWN) -> None:
        """Send nothing before a wall time. Not persisted."""
        self._own.back_off(exchange, until_ms, address)
        self._tell(exchange, address, back_off=until_ms)

    def ban(self, exchange: str, until_ms: int, reason: str, address: str = OWN) -> None:
        """Stop all traffic of an address to the venue until a wall time; survives a restart."""
        scope = scope_of(exchange, address)
        if self._bans.learn(scope, until_ms):
            self._tell(exchange, address, ban=until_ms)
            self._bans.save(scope, until_ms, reason)

    def banned_until(self, exchange: str, address: str = OWN) -> int | None:
        """End of the ban in force, ms of wall time, or None."""
        until = self._bans.until(scope_of(exchange, address))
        return until if until > self._clock.now_ms() else None

    def polite_until(self, exchange: str, address: str = OWN) -> int:
        """Until when an address is treated gently, ms of wall time; the past is possible."""
        return self._paces.gentle_until(exchange, self._bans.until(scope_of(exchange, address)))

    def used(self, exchange: str, address: str = OWN) -> int:
        """Weight used in the present minute, as far as this process knows."""
        return self._own.used(exchange, address)

    def usage(self, exchange: str, addresses: Sequence[str] = (OWN,)) -> Usage:
        """What all processes have used of the present minute, where Redis is there to say."""
        for address in addresses:
            self._tell(exchange, address)
        return super().usage(exchange, addresses)

    def close(self) -> None:
        """Let go of the connections."""
        self._link.close()

    def _refuse_banned(self, exchange: str, address: str, now: int) -> int:
        """End of the last ban, which has passed; 0 where none is known."""
        until = self._bans.until(scope_of(exchange, address))
        if until > now:
            raise banned(exchange, until, now)
        return until

    def _tell(self, exchange: str, address: str, *, back_off: int = 0, ban: int = 0) -> None:
        try:
            self._ask(exchange, address, self._clock.now_ms(), back_off=back_off, ban=ban)
        except RedisAway:
            return  # this process knows, and tells Redis with its next request

    def _ask(
        self,
        exchange: str,
        address: str,
        now: int,
        *,
        weight: int = 0,
        limit: int = _NO_LIMIT,
        back_off: int = 0,
        ban: int = 0,
        pace: Pace = _NO_PACE,
    ) -> tuple[int, int]:
        """(0 or the reason, ms to wait) by the shared window; learns what it knows.

        Raises:
            RedisAway: Redis was not there.
        """
        scope = scope_of(exchange, address)
        known = [self._own.used(exchange, address), back_off, max(ban, self._bans.until(scope))]
        held = [pace.cost_ms, pace.slack_ms, pace.gap_ms, POLITE_BATCH, POLITE_REST_MS, FAR_MS]
        arguments: list[Any] = [now, weight, limit, *known, _KEY_MS, *held]
        answer = self._link.call(
            lambda client: self._script(keys=[f"budget:{scope}"], args=arguments, client=client)
        )
        reason, wait_ms, used, asked_until, ban_until = (int(each) for each in answer)
        self._own.correct(exchange, used, address)
        self._own.back_off(exchange, asked_until, address)
        if ban_until > now:
            self._bans.learn(scope, ban_until)
        return reason, wait_ms
