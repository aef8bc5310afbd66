"""Bybit v5 over HTTP: ``{"retCode": 0, "retMsg": "OK", "result": {…}}``, newest first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import orjson

from simulator.clock import wall_ms
from simulator.dialects.bybit import errors, history, instruments, tickers
from simulator.dialects.bybit.bars import INDEX_KLINE, KLINE, MARK_KLINE
from simulator.dialects.http import Answer
from simulator.dialects.web import Allowance, Call, Route, VenueError, WebRest
from simulator.faults import Rule
from simulator.venue import Venue

PREFIXES: Final = ("/v5/",)
_EACH: Final = Allowance(100, 1_000)
# 600 requests of one IP in five seconds, and ten minutes without an answer after that.
_ALL: Final = Allowance(600, 5_000)
_BAN_MS: Final = 600_000


def _time(_: Call) -> Any:
    now = time.time_ns()
    return {"timeSecond": str(now // 1_000_000_000), "timeNano": str(now)}


ROUTES: Final = {
    "/v5/market/time": Route(_time, _EACH),
    "/v5/market/instruments-info": Route(instruments.info, _EACH),
    "/v5/market/kline": Route(KLINE[0], _EACH, KLINE[1]),
    "/v5/market/mark-price-kline": Route(MARK_KLINE[0], _EACH, MARK_KLINE[1]),
    "/v5/market/index-price-kline": Route(INDEX_KLINE[0], _EACH, INDEX_KLINE[1]),
    "/v5/market/tickers": Route(tickers.tickers, _EACH),
    "/v5/market/orderbook": Route(tickers.order_book, _EACH),
    "/v5/market/funding/history": Route(history.funding, _EACH),
    "/v5/market/open-interest": Route(history.open_history, _EACH),
}


class BybitRest(WebRest):
    """Bybit's REST interface."""

    def __init__(
        self, venue: Venue, wall: Callable[[], int] = wall_ms, *, is_limited: bool
    ) -> None:
        super().__init__(venue, ROUTES, wall, is_limited=is_limited)
        self._banned_until = 0

    def envelope(self, data: bytes) -> bytes:
        """See ``WebRest.envelope``."""
        head, tail = b'{"retCode":0,"retMsg":"OK","result":', b',"retExtInfo":{},"time":%d}'
        return head + data + tail % wall_ms()

    def refusal(self, error: VenueError) -> Answer:
        """See ``WebRest.refusal``."""
        body = {
            "retCode": error.code,
            "retMsg": error.message,
            "result": {},
            "retExtInfo": {},
            "time": wall_ms(),
        }
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return Answer(error.status, orjson.dumps(body), headers, error.code)

    def charge(self, path: str, allowance: Allowance) -> dict[str, str]:
        """See ``WebRest.charge``: each endpoint has its allowance, and the IP one for all."""
        now = self.wall()
        if now < self._banned_until:
            raise errors.banned()
        if self.counters.count("", _ALL) < 0:
            self._banned_until = now + _BAN_MS
            raise errors.banned()
        left = self.counters.count(path, allowance)
        if left < 0:
            raise errors.too_many()
        reset = (now // allowance.window_ms + 1) * allowance.window_ms
        return {
            "X-Bapi-Limit": str(allowance.count),
            "X-Bapi-Limit-Status": str(left),
            "X-Bapi-Limit-Reset-Timestamp": str(reset),
        }

    def malformed(self, name: str) -> VenueError:
        """See ``WebRest.malformed``."""
        return errors.wrong(f"{name} is invalid")

    def not_found(self) -> VenueError:
        """See ``WebRest.not_found``."""
        return errors.not_found()

    def offline(self) -> VenueError:
        """See ``WebRest.offline``."""
        return errors.offline()

    def of_rule(self, rule: Rule) -> VenueError:
        """See ``WebRest.of_rule``."""
        return errors.of_rule(rule)
