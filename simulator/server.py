"""The HTTP server: dialects, control API, and their place on one loopback port."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from simulator.control import Control
from simulator.dialects.binance import rest as binance
from simulator.dialects.binance.budget import Budget
from simulator.dialects.binance.streams import Streams
from simulator.dialects.binance.ws_api import WsApi
from simulator.dialects.broadcast import Broadcast
from simulator.dialects.bybit import rest as bybit
from simulator.dialects.bybit.instruments import LINEAR, SPOT
from simulator.dialects.bybit.streams import BybitStreams
from simulator.dialects.http import Dialect
from simulator.dialects.okx import rest as okx
from simulator.dialects.okx.streams import BUSINESS, PUBLIC, OkxStreams
from simulator.dialects.usdm import rest as usdm
from simulator.dialects.usdm.streams import UsdmStreams
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
    spot = binance.BinanceRest(venue, Budget(options.weight_limit))
    for streams in _streams(venue, faults):
        streams.add_routes(app)
    WsApi(venue, spot, record, faults).add_routes(app)
    for prefixes, dialect in _dialects(venue, options, spot):
        rest = RestServer(venue, dialect, record, faults)
        app.on_shutdown.append(rest.close)
        for prefix in prefixes:
            app.router.add_route("*", prefix + "{rest:.*}", rest.handle)
    return app


def _dialects(
    venue: Venue, options: Options, spot: binance.BinanceRest
) -> list[tuple[tuple[str, ...], Dialect]]:
    """REST interfaces by the beginnings of their paths, the longer beginning first."""
    # Who asks for no limit at the first venue asks for none at any.
    usdm_limit = options.usdm_weight_limit if options.weight_limit else 0
    is_limited = options.weight_limit > 0
    return [
        (bybit.PREFIXES, bybit.BybitRest(venue, is_limited=is_limited)),
        (okx.PREFIXES, okx.OkxRest(venue, is_limited=is_limited)),
        (usdm.PREFIXES, usdm.usdm_rest(venue, usdm_limit)),
        (binance.PREFIXES, spot),
    ]


def _streams(venue: Venue, faults: Faults) -> list[Broadcast]:
    """Every venue's streams; OKX's addresses lie below one of Binance's and go first."""
    return [
        OkxStreams(venue, faults, PUBLIC),
        OkxStreams(venue, faults, BUSINESS),
        *(BybitStreams(venue, faults, category) for category in (SPOT, LINEAR)),
        UsdmStreams(venue, faults),
        Streams(venue, faults),
    ]
