"""Control of a venue's bars: what it takes out, states anew, and what it really has."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from aiohttp import web

from app.core.errors import InvalidInput
from app.core.market.intervals import interval
from app.core.money import canonical
from simulator.bars import Bars
from simulator.control_bodies import (
    Handler,
    amount_of,
    number_of,
    read_body,
    read_query,
    text_of,
    whole_of,
    word_of,
)
from simulator.listings import BINANCE
from simulator.venue import Venue

_MAX_PAGE: Final = 10_000
_QUERY: Final = frozenset({"symbol", "venue", "interval", "from_ms", "to_ms"})


class Edit(StrEnum):
    """What a venue does with bars that it has."""

    #: The bars that open in [from_ms, to_ms) are gone.
    OMIT = "omit"
    #: Whatever is gone is back.
    RESTORE = "restore"
    #: The bar that opens at from_ms has another volume.
    REVISE = "revise"


class KlineControl:
    """Routes that change and tell the bars of one instrument."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def routes(self) -> dict[tuple[str, str], Handler]:
        """Handlers by method and path."""
        return {
            ("POST", "/control/klines"): self._edit,
            ("GET", "/control/record/klines"): self._record,
        }

    async def _edit(self, request: web.Request) -> Any:
        body = await read_body(request, {"edit", "symbol", "venue", "from_ms", "to_ms", "volume"})
        edit = word_of(Edit, body, "edit")
        venue = text_of(body, "venue") if "venue" in body else BINANCE
        tape = self._venue.listed(text_of(body, "symbol"), venue).edited()
        if edit is Edit.OMIT:
            tape.omit(whole_of(body, "from_ms"), whole_of(body, "to_ms"))
        elif edit is Edit.REVISE:
            tape.revise(whole_of(body, "from_ms"), amount_of(body.get("volume")))
        else:
            tape.restore()
        return {}

    async def _record(self, request: web.Request) -> Any:
        """Closed bars that open in [from_ms, to_ms), whatever faults and maintenance are on.

        Rows are [open time, open, high, low, close, volume, quote volume, trades], numbers as
        text; at most 10,000 of them.
        """
        query = read_query(request, _QUERY)
        for name in ("symbol", "interval", "from_ms", "to_ms"):
            if name not in query:
                raise InvalidInput(f"{name} is missing")
        start, end = (number_of(query[name], name) for name in ("from_ms", "to_ms"))
        wanted = interval(query["interval"])
        market = self._venue.listed(query["symbol"], query.get("venue", BINANCE))
        stop = min(end, wanted.floor(self._venue.clock.now()))
        if start >= stop:
            return {"klines": []}
        bars = market.klines(wanted, start, stop - 1, _MAX_PAGE, self._venue.clock.now())
        return {"klines": _rows(bars)}


def _rows(bars: Bars) -> list[list[Any]]:
    found = []
    for index in range(len(bars)):
        bar = bars.bar(index)
        prices = [canonical(bars.price(each)) for each in (bar.open, bar.high, bar.low, bar.close)]
        volume, quote = bars.amounts(bar)
        found.append([bar.open_ts, *prices, canonical(volume), canonical(quote), bar.trades])
    return found
