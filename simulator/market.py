"""One instrument's market at a moment: price, klines, order book."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from app.core.market.intervals import Interval
from simulator import noise
from simulator.bars import Bar, Bars, no_bars
from simulator.book import Book, BookMaker
from simulator.edits import EditedTape
from simulator.instruments import Spec, Status
from simulator.tape import Tape
from simulator.window import Listed, WindowTape

_Path = tuple[int, int, int, int]


class Ohlc(NamedTuple):
    """Open, high, low and close of a stretch of the tape."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


class Market:
    """The tape of one instrument and what can be read off it at any time.

    Args:
        seed: of the order book's noise and of the path inside a bar.
        spread_bps: mean bid-ask spread in basis points; 0 makes both sides meet at the price.

    Attributes:
        spec: the filters that orders meet now; they may change. The tape keeps the tick and step
            that it was made with.
        tape: the bars; another window of it when the venue lists or delists the instrument.
        delisted_ms: from when on the venue no longer lists it, or None.
    """

    def __init__(self, seed: int, spec: Spec, tape: Tape, spread_bps: float) -> None:
        self.spec = spec
        self.delisted_ms: int | None = None
        # (from when on, status); the last that has begun is in force.
        self._statuses: list[tuple[int, Status]] = [(0, Status.TRADING)]
        self._made_with = spec
        self.tape = tape
        self._whole: Tape = tape
        self._listed = Listed(tape.first_ts)
        self._books = BookMaker(noise.key(seed, spec.symbol, "book"), spread_bps)
        self._path_key = noise.key(seed, spec.symbol, "path")
        self._last_book: Book | None = None

    def is_listed(self, ts: int) -> bool:
        """Whether the venue knows the instrument by then; it still knows a delisted one."""
        return ts >= self.tape.first_ts

    def is_delisted(self, ts: int) -> bool:
        """Whether the venue has taken the instrument off its list by then."""
        return self.delisted_ms is not None and ts >= self.delisted_ms

    def status(self, ts: int) -> Status:
        """Whether orders are taken and matched at a time; a delisted symbol is at a break."""
        if self.is_delisted(ts):
            return Status.BREAK
        return next(status for since, status in reversed(self._statuses) if since <= ts)

    def set_status(self, status: Status, since: int) -> None:
        """Change the status from a time on, whatever was ordered for later times."""
        kept = [(begun, old) for begun, old in self._statuses if begun < since]
        self._statuses = [*kept, (since, status)]

    def list_between(self, since: int | None, until: int | None) -> None:
        """Move the listing or the delisting; None leaves it where it was."""
        self._listed = Listed(
            self._listed.since if since is None else since,
            self._listed.until if until is None else until,
        )
        self.delisted_ms = self._listed.until
        self.tape = WindowTape(self._whole, self._listed)

    def edited(self) -> EditedTape:
        """The tape as one of which bars can be taken out and stated anew."""
        if not isinstance(self._whole, EditedTape):
            self._whole = EditedTape(self._whole)
            self.tape = WindowTape(self._whole, self._listed)
        return self._whole

    def is_open(self, ts: int) -> bool:
        """Whether orders are taken: while it trades and there is a tape, which there is not
        before listing, in a gap or at the end."""
        return self.status(ts) is Status.TRADING and self.tape.bar_at(ts) is not None

    def price(self, ts: int) -> Decimal | None:
        """Price at a time; the last close in a gap; None before the first bar.

        On a bar's first millisecond it is that bar's open.
        """
        found = self.tape.bar_at(ts)
        if found is not None:
            bars, bar = found
            return bars.price(self._price_in(bar, ts, self._tick(bars)))
        opened = self.tape.last_before(ts)
        if opened is None:
            return None
        last = self.tape.bar_at(opened)
        return None if last is None else last[0].price(last[1].close)

    def stretch(self, start: int, end: int) -> Ohlc | None:
        """The tape from ``start`` to ``end`` inside one finest bar; None in a gap."""
        found = self.tape.bar_at(start)
        if found is None:
            return None
        bars, bar = found
        if start == bar.open_ts and end == self.tape.finest.next(bar.open_ts):
            prices: _Path = (bar.open, bar.high, bar.low, bar.close)
        else:
            prices = self._path_between(bars, bar, start, end)
        return Ohlc(*(bars.price(units) for units in prices))

    def klines(
        self, interval: Interval, start: int | None, end: int | None, limit: int, now: int
    ) -> Bars:
        """Bars as the venue shows them at ``now``: the oldest from ``start``, else the newest.

        Args:
            end: the last opening time wanted, inclusive.
            limit: how many bars at most.

        The bar that is still open is cut at ``now`` and comes last.
        """
        if interval.length_ms < self.tape.finest.length_ms:
            return no_bars()
        stop = min(now, now if end is None else end) + 1
        if start is not None and start >= stop:
            return no_bars()
        if start is None:
            reach = limit * _longest(interval)
            begin = interval.floor(stop - 1) - reach + _longest(interval)
            while True:
                bars = self._until(interval, begin, stop, now, limit, newest=True)
                if len(bars) == limit or begin <= self.tape.first_ts:
                    return bars
                reach *= 2  # a gap of the tape, or quiet bars, took part of the range
                begin -= reach
        begin = max(start, self.tape.first_ts - _longest(interval))
        begin = max(begin, interval.floor(self.tape.shown_from(begin)))
        far = interval.floor(begin) + (limit + 1) * _longest(interval)
        while True:
            bars = self._until(interval, begin, min(stop, far), now, limit, newest=False)
            if len(bars) == limit or far >= stop:
                return bars
            # A gap of the tape took part of the range.
            far = max(far, self.tape.shown_from(far)) + limit * _longest(interval)

    def prepare_klines(
        self, interval: Interval, start: int | None, end: int | None, limit: int, now: int
    ) -> Iterator[None]:
        """Compute what ``klines`` will need, in turns that are short enough to share a thread."""
        stop = min(now, now if end is None else end) + 1
        reach = (limit + 1) * _longest(interval)
        begin = stop - reach if start is None else min(start, stop)
        yield from self.tape.prepare(interval, begin, min(stop, begin + reach))

    def book(self, ts: int) -> Book | None:
        """Order book at a time; None before the first bar."""
        second = ts // 1000
        price = self.price(ts)
        if price is None:
            return None
        update_id = second * 10
        last = self._last_book
        if last is not None and last.update_id == update_id:
            return last
        size = self.tape.typical_volume
        book = self._last_book = self._books.made(self.spec, price, second, update_id, size)
        return book

    def price_units(self, bars: Bars, bar: Bar, ts: int) -> int:
        """Price at a time inside a bar, in the bars' units."""
        return self._price_in(bar, ts, self._tick(bars))

    def turning_points(self, bar: Bar) -> list[int]:
        """Times at which a bar shows its open, its two extremes and its close."""
        times, _ = self._knots(bar)
        return [*times[:3], times[3] - 1]

    # -- inside a bar ---------------------------------------------------------------------

    def _tick(self, bars: Bars) -> int:
        return max(1, int(self._made_with.tick.scaleb(bars.price_decimals)))

    def _knots(self, bar: Bar) -> tuple[list[int], list[int]]:
        """Times and prices between which the price moves in straight lines."""
        length = self.tape.finest.length_ms
        draw = noise.uniforms(self._path_key, bar.open_ts // 1000 + np.arange(2, dtype=np.int64))
        first, second = sorted(int(length * (0.05 + 0.9 * float(part))) for part in draw)
        second += 1
        rises_first = bar.close <= bar.open
        middle = [bar.high, bar.low] if rises_first else [bar.low, bar.high]
        times = [0, first, second, length]
        return [bar.open_ts + offset for offset in times], [bar.open, *middle, bar.close]

    def _price_in(self, bar: Bar, ts: int, tick: int) -> int:
        times, prices = self._knots(bar)
        if ts >= times[3] - 1:
            return prices[3]
        for index in range(3):
            if ts < times[index + 1]:
                span = times[index + 1] - times[index]
                ahead = prices[index + 1] - prices[index]
                steps = ahead * (ts - times[index]) // (span * tick)
                return prices[index] + steps * tick
        return prices[3]

    def _path_between(self, bars: Bars, bar: Bar, start: int, end: int) -> _Path:
        tick = self._tick(bars)
        times, prices = self._knots(bar)
        first, last = self._price_in(bar, start, tick), self._price_in(bar, end, tick)
        inner = [price for at, price in zip(times, prices, strict=True) if start < at < end]
        seen = [first, last, *inner]
        return first, max(seen), min(seen), last

    # -- klines ---------------------------------------------------------------------------

    def _until(
        self, interval: Interval, begin: int, stop: int, now: int, limit: int, *, newest: bool
    ) -> Bars:
        open_ts = interval.floor(now)
        bars = self.tape.between(interval, begin, min(stop, open_ts))
        if begin <= open_ts < stop:
            bars = self._with_open_bar(interval, bars, open_ts, now)
        return bars.cut(max(0, len(bars) - limit), len(bars)) if newest else bars.cut(0, limit)

    def _with_open_bar(self, interval: Interval, bars: Bars, open_ts: int, now: int) -> Bars:
        finest = self.tape.finest
        whole = self.tape.between(finest, open_ts, finest.floor(now))
        found = self.tape.bar_at(now)
        if found is not None:
            part = self._partial(found[0], found[1], now)
            if part.trades or not self.tape.omits_quiet:
                whole = (whole if len(whole) else no_bars(found[0])).with_bar(part)
        if len(whole) == 0:
            return bars
        made = whole.aggregated(interval)
        return bars.joined(made) if len(bars) else made

    def _partial(self, bars: Bars, bar: Bar, now: int) -> Bar:
        elapsed = now - bar.open_ts
        length = self.tape.finest.length_ms
        step = max(1, int(self._made_with.step.scaleb(bars.volume_decimals)))
        open_, high, low, close = self._path_between(bars, bar, bar.open_ts, now)
        return Bar(
            open_ts=bar.open_ts,
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=bar.volume * elapsed // length // step * step,
            quote_volume=bar.quote_volume * elapsed // length,
            trades=bar.trades * elapsed // length,
            taker_volume=bar.taker_volume * elapsed // length // step * step,
            taker_quote_volume=bar.taker_quote_volume * elapsed // length,
        )


def _longest(interval: Interval) -> int:
    return 31 * 86_400_000 if interval.is_month else interval.length_ms
