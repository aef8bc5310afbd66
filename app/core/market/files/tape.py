"""Trades as they follow each other, over the files of an import, and the bars that they make.

A bar is whole only where the tape holds all of its time. Where a file ends within a bar, the next
file of the tape goes on with it; at the ends of the tape, and where a file is missing, such a bar
is left out. The name of an archive's file says what it covers: all of a day or a month.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from decimal import Context, Decimal
from typing import Any, Final, Self

import numpy as np

from app.core.errors import InvalidInput
from app.core.market.files.columns import KlineColumns, made
from app.core.market.files.trade_ids import SeenTrades
from app.core.market.files.trades import TradeColumns, bars_of, sound
from app.core.market.intervals import Interval

# Sums of amounts that fit DECIMAL(36,18) are exact in so many digits.
_EXACT: Final = Context(prec=60)


@dataclass(frozen=True, slots=True)
class OpenBar:
    """A bar of which trades may still come; amounts as texts."""

    open_ts: int
    first_ts: int
    last_ts: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    trade_count: int

    def with_more(self, other: OpenBar) -> OpenBar:
        """The same with trades that come behind its own in the file."""
        is_earlier = other.first_ts < self.first_ts
        volume = _EXACT.add(Decimal(self.volume), Decimal(other.volume))
        return OpenBar(
            self.open_ts,
            min(self.first_ts, other.first_ts),
            max(self.last_ts, other.last_ts),
            other.open if is_earlier else self.open,
            max(self.high, other.high, key=Decimal),
            min(self.low, other.low, key=Decimal),
            self.close if other.last_ts < self.last_ts else other.close,
            format(volume, "f"),
            self.trade_count + other.trade_count,
        )


@dataclass(frozen=True, slots=True)
class Carried:
    """What the next file of a tape goes on with.

    Attributes:
        layout: of the file; an id of one layout says nothing of those of another.
        bar: the last one, which may go on.
        since, until: the tape holds every trade in [since, until).
        is_named: by the names of its files, and not by its first and its last trade.
        last_ts: of the last trade.
        highest: the highest id, where they ascend.
        is_broken: a file that should have followed was left out.
    """

    layout: str
    bar: OpenBar
    since: int
    until: int
    is_named: bool
    last_ts: int
    highest: int | None
    is_broken: bool = False

    def params(self) -> dict[str, Any]:
        """As a job keeps it."""
        return asdict(self)

    @classmethod
    def of(cls, params: dict[str, Any]) -> Self:
        """From what a job keeps."""
        return cls(**{**params, "bar": OpenBar(**params["bar"])})

    def is_whole(self, interval: Interval) -> bool:
        """Whether the tape holds all of the last bar's time."""
        return self.bar.open_ts >= self.since and interval.next(self.bar.open_ts) <= self.until


