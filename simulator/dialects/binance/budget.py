"""The venue's request budget: weight per minute and IP, orders per ten seconds and account."""

from __future__ import annotations

from typing import Final

from simulator.clock import wall_ms
from simulator.dialects.binance.api import ORDER_LIMIT, WEIGHT_LIMIT
from simulator.dialects.binance.errors import BinanceError

_MINUTE: Final = 60_000
_TEN_SECONDS: Final = 10_000
_DAY: Final = 86_400_000
# Requests sent in spite of a 429 until the IP is banned, and for how long.
_PATIENCE: Final = 20
_BAN_MS: Final = 120_000


class Budget:
    """Counters of one venue; every client is one IP here.

    Args:
        weight_limit: per minute; 0 switches both limits off, the counters still count.
    """

    def __init__(self, weight_limit: int = WEIGHT_LIMIT) -> None:
        self.limit = weight_limit
        self._minute = 0
        self._used = 0
        self._ignored = 0
        self._banned_until = 0
        self._orders: dict[tuple[str, int, int], int] = {}

    def spend(self, weight: int) -> None:
        """Charge a request.

        Raises:
            BinanceError: 429 over the limit, 418 while banned.
        """
        now = wall_ms()
        self._refuse_banned(now)
        if now // _MINUTE != self._minute:
            self._minute, self._used, self._ignored = now // _MINUTE, 0, 0
        self._used += weight
        if not self.limit or self._used <= self.limit:
            return
        self._ignored += 1
        if self._ignored > _PATIENCE:
            self._banned_until = now + _BAN_MS
            self._refuse_banned(now)
        raise BinanceError(
            -1003,
            f"Too much request weight used; current limit is {self.limit} request weight per "
            "1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.",
            status=429,
            retry_after=(_MINUTE - now % _MINUTE) // 1000 + 1,
        )

    def count_order(self, account: str) -> None:
        """Charge a new order.

        Raises:
            BinanceError: 429 with too many in ten seconds.
        """
        now = wall_ms()
        if len(self._orders) > 1000:
            self._orders.clear()
        for span in (_TEN_SECONDS, _DAY):
            key = (account, span, now // span)
            self._orders[key] = self._orders.get(key, 0) + 1
        if self.limit and self._orders[account, _TEN_SECONDS, now // _TEN_SECONDS] > ORDER_LIMIT:
            raise BinanceError(
                -1015,
                f"Too many new orders; current limit is {ORDER_LIMIT} orders per 10 SECOND.",
                status=429,
                retry_after=(_TEN_SECONDS - now % _TEN_SECONDS) // 1000 + 1,
            )

    def headers(self, account: str | None) -> dict[str, str]:
        """What the venue tells of the budget with every answer."""
        used = str(self._used)
        shown = {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        if account is not None:
            now = wall_ms()
            for name, span in (("10S", _TEN_SECONDS), ("1D", _DAY)):
                count = self._orders.get((account, span, now // span), 0)
                shown[f"X-MBX-ORDER-COUNT-{name}"] = str(count)
        return shown

    def _refuse_banned(self, now: int) -> None:
        if now < self._banned_until:
            raise BinanceError(
                -1003,
                f"Way too much request weight used; IP banned until {self._banned_until}. "
                "Please use WebSocket Streams for live updates to avoid bans.",
                status=418,
                retry_after=(self._banned_until - now) // 1000 + 1,
            )
