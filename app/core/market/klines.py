"""Klines: one bar exact (``KlineData``), many bars columnar (``KlineFrame``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from app.core.errors import InvalidInput, UnknownName

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


class KlineKind(StrEnum):
    """What the prices of a bar are: of trades, of the mark price or of the index."""

    TRADE = "trade"
    MARK = "mark"
    INDEX = "index"


def kline_kind(text: str) -> KlineKind:
    """The kind of that name.

    Raises:
        InvalidInput: there is none.
    """
    try:
        return KlineKind(text)
    except ValueError:
        known = ", ".join(KlineKind)
        raise InvalidInput(f"kind was {text[:20]!r}; use one of {known}") from None


#: What a bar may tell beside its prices and its volume, and venues may not.
EXTRAS: Final = ("quote_volume", "trade_count")


def extras_of(text: str) -> tuple[str, ...]:
    """The extra columns of a list with commas, in the order of ``KlineRow``.

    Raises:
        UnknownName: one is none of ``EXTRAS``.
    """
    named = {each.strip() for each in text.split(",")} - {""}
    if unknown := sorted(named - set(EXTRAS)):
        raise UnknownName(
            f"no extra column is named {unknown[0][:40]!r}; use {' or '.join(EXTRAS)}, or both "
            "with a comma between"
        )
    return tuple(name for name in EXTRAS if name in named)


class KlineRow(NamedTuple):
    """One closed bar, exactly as the venue stated it.

    Attributes:
        open_ts: open time, ms.
        volume: base units.
        quote_volume: quote units, or None where the venue does not say.
        trade_count: number of trades, or None.
    """

    open_ts: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal | None = None
    trade_count: int | None = None

    def completed_by(self, known: KlineRow) -> KlineRow:
        """The bar, and what its source does not say of it as it is known already.

        Of a bar with other prices or another volume nothing is known: together with what this one
        says, its quote volume would make a bar that nobody has stated.
        """
        if self.quote_volume is not None and self.trade_count is not None:
            return self
        if self[1:6] != known[1:6]:
            return self
        return self._replace(
            quote_volume=known.quote_volume if self.quote_volume is None else self.quote_volume,
            trade_count=known.trade_count if self.trade_count is None else self.trade_count,
        )


def contradict(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two statements of a bar differ; what one of them does not say is no difference."""
    return one != other and any(
        left != right
        for left, right in zip(one, other, strict=True)
        if left is not None and right is not None
    )


@dataclass(frozen=True, slots=True)
class KlineData:
    """One closed bar as a strategy sees it.

    Attributes:
        timestamp: open time, ms.
    """

    exchange: str
    symbol: str
    interval: str
    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True, eq=False)
class KlineFrame:
    """Bars of one series as columns of equal length, ascending by open time.

    The arrays are shared, not copied: treat them as read-only.

    Attributes:
        open_ts: open times in ms, int64.
        open, high, low, close, volume: float64.
    """

    exchange: str
    symbol: str
    interval: str
    open_ts: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __post_init__(self) -> None:
        lengths = {len(column) for column in self.columns()} | {len(self.open_ts)}
        if len(lengths) != 1:
            raise InvalidInput(f"kline columns had different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.open_ts)

    def columns(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Open, high, low, close, volume."""
        return self.open, self.high, self.low, self.close, self.volume

    def bar(self, index: int) -> KlineData:
        """The bar at ``index`` as a row of Python floats."""
        return KlineData(
            self.exchange,
            self.symbol,
            self.interval,
            int(self.open_ts[index]),
            float(self.open[index]),
            float(self.high[index]),
            float(self.low[index]),
            float(self.close[index]),
            float(self.volume[index]),
        )

    def __iter__(self) -> Iterator[KlineData]:
        return (self.bar(index) for index in range(len(self)))

    def slice(self, start: int, stop: int) -> Self:
        """Bars by position, [start, stop); a view, nothing is copied."""
        cut = np.s_[start:stop]
        return type(self)(
            self.exchange,
            self.symbol,
            self.interval,
            self.open_ts[cut],
            self.open[cut],
            self.high[cut],
            self.low[cut],
            self.close[cut],
            self.volume[cut],
        )

    def between(self, start_ts: int, end_ts: int) -> Self:
        """Bars that open in [start_ts, end_ts); a view, nothing is copied."""
        low, high = np.searchsorted(self.open_ts, [start_ts, end_ts])
        return self.slice(int(low), int(high))

    @classmethod
    def from_rows(cls, exchange: str, symbol: str, interval: str, rows: Iterable[KlineRow]) -> Self:
        """Frame of exact rows, which must ascend by open time.

        Raises:
            InvalidInput: the open times do not ascend strictly.
        """
        listed = list(rows)
        times = np.array([row.open_ts for row in listed], dtype=np.int64)
        if len(times) > 1 and not bool(np.all(np.diff(times) > 0)):
            raise InvalidInput(f"klines of {symbol} {interval} did not ascend by open time")
        values = [
            np.array([float(row[column]) for row in listed], dtype=np.float64)  # type: ignore[arg-type]
            for column in range(1, 6)
        ]
        return cls(exchange, symbol, interval, times, *values)
