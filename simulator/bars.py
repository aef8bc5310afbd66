"""Bars as columns of exact integers.

Prices, volumes and turnovers are int64 counts of powers of ten, as fine as the market needs
them to be exact and no finer: a month of the busiest market must fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.core.market.intervals import Interval
from simulator.instruments import DECIMALS
from simulator.noise import Ints

_COLUMNS = (
    "open_ts",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "taker_volume",
    "taker_quote_volume",
)


class Bar(NamedTuple):
    """One bar in the units of the ``Bars`` that it came from."""

    open_ts: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote_volume: int
    trades: int
    taker_volume: int
    taker_quote_volume: int


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Ascending bars, column by column.

    Attributes:
        open_ts: opening times, ms.
        price_decimals: prices are counts of 10^-price_decimals.
        volume_decimals: the same for ``volume`` and ``taker_volume``.
        quote_decimals: the same for ``quote_volume`` and ``taker_quote_volume``.
    """

    open_ts: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    quote_volume: Ints
    trades: Ints
    taker_volume: Ints
    taker_quote_volume: Ints
    price_decimals: int = DECIMALS
    volume_decimals: int = DECIMALS
    quote_decimals: int = DECIMALS

    def __len__(self) -> int:
        return len(self.open_ts)

    def columns(self) -> tuple[Ints, ...]:
        """The ten columns in the order of ``Bar``."""
        return tuple(getattr(self, name) for name in _COLUMNS)

    def prices(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Open, high, low and close."""
        return self.open, self.high, self.low, self.close

    def with_columns(self, columns: Iterable[Ints]) -> Bars:
        """Bars of other columns in the same units."""
        return made_like(self, columns)

    def cut(self, start: int, stop: int) -> Bars:
        """Bars by position, [start, stop)."""
        return self.with_columns([column[start:stop] for column in self.columns()])

    def between(self, start_ts: int, end_ts: int) -> Bars:
        """Bars that open in [start_ts, end_ts)."""
        low, high = np.searchsorted(self.open_ts, [start_ts, end_ts])
        return self.cut(int(low), int(high))

    def bar(self, index: int) -> Bar:
        """The bar at a position."""
        return Bar(*(int(column[index]) for column in self.columns()))

    def where(self, mask: npt.NDArray[np.bool_]) -> Bars:
        """The bars at which a mask is true."""
        return self.with_columns([column[mask] for column in self.columns()])

    def traded(self) -> Bars:
        """The bars in which anything was traded."""
        mask = self.trades > 0
        return self if mask.all() else self.where(mask)

    def newest_first(self) -> Bars:
        """The same bars in the order in which some venues list them."""
        return self.with_columns([column[::-1] for column in self.columns()])

    def rounded(self, tick: int) -> Bars:
        """These bars with every price on a coarser tick, given in the price unit.

        Rounding is monotone: bars of bars are the same whether they are rounded before or after.
        """
        prices = [np.maximum((column + tick // 2) // tick, 1) * tick for column in self.prices()]
        rest = self.columns()
        return self.with_columns([rest[0], *prices, *rest[5:]])

    def joined(self, *others: Bars) -> Bars:
        """This and the others, which must follow it in time and share its units."""
        parts: list[Bars] = [self, *others]
        return self.with_columns(
            [
                np.concatenate(group)
                for group in zip(*(part.columns() for part in parts), strict=True)
            ]
        )

    def with_bar(self, bar: Bar) -> Bars:
        """These bars and one more at the end."""
        one = [np.array([value], dtype=np.int64) for value in bar]
        return self.with_columns(
            [np.concatenate(pair) for pair in zip(self.columns(), one, strict=True)]
        )

    def price(self, units: int) -> Decimal:
        """A price column's count as an amount."""
        return Decimal(units).scaleb(-self.price_decimals)

    def amounts(self, bar: Bar) -> tuple[Decimal, Decimal]:
        """Volume and turnover of a bar of these."""
        return (
            Decimal(bar.volume).scaleb(-self.volume_decimals),
            Decimal(bar.quote_volume).scaleb(-self.quote_decimals),
        )

    def aggregated(self, interval: Interval, ahead_ms: int = 0) -> Bars:
        """Bars of a coarser interval; the last may be incomplete.

        Args:
            ahead_ms: how far the clock by which the bars open is ahead of UTC.
        """
        if len(self) == 0:
            return self
        opens = grid_floor(self.open_ts + ahead_ms, interval) - ahead_ms
        starts = np.flatnonzero(np.r_[True, opens[1:] != opens[:-1]])
        ends = np.r_[starts[1:], len(opens)] - 1
        sums = [
            np.add.reduceat(column, starts)
            for column in (
                self.volume,
                self.quote_volume,
                self.trades,
                self.taker_volume,
                self.taker_quote_volume,
            )
        ]
        high = np.maximum.reduceat(self.high, starts)
        low = np.minimum.reduceat(self.low, starts)
        return self.with_columns(
            [opens[starts], self.open[starts], high, low, self.close[ends], *sums]
        )


def from_columns(
    columns: Iterable[Ints],
    *,
    price_decimals: int = DECIMALS,
    volume_decimals: int = DECIMALS,
    quote_decimals: int = DECIMALS,
) -> Bars:
    """Bars of ten columns in the order of ``Bar``."""
    named: dict[str, Any] = dict(zip(_COLUMNS, columns, strict=True))
    return Bars(
        **named,
        price_decimals=price_decimals,
        volume_decimals=volume_decimals,
        quote_decimals=quote_decimals,
    )


def made_like(like: Bars, columns: Iterable[Ints]) -> Bars:
    """Bars of ten columns in the units of other bars."""
    return from_columns(
        columns,
        price_decimals=like.price_decimals,
        volume_decimals=like.volume_decimals,
        quote_decimals=like.quote_decimals,
    )


def no_bars(like: Bars | None = None) -> Bars:
    """An empty set of bars, in the units of ``like``."""
    nothing = [np.zeros(0, dtype=np.int64)] * len(_COLUMNS)
    return from_columns(nothing) if like is None else made_like(like, nothing)


def grid_floor(times: Ints, interval: Interval) -> Ints:
    """Opening time of the bar that contains each time."""
    if interval.is_month:
        months = times.astype("datetime64[ms]").astype("datetime64[M]")
        result: Ints = months.astype("datetime64[ms]").astype(np.int64)
        return result
    offset = interval.floor(0)
    shifted: Ints = times - (times - offset) % interval.length_ms
    return shifted
