"""OKX v5 over HTTP: ``{"code": "0", "msg": "", "data": […]}``, newest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from simulator.clock import wall_ms
from simulator.dialects.http import Answer
from simulator.dialects.okx import bars, errors, history, instruments, tickers
from simulator.dialects.okx.bars import candles, mark_candles, prepared
from simulator.dialects.web import Allowance, Call, Route, VenueError, WebRest
from simulator.faults import Rule
from simulator.venue import Venue

PREFIXES: Final = ("/api/v5/",)
_TWO_SECONDS: Final = 2_000
_FORTY: Final = Allowance(40, _TWO_SECONDS)
_TWENTY: Final = Allowance(20, _TWO_SECONDS)
_TEN: Final = Allowance(10, _TWO_SECONDS)


def _time(_: Call) -> Any:
    return [{"ts": str(wall_ms())}]


def _instruments(call: Call) -> Any:
    kind = call.params.get("instType", "")
    if not kind:
        raise errors.empty("instType")
    if kind not in instruments.KINDS:
        raise errors.wrong("instType")
    wanted = call.params.get("instId", "")
    if wanted:
        instruments.find(call.venue, wanted)
    return [
        instruments.describe(each, call.venue)
        for each in instruments.listed(call.venue, kind)
        if wanted in ("", each.spec.native)
    ]


def _candle_routes() -> dict[str, Route]:
    routes = {}
    kinds = (("", bars.traded), ("mark-price-", bars.mark), ("index-", instruments.index))
    for kind, find in kinds:
        for is_history in (False, True):
            path = f"/api/v5/market/{'history-' if is_history else ''}{kind}candles"
            handler = (
                mark_candles(find, is_history=is_history)
                if kind
                else candles(is_history=is_history)
            )
            allowance = _TEN if kind and is_history else _TWENTY if kind or is_history else _FORTY
            routes[path] = Route(handler, allowance, prepared(find, is_history=is_history))
    return routes


ROUTES: Final = {
    "/api/v5/public/time": Route(_time, _TEN),
    "/api/v5/public/instruments": Route(_instruments, _TWENTY),
    **_candle_routes(),
    "/api/v5/market/ticker": Route(tickers.ticker, _TWENTY),
    "/api/v5/market/tickers": Route(tickers.tickers, _TWENTY),
    "/api/v5/market/books": Route(tickers.books, _FORTY),
    "/api/v5/public/funding-rate": Route(history.funding_rate, _TEN),
    "/api/v5/public/funding-rate-history": Route(history.funding_rate_history, _TEN),
    "/api/v5/public/open-interest": Route(history.open_now, _TWENTY),
    "/api/v5/rubik/stat/contracts/open-interest-history": Route(history.open_history, _TEN),
}


class OkxRest(WebRest):
    """OKX's REST interface."""

    def __init__(
        self, venue: Venue, wall: Callable[[], int] = wall_ms, *, is_limited: bool
    ) -> None:
        super().__init__(venue, ROUTES, wall, is_limited=is_limited)

    def envelope(self, data: bytes) -> bytes:
        """See ``WebRest.envelope``."""
        return b'{"code":"0","msg":"","data":' + data + b"}"

    def refusal(self, error: VenueError) -> Answer:
        """See ``WebRest.refusal``."""
        body = {"msg": error.message, "code": str(error.code), "data": []}
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return Answer(error.status, orjson.dumps(body), headers, error.code)

    def charge(self, path: str, allowance: Allowance) -> dict[str, str]:
        """See ``WebRest.charge``: the venue tells nothing of what is left."""
        if self.counters.count(path, allowance) < 0:
            raise errors.too_many()
        return {}

    def malformed(self, name: str) -> VenueError:
        """See ``WebRest.malformed``."""
        return errors.wrong(name)

    def not_found(self) -> VenueError:
        """See ``WebRest.not_found``."""
        return errors.not_found()

    def offline(self) -> VenueError:
        """See ``WebRest.offline``."""
        return errors.offline()

    def of_rule(self, rule: Rule) -> VenueError:
        """See ``WebRest.of_rule``."""
        return errors.of_rule(rule)
