"""Closed bars on their way from the sockets to the store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from app.core.errors import TidemarkError
from app.repositories.unit import Unit
from app.services.collection.arrivals import Arrivals, ArrivedKline
from app.services.streams.leases import Lease, LeaseLost
from app.services.streams.lines import Tools

_log = structlog.get_logger(__name__)
#: Bars that may wait for a slow database: ten minutes of 2,000 one-minute series.
MOST_WAITING: Final = 20_000
# Bars in one transaction: a commit takes 6 ms, a thousand bars 60.
_BATCH: Final = 1_000
_PAUSE_S: Final = (0.1, 5.0)
# A bar that fails alone so often, over a minute and a half, is not the database's fault.
_TRIES: Final = 20

Series = tuple[str, str, str]


class KlineWriter:
    """Writes closed bars as they come; what comes during a write goes into the next one.

    So a single bar waits for nothing, and a thousand bars that close at once cost a few
    commits. A bar is never dropped: what does not fit in memory is named by its series, which
    is then collected by REST.
    """

    def __init__(
        self, arrivals: Arrivals, tools: Tools, *, most_waiting: int = MOST_WAITING
    ) -> None:
        self._arrivals = arrivals
        self._tools = tools
        self._most_waiting = most_waiting
        self._waiting: deque[tuple[ArrivedKline, Lease]] = deque()
        # Bars out of the queue that come back to it should the database refuse them.
        self._writing = 0
        self._behind: set[Series] = set()
        self._size = _BATCH
        self._failures = 0
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, bar: ArrivedKline, lease: Lease) -> None:
        """Take a bar; returns at once."""
        if len(self._waiting) + self._writing >= self._most_waiting:
            _log.warning("kline_spilled", series=bar.series)
            self._behind.add(bar.series)
        else:
            self._waiting.append((bar, lease))
        self._wake()

    def catch_up(self, series: set[Series]) -> None:
        """Have these series collected by REST."""
        if series:
            self._behind |= series
            self._wake()

    async def run(self) -> None:
        """Write until cancelled."""
        pause = _PAUSE_S[0]
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting or self._behind:
                if await self._flush():
                    pause = _PAUSE_S[0]
                else:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _PAUSE_S[1])
            self._idle.set()

    async def drained(self) -> None:
        """Return when nothing waits."""
        await self._idle.wait()

    def _wake(self) -> None:
        self._idle.clear()
        self._arrived.set()

    async def _flush(self) -> bool:
        """Write what waits; False if the database could not take it, and it waits on."""
        batch = [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]
        behind, self._behind = self._behind, set()
        self._writing = len(batch)
        try:
            if behind:
                await self._tools.blocking(self._arrivals.catch_up, behind)
                behind = set()
            if batch:
                await self._tools.blocking(self._store, batch)
        except Exception as error:  # noqa: BLE001 - whatever the database says, bars wait
            _log.warning("klines_not_stored", bars=len(batch), why=_why(error))
            self._behind |= behind
            self._keep(batch)
            return False
        finally:
            self._writing = 0
        self._size, self._failures = _BATCH, 0
        return True

    def _keep(self, batch: list[tuple[ArrivedKline, Lease]]) -> None:
        """Put back what could not be written; one that fails by itself goes by REST."""
        self._failures += 1
        if self._size == 1 and batch and self._failures > _TRIES:
            self._behind.add(batch[0][0].series)
            self._size, self._failures = _BATCH, 0
            return
        self._waiting.extendleft(reversed(batch))
        self._size = 1

    def _store(self, batch: list[tuple[ArrivedKline, Lease]]) -> None:
        """Store bars of leases that are still ours; those of lost ones are their taker's."""
        while batch:
            lost: list[Lease] = []
            try:
                self._arrivals.store([bar for bar, _ in batch], _fence(batch, lost))
            except LeaseLost:
                batch = [(bar, lease) for bar, lease in batch if lease not in lost]
            else:
                return


def _fence(batch: list[tuple[ArrivedKline, Lease]], lost: list[Lease]) -> Callable[[Unit], None]:
    """Refuses in the transaction if any of the leases is lost, and says which."""
    leases = list({id(lease): lease for _, lease in batch}.values())

    def fence(unit: Unit) -> None:
        for lease in leases:
            try:
                lease.fence(unit)
            except LeaseLost:
                lost.append(lease)
        if lost:
            raise LeaseLost(f"{len(lost)} leases of arrived bars are held elsewhere")

    return fence


def _why(error: Exception) -> str:
    return error.message if isinstance(error, TidemarkError) else type(error).__name__
