"""Bybit's klines: their names, their pages and their rows, newest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from app.core.market.intervals import INTERVALS, Interval
from simulator.bars import Bars
from simulator.dialects.bybit import errors, instruments
from simulator.dialects.bybit.instruments import LINEAR
from simulator.dialects.pages import Grid, Page, newest, prepare
from simulator.dialects.table import Field, rows
from simulator.dialects.web import Call
from simulator.market import Market
from simulator.noise import Ints

_MINUTES: Final = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h")
NAMES: Final[dict[str, Interval]] = {
    **{str(INTERVALS[name].length_ms // 60_000): INTERVALS[name] for name in _MINUTES},
    "D": INTERVALS["1d"],
    "W": INTERVALS["1w"],
    "M": INTERVALS["1M"],
}
_USUAL: Final = 200
_MOST: Final = 1000


def _traded(call: Call) -> Market:
    return instruments.named(call, LINEAR).market


def _mark(call: Call) -> Market:
    return instruments.contract(call).mark


def _index(call: Call) -> Market:
    return instruments.contract(call).index


def _page(call: Call) -> Page:
    wanted = NAMES.get(call.params.get("interval", ""))
    if wanted is None:
        raise errors.wrong("Invalid period!")
    start, end, limit = call.whole("start"), call.whole("end"), call.whole("limit")
    if start is not None and end is not None and start > end:
        raise errors.wrong("StartTime should be less than endTime")
    limit = min(_USUAL if limit is None else max(limit, 1), _MOST)
    return Page(Grid(wanted), start, end, limit)


def _bars(market: Market, page: Page, now: int) -> Bars:
    """The oldest bars from ``start`` where it stands alone, else the newest.

    A start within a bar gives the bars after it.
    """
    if page.start is not None and page.end is None:
        return market.klines(page.grid.interval, page.start, None, page.limit, now)
    return newest(market, page, now)


def _prepared(find: Callable[[Call], Market]) -> Callable[[Call], Iterator[None]]:
    def turns(call: Call) -> Iterator[None]:
        market, page = find(call), _page(call)
        if page.start is not None and page.end is None:
            interval = page.grid.interval
            yield from market.prepare_klines(interval, page.start, None, page.limit, call.now)
        else:
            yield from prepare(market, page, call.now)

    return turns


def _klines(call: Call) -> bytes:
    category = instruments.category_of(call, LINEAR)
    return _answer(call, category, _kline_rows(_bars(_traded(call), _page(call), call.now)))


def _marks(find: Callable[[Call], Market]) -> Callable[[Call], bytes]:
    def answer(call: Call) -> bytes:
        return _answer(call, LINEAR, _mark_rows(_bars(find(call), _page(call), call.now)))

    return answer


def _answer(call: Call, category: str, listed: bytes) -> bytes:
    # The symbol is one that is listed, which needs no quoting.
    symbol = call.params["symbol"]
    head = f'{{"symbol":"{symbol}","category":"{category}","list":'
    return head.encode() + listed + b"}"


def _kline_rows(bars: Bars) -> bytes:
    """Rows of seven texts: time, prices, base volume, turnover."""
    if len(bars) == 0:
        return b"[]"
    shown = bars.newest_first()
    fields = [
        *_opening(shown),
        _text(shown.volume, bars.volume_decimals),
        _text(shown.quote_volume, bars.quote_decimals, b'"]'),
    ]
    return rows(fields, len(bars))


def _mark_rows(bars: Bars) -> bytes:
    """Rows of five texts: time and prices."""
    if len(bars) == 0:
        return b"[]"
    shown = bars.newest_first()
    close = _text(shown.close, bars.price_decimals, b'"]')
    return rows([*_opening(shown)[:-1], close], len(bars))


def _opening(shown: Bars) -> list[Field]:
    prices = (_text(column, shown.price_decimals) for column in shown.prices())
    return [Field(b',["', shown.open_ts, 0, b'"'), *prices]


def _text(values: Ints, decimals: int, after: bytes = b'"') -> Field:
    return Field(b',"', values, decimals, after, trims=True)


KLINE: Final = (_klines, _prepared(_traded))
MARK_KLINE: Final = (_marks(_mark), _prepared(_mark))
INDEX_KLINE: Final = (_marks(_index), _prepared(_index))
