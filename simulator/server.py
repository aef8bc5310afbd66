"""The HTTP server: dialects, control API, and their place on one loopback port."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from simulator.control import Control
from simulator.dialects.binance.budget import Budget
from simulator.dialects.binance.rest import PREFIXES, BinanceRest, Request
from simulator.options import Options
from simulator.record import Record
from simulator.venue import Venue

_MAX_BODY: Final = 1 << 20


def build_app(venue: Venue, options: Options) -> web.Application:
    """The application that serves one venue."""
    app = web.Application(client_max_size=_MAX_BODY)
    record = Record()
    Control(venue, record).add_routes(app)
    rest = RestServer(venue, BinanceRest(venue, Budget(options.weight_limit)), record)
    for prefix in PREFIXES:
        app.router.add_route("*", prefix + "{rest:.*}", rest.handle)
    return app


class RestServer:
    """Takes HTTP requests in Binance's dialect through record and faults to the venue."""

    def __init__(self, venue: Venue, rest: BinanceRest, record: Record) -> None:
        self._venue = venue
        self._rest = rest
        self._record = record

    async def handle(self, http: web.Request) -> web.StreamResponse:
        """Answer one request."""
        request = Request(
            http.method,
            http.path,
            http.rel_url.raw_query_string,
            await http.text(),
            http.headers.get("X-MBX-APIKEY"),
        )
        entry = self._record.note(
            self._venue.clock.now(),
            "rest",
            request.method,
            request.path,
            request.params(),
            self._rest.owner(request),
        )
        answer = self._rest.answer(request)
        entry.outcome, entry.status, entry.code = "answered", answer.status, answer.code
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers=answer.headers,
            content_type=answer.content_type,
        )