class Tape:
    """Makes the bars of one file of trades.

    Args:
        name: of the file, for messages.
        period: [start, end) that the file covers, ms, where its name says so.
        carried: from the file before, if it is of the same series.

    Attributes:
        seen: how many trades came.
        goes_on: whether its first trade goes on with the file before, or there is none before;
            None until a trade came that is not of that file. Where it does not, the last bar of
            before is for the caller to end (``Carried``): here it would seem to be of this file,
            and what lies between the two a hole within it.
    """

    def __init__(
        self,
        interval: Interval,
        name: str,
        period: tuple[int, int] | None = None,
        layout: str = "",
        carried: Carried | None = None,
    ) -> None:
        self.seen = 0
        self.goes_on: bool | None = None
        self._interval = interval
        self._name = name
        self._period = period
        self._layout = layout
        self._carried = carried
        known = carried is not None and carried.layout == layout and not carried.is_broken
        before = (carried.highest, carried.last_ts) if carried and known else (None, 0)
        self._before = before[0]
        self._ids = SeenTrades(name, *before)
        self._open: OpenBar | None = None
        self._since: int | None = None
        self._duplicates = 0
        self._ends: list[int] = []

    def bars(self, chunks: Iterable[TradeColumns]) -> Iterator[KlineColumns]:
        """The bars that have ended; one in which nothing was traded is left out.

        Trades of one time keep the order of the file; those that were seen are left out.

        Raises:
            InvalidInput: trades go back in time beyond a bar that has ended, one cannot be, or
                two that differ have one id.
        """
        for chunk in chunks:
            stated = sound(chunk, self._name, self.seen)
            self.seen += len(stated)
            is_fresh = self._ids.fresh(stated)
            trades = stated.kept(is_fresh)
            self._duplicates += len(stated) - len(trades)
            if not len(trades):
                continue
            first_id = None if trades.ids is None else trades.ids[0].as_py()
            trades = trades.ordered()
            if self._since is None:
                self._begin(int(trades.ts[0]), first_id)
            yield from filter(len, [self._ended(trades)])

    def taken(self) -> tuple[int, list[int]]:
        """Trades left out since the last call as seen before, and open times of bars not whole."""
        found = self._duplicates, self._ends
        self._duplicates, self._ends = 0, []
        return found

    def carried(self) -> Carried | None:
        """What the next file goes on with, once all of this one was read."""
        if self._open is None or self._since is None:
            return self._carried
        last_ts = self._open.last_ts
        return Carried(
            self._layout,
            self._open,
            self._since,
            self._period[1] if self._period else last_ts + 1,
            self._period is not None,
            last_ts,
            self._ids.highest,
        )

    def _begin(self, first_ts: int, first_id: str | None) -> None:
        """Go on with the file before, or anew."""
        before = self._carried
        self.goes_on = before is None or self._follows(before, first_ts, first_id)
        if before is not None and self.goes_on:
            self._open, self._since = before.bar, before.since
        else:
            self._since = self._period[0] if self._period else first_ts

    def _follows(self, before: Carried, first_ts: int, first_id: str | None) -> bool:
        """Whether no trade lacks between the file before and this one."""
        if before.layout != self._layout or before.is_broken:
            return False
        if first_ts < (before.last_ts if self._before is None else before.bar.open_ts):
            return False
        if before.is_named and self._period is not None:
            return before.until >= self._period[0]
        if self._before is not None and first_id == str(self._before + 1):
            return True
        # Without names or ids: where the two meet in one bar or in neighbours.
        meets = self._interval.floor(first_ts) <= self._interval.next(before.bar.open_ts)
        return meets and not before.is_named and self._period is None

    def _ended(self, trades: TradeColumns) -> KlineColumns:
        """The bars that have ended with these trades; the last one stays open."""
        columns, firsts, lasts = bars_of(trades, self._interval)
        first = _open_bar(columns, 0, int(firsts[0]), int(lasts[0]))
        ended: list[OpenBar] = []
        if self._open is not None:
            if first.open_ts < self._open.open_ts:
                raise InvalidInput(
                    f"the trades of {self._name} are not in the order of their times; sort it"
                )
            if first.open_ts == self._open.open_ts:
                first = self._open.with_more(first)
            else:
                ended.append(self._open)
        last = len(columns) - 1
        self._open = first
        if last:
            ended.append(first)
            self._open = _open_bar(columns, last, int(firsts[last]), int(lasts[last]))
        whole = KlineColumns.joined([columns_of_bars(ended), columns.slice(1, last)])
        is_cut = whole.open_ts < (self._since or 0)
        self._ends += whole.open_ts[is_cut].tolist()
        return whole.kept(~is_cut)


def columns_of_bars(bars: list[OpenBar]) -> KlineColumns:
    """Bars that have ended as columns."""
    names = ("open", "high", "low", "close", "volume")
    texts = [[getattr(each, name) for each in bars] for name in names]
    times = np.array([each.open_ts for each in bars], np.int64)
    return made(times, [*texts, [None] * len(bars)], [each.trade_count for each in bars])


def _open_bar(columns: KlineColumns, position: int, first_ts: int, last_ts: int) -> OpenBar:
    stated = columns.texts(position)
    opened, high, low, close, volume = map(str, stated[1:6])
    times = (int(columns.open_ts[position]), first_ts, last_ts)
    return OpenBar(*times, opened, high, low, close, volume, int(stated[7] or 0))
