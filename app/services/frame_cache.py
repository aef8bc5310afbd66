"""Frames of running instances, kept in memory and extended bar by bar.

An evaluation needs every bar since the run's anchor. Reading them anew for each bar costs more
than everything else that an evaluation does (75 % of a lockstep run, measured); what is known
of the past stays true until a series says by its version that its past has changed, or until the
bars come of another one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from app.core.market.composing import Origin
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame

# One frame of a year of minutes has 25 MB.
_FRAMES = 64


#: Of which series bars come, from when to when, and how often the past of each has changed.
PastVersion = tuple[Origin, ...]


class News(NamedTuple):
    """What a reader of klines says to one who knows some already.

    Attributes:
        version: the identity of the past.
        since: known bars that open before it, ms, are as they were.
        frame: the bars from then on.
    """

    version: PastVersion
    since: int
    frame: KlineFrame


class VersionedFrames(Protocol):
    """A reader of klines that can tell when the past has changed."""

    def news(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        known: tuple[PastVersion, int] | None = None,
    ) -> News:
        """The identity of the stored past, and the bars in [start, end) not known by another."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    version: PastVersion
    frame: KlineFrame


class FrameCache:
    """The same bars as its reader, most of them from memory. Safe for threads."""

    def __init__(self, reader: VersionedFrames) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, str, int], _Kept] = OrderedDict()

    def frame(self, exchange: str, symbol: str, interval: str, start: int, end: int) -> KlineFrame:
        """Bars that open in [start, end).

        Raises:
            UnknownName, NotFound: as the reader.
        """
        key = (exchange, symbol, interval, start)
        with self._lock:
            kept = self._kept.get(key)
        known = None
        if kept is not None and len(kept.frame):
            known = kept.version, interval_of(interval).next(int(kept.frame.open_ts[-1]))
        # The identity is read before the bars: what changes meanwhile makes the next call read
        # everything.
        version, since, frame = self._reader.news(exchange, symbol, interval, start, end, known)
        if known is not None and kept is not None:
            frame = _joined(kept.frame.between(start, since), frame)
        with self._lock:
            self._kept[key] = _Kept(version, frame)
            self._kept.move_to_end(key)
            while len(self._kept) > _FRAMES:
                self._kept.popitem(last=False)
        return frame.between(start, end)


def _joined(head: KlineFrame, tail: KlineFrame) -> KlineFrame:
    if not len(tail):
        return head
    if not len(head):
        return tail
    return KlineFrame(
        head.exchange,
        head.symbol,
        head.interval,
        np.concatenate([head.open_ts, tail.open_ts]),
        *(
            np.concatenate([known, new])
            for known, new in zip(head.columns(), tail.columns(), strict=True)
        ),
    )
