"""The HTTP server: dialects, control API, and their place on one loopback port."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from simulator.control import Control
from simulator.dialects.binance.budget import Budget
from simulator.dialects.binance.rest import PREFIXES, BinanceRest
from simulator.dialects.binance.streams import Streams
from simulator.dialects.binance.ws_api import WsApi
from simulator.faults import Faults
from simulator.faulty import RestServer
from simulator.options import Options
from simulator.record import Record
from simulator.venue import Venue

_MAX_BODY: Final = 1 << 20


def build_app(venue: Venue, options: Options) -> web.Application:
    """The application that serves one venue."""
    app = web.Application(client_max_size=_MAX_BODY)
    record = Record()
    faults = Faults(venue.seed)
    Control(venue, record, faults).add_routes(app)
    api = BinanceRest(venue, Budget(options.weight_limit))
    rest = RestServer(venue, api, record, faults)
    Streams(venue, faults).add_routes(app)
    WsApi(venue, api, record, faults).add_routes(app)
    app.on_shutdown.append(lambda _: rest.close())
    for prefix in PREFIXES:
        app.router.add_route("*", prefix + "{rest:.*}", rest.handle)
    return app
