"""OKX's candles: their names, their pages and their rows, newest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from app.core.market.intervals import HOUR_MS, INTERVALS
from simulator.bars import Bars
from simulator.dialects.okx import errors, instruments
from simulator.dialects.okx.instruments import Instrument
from simulator.dialects.pages import Grid, Page, newest, open_at, prepare
from simulator.dialects.table import Field, rows
from simulator.dialects.web import Call
from simulator.market import Market
from simulator.noise import Ints

# Bars of six hours and more open by Hong Kong's clock, unless their name says utc.
_HONG_KONG_MS: Final = 8 * HOUR_MS
_SHORT: Final = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h")
_LONG: Final = ("6h", "12h", "1d", "3d", "1w", "1M")


def _venue_name(name: str) -> str:
    return name if name.endswith("m") else name[:-1] + name[-1].upper()


GRIDS: Final[dict[str, Grid]] = {
    **{_venue_name(name): Grid(INTERVALS[name]) for name in _SHORT},
    **{_venue_name(name): Grid(INTERVALS[name], _HONG_KONG_MS) for name in _LONG},
    **{f"{_venue_name(name)}utc": Grid(INTERVALS[name]) for name in _LONG},
}
_MOST: Final = 300
_MOST_MARKS: Final = 100
_USUAL: Final = 100
# The endpoint for the present reaches back so many bars; the other has the closed ones.
_RECENT: Final = 1440


def _page(call: Call, most: int) -> Page:
    """The page that ``after`` (older than) and ``before`` (newer than) ask for."""
    name = call.params.get("bar", "1m")
    grid = GRIDS.get(name)
    if grid is None:
        raise errors.wrong("bar")
    older, newer = call.whole("after"), call.whole("before")
    limit = call.whole("limit")
    return Page(
        grid,
        None if newer is None else newer + 1,
        None if older is None else older - 1,
        min(_USUAL if limit is None else max(limit, 1), most),
    )


def _recent(page: Page, now: int) -> Page:
    earliest = page.grid.floor(now) - (_RECENT - 1) * page.grid.longest_ms
    start = earliest if page.start is None else max(page.start, earliest)
    return Page(page.grid, start, page.end, page.limit)


def _closed(page: Page, now: int) -> Page:
    end = page.grid.floor(now) - 1
    end = end if page.end is None else min(page.end, end)
    return Page(page.grid, page.start, end, page.limit)


Bound = Callable[[Page, int], Page]
Find = Callable[[Call], Market]


def candles(*, is_history: bool) -> Callable[[Call], bytes]:
    """``market/candles`` and ``market/history-candles``."""
    bound = _closed if is_history else _recent

    def answer(call: Call) -> bytes:
        each = instruments.named(call)
        page = bound(_page(call, _MOST), call.now)
        return candle_rows(newest(each.market, page, call.now), page.grid, each, call.now)

    return answer


def mark_candles(find: Find, *, is_history: bool) -> Callable[[Call], bytes]:
    """Candles of mark and index prices, of the present and of the past."""
    bound = _closed if is_history else _recent

    def answer(call: Call) -> bytes:
        page = bound(_page(call, _MOST_MARKS), call.now)
        return mark_rows(newest(find(call), page, call.now), page.grid, call.now)

    return answer


def prepared(find: Find, *, is_history: bool) -> Callable[[Call], Iterator[None]]:
    """The long part of either."""
    bound = _closed if is_history else _recent

    def turns(call: Call) -> Iterator[None]:
        yield from prepare(find(call), bound(_page(call, _MOST), call.now), call.now)

    return turns


def traded(call: Call) -> Market:
    """The market that ``instId`` names."""
    return instruments.named(call).market


def mark(call: Call) -> Market:
    """The mark price of the contract that ``instId`` names."""
    return instruments.contract(call).mark


def candle_rows(bars: Bars, grid: Grid, each: Instrument, now: int) -> bytes:
    """Rows of nine texts: time, prices, volume, its value, its value in quote, confirm.

    Of a contract the volumes are contracts, base units and quote units.
    """
    if len(bars) == 0:
        return b"[]"
    confirm = _confirm(bars, grid, now)
    shown = bars.newest_first()
    base, quote = (shown.volume, bars.volume_decimals), (shown.quote_volume, bars.quote_decimals)
    volumes = (base, quote, quote)
    if each.perpetual is not None:
        # Contracts are powers of ten of the base unit: the same digits, the point elsewhere.
        shift = int(each.contract.adjusted())
        volumes = ((shown.volume, bars.volume_decimals + shift), base, quote)
    fields = [
        *_opening(shown),
        *(_text(values, decimals) for values, decimals in volumes),
        Field(b',"', confirm, 0, b'"]'),
    ]
    return rows(fields, len(bars))


def mark_rows(bars: Bars, grid: Grid, now: int) -> bytes:
    """Rows of six texts: time, prices, confirm."""
    if len(bars) == 0:
        return b"[]"
    confirm = _confirm(bars, grid, now)
    return rows([*_opening(bars.newest_first()), Field(b',"', confirm, 0, b'"]')], len(bars))


def _opening(shown: Bars) -> list[Field]:
    prices = (_text(column, shown.price_decimals) for column in shown.prices())
    return [Field(b',["', shown.open_ts, 0, b'"'), *prices]


def _text(values: Ints, decimals: int) -> Field:
    return Field(b',"', values, decimals, b'"', trims=True)


def _confirm(bars: Bars, grid: Grid, now: int) -> Ints:
    """1 for each bar, newest first, and 0 for the one that is still open."""
    confirm = np.ones(len(bars), dtype=np.int64)
    confirm[0] = 0 if open_at(bars, grid, now) else 1
    return confirm
