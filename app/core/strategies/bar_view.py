"""A closed bar that reads its figures from the run's columns only when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.core.market.klines import KlineData, KlineFrame

if TYPE_CHECKING:

    class BarView(KlineData):
        """A ``KlineData`` over one row of a run's columns."""

        def __init__(self, columns: Columns, index: int) -> None: ...

else:

    class BarView(KlineData):
        """A ``KlineData`` over one row of a run's columns.

        Nine fields copied for each bar cost more than the rest of the loop, and most
        strategies read one or two of them. Each bar is its own object, so that a strategy
        may keep it.
        """

        __slots__ = ("_columns", "_index")

        def __init__(self, columns, index):
            _set_columns(self, columns)
            _set_index(self, index)

        exchange = property(lambda self: self._columns.exchange)
        symbol = property(lambda self: self._columns.symbol)
        interval = property(lambda self: self._columns.interval)
        timestamp = property(lambda self: self._columns.open_ts[self._index])
        open = property(lambda self: self._columns.open[self._index])
        high = property(lambda self: self._columns.high[self._index])
        low = property(lambda self: self._columns.low[self._index])
        close = property(lambda self: self._columns.close[self._index])
        volume = property(lambda self: self._columns.volume[self._index])

        def __eq__(self, other):
            return isinstance(other, KlineData) and _fields(self) == _fields(other)

        def __hash__(self):
            return hash(_fields(self))

        def __reduce__(self):
            return KlineData, _fields(self)

    # The slots' own setters pass by the frozen dataclass's __setattr__.
    _set_columns = BarView._columns.__set__  # noqa: SLF001
    _set_index = BarView._index.__set__  # noqa: SLF001


def _fields(bar: KlineData) -> tuple[object, ...]:
    return (
        bar.exchange,
        bar.symbol,
        bar.interval,
        bar.timestamp,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
    )


class Columns:
    """A frame's columns as memoryviews, whose items are plain Python numbers."""

    __slots__ = (
        "close",
        "exchange",
        "high",
        "interval",
        "low",
        "open",
        "open_ts",
        "symbol",
        "volume",
    )

    def __init__(self, frame: KlineFrame) -> None:
        self.exchange, self.symbol, self.interval = frame.exchange, frame.symbol, frame.interval
        self.open_ts = np.ascontiguousarray(frame.open_ts, dtype=np.int64).data
        self.open = np.ascontiguousarray(frame.open, dtype=np.float64).data
        self.high = np.ascontiguousarray(frame.high, dtype=np.float64).data
        self.low = np.ascontiguousarray(frame.low, dtype=np.float64).data
        self.close = np.ascontiguousarray(frame.close, dtype=np.float64).data
        self.volume = np.ascontiguousarray(frame.volume, dtype=np.float64).data
