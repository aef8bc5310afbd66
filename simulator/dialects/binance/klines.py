"""Klines as Binance prints them: twelve fields, numbers as text with eight decimals."""

from __future__ import annotations

import numpy as np

from app.core.market.intervals import Interval
from simulator.bars import Bars
from simulator.dialects.table import Field, rows
from simulator.instruments import DECIMALS
from simulator.noise import Ints


def close_times(bars: Bars, interval: Interval) -> Ints:
    """Last millisecond of each bar, as the venue states it."""
    if not interval.is_month:
        return bars.open_ts + (interval.length_ms - 1)
    return np.array([interval.next(int(ts)) - 1 for ts in bars.open_ts], dtype=np.int64)


def render(bars: Bars, interval: Interval) -> bytes:
    """The JSON array of rows that ``GET /api/v3/klines`` answers."""
    if len(bars) == 0:
        return b"[]"
    price, volume, quote = bars.price_decimals, bars.volume_decimals, bars.quote_decimals
    fields = [
        Field(b",[", bars.open_ts, 0, b""),
        *(_text(b',"', column, price, b'"') for column in bars.prices()),
        _text(b',"', bars.volume, volume, b'"'),
        Field(b",", close_times(bars, interval), 0, b""),
        _text(b',"', bars.quote_volume, quote, b'"'),
        Field(b",", bars.trades, 0, b""),
        _text(b',"', bars.taker_volume, volume, b'"'),
        _text(b',"', bars.taker_quote_volume, quote, b'","0"]'),
    ]
    return rows(fields, len(bars))


def _text(before: bytes, values: Ints, decimals: int, after: bytes) -> Field:
    # A quoted number is padded to the venue's eight decimals; a replayed one may have more.
    return Field(before, values, decimals, after, places=max(decimals, DECIMALS))
