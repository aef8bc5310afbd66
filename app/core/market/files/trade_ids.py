"""Trades that a tape states twice, told by their ids: pages that overlap, files that do.

Ids of one market ascend with its trades nearly everywhere. There a new trade is told by its id
being higher than every one before, and nothing else needs to be kept. Where they do not, or one
comes again, the last so many trades are looked through.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from app.core.errors import InvalidInput
from app.core.market.files.arrays import arrow_of, mask_of, number_scalar, numbers_of
from app.core.market.files.columns import CHUNK, Mask
from app.core.market.files.trades import TradeColumns

if TYPE_CHECKING:
    import pyarrow as pa

# Of a trade that comes again later than after so many others nothing is told.
_WINDOW: Final = CHUNK


class SeenTrades:
    """The trades of a tape so far.

    Args:
        name: of the file, for messages.
        highest: the highest id of the file before, where its ids ascended; else None.
        last_ts: the time of that file's last trade.

    Attributes:
        highest: the highest id of all; None where they do not ascend, or none are given.
    """

    def __init__(self, name: str, highest: int | None = None, last_ts: int = 0) -> None:
        self._name = name
        self._before = None if highest is None else (highest, last_ts)
        self.highest = highest
        self._ascends = True
        self._recent: deque[TradeColumns] = deque()

    def fresh(self, trades: TradeColumns) -> Mask:
        """True where a trade was not seen before.

        Raises:
            InvalidInput: a trade has the id of another one, which no id has.
        """
        everything: Mask = np.ones(len(trades), np.bool_)
        if trades.ids is None:
            self._ascends, self.highest = False, None
            return everything
        numbers = _numbers(trades.ids)
        if not self._goes_up(numbers):
            everything &= ~self._of_file_before(trades, numbers)
            everything &= ~self._repeated(trades, everything)
            numbers = None if numbers is None else numbers[everything]
            self._ascends = self._ascends and self._goes_up(numbers)
        if not self._ascends or numbers is None:
            self.highest = None
        elif len(numbers):
            self.highest = int(numbers[-1])
        self._keep(trades.kept(everything))
        return everything

    def _goes_up(self, numbers: npt.NDArray[np.int64] | None) -> bool:
        """Whether every id is higher than each before it."""
        if numbers is None or not self._ascends:
            return False
        if not len(numbers):
            return True
        is_above = self.highest is None or bool(numbers[0] > self.highest)
        return is_above and bool(np.all(numbers[1:] > numbers[:-1]))

    def _of_file_before(self, trades: TradeColumns, numbers: Any) -> Mask:
        """Where trades are those with which the file before has ended."""
        if self._before is None or numbers is None:
            return np.zeros(len(trades), np.bool_)
        highest, last_ts = self._before
        found: Mask = (numbers <= highest) & (trades.ts <= last_ts)
        return found

    def _repeated(self, trades: TradeColumns, wanted: Mask) -> Mask:
        """Where a trade of those wanted has come before, among the last ones or in this chunk."""
        import pyarrow.compute as pc

        parts = [*self._recent, trades.kept(wanted)]
        known = sum(map(len, self._recent))
        every = TradeColumns.joined(parts)
        if every.ids is None:
            raise ValueError("trades without ids are told by none")
        is_told = mask_of(every.ids.is_valid())
        places = every.ids.dictionary_encode().indices
        codes = numbers_of(pc.fill_null(places, number_scalar(-1, places)))
        _, first, where = np.unique(codes, return_index=True, return_inverse=True)
        again = np.flatnonzero(is_told & (first[where] != np.arange(len(every))))
        again = again[again >= known]
        origin = first[where][again]
        alike = every.ts[again] == every.ts[origin]
        for column in (every.price, every.amount):
            one, other = (column.take(arrow_of(each)) for each in (again, origin))
            alike &= mask_of(pc.equal(one, other))
        if not alike.all():
            wrong = int(again[int(np.argmin(alike))])
            raise InvalidInput(
                f"{self._name} has the id {every.ids[wrong]} for two trades that differ; if that "
                "column is no id, say which ones are which with --columns, as in "
                "ts=0,price=1,amount=2"
            )
        found: Mask = np.zeros(len(trades), np.bool_)
        found[np.flatnonzero(wanted)[again - known]] = True
        return found

    def _keep(self, trades: TradeColumns) -> None:
        self._recent.append(trades)
        while sum(map(len, self._recent)) - len(self._recent[0]) >= _WINDOW:
            self._recent.popleft()


def _numbers(ids: pa.Array) -> npt.NDArray[np.int64] | None:
    """Ids as whole numbers; None where one is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        found = pc.cast(ids, pa.int64())
    except pa.ArrowInvalid:
        return None
    return None if found.null_count else numbers_of(found)
