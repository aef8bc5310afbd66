"""What real files hold, found by another way than the application's: a row at a time."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path

from pyarrow import feather

from app.core.market.klines import KlineRow

D = Decimal
_AMOUNTS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Counts:
    """Ranges of bars: how many, bars of all of them, bars of the longest."""

    count: int = 0
    bars: int = 0
    longest: int = 0

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Counts:
        """The counts of ranges of so many bars each."""
        return cls(len(lengths), sum(lengths), max(lengths, default=0))

    def told(self) -> dict[str, int]:
        """As a report tells them."""
        return {"count": self.count, "bars": self.bars, "longest": self.longest}


def rows_of(path: Path) -> list[KlineRow]:
    """The bars of a file as it states them; of a float, its shortest decimal text."""
    if path.name.endswith(".feather"):
        table = feather.read_table(path).to_pydict()
        times = [int(date.timestamp() * 1000) for date in table["date"]]
        columns = [[D(repr(each)) for each in table[name]] for name in _AMOUNTS]
        return [KlineRow(*row) for row in zip(times, *columns, strict=True)]
    opened = partial(gzip.open, mode="rt") if path.name.endswith(".gz") else Path.open
    with opened(path) as file:
        lines = [line for line in csv.reader(file) if "open" not in line]
    return [KlineRow(_ms(line[0]), *(D(each) for each in line[1:6])) for line in lines]


def gaps_in(rows: Sequence[KlineRow], length_ms: int) -> Counts:
    """Bars that lack between the first and the last."""
    apart = [(right.open_ts - left.open_ts) // length_ms - 1 for left, right in pairwise(rows)]
    return Counts.of([bars for bars in apart if bars])


def idle_in(rows: Iterable[KlineRow], length_ms: int) -> Counts:
    """Runs of bars without volume that follow each other."""
    lengths: list[int] = []
    last = None
    for row in rows:
        if row.volume == 0:
            if last == row.open_ts - length_ms:
                lengths[-1] += 1
            else:
                lengths.append(1)
            last = row.open_ts
    return Counts.of(lengths)


def _ms(text: str) -> int:
    if text.isdigit():
        return int(text) * (1 if len(text) > 10 else 1000)
    return int(datetime.fromisoformat(text).timestamp() * 1000)
