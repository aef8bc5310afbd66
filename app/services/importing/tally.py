"""The account of an import: for each series, what came and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.core.market.coverage import CoverageState, Span
from app.core.market.files.findings import (
    gaps_of,
    idle_runs,
    longest,
    off_grid,
    present_spans,
)
from app.core.market.files.repeats import CONTRADICTS
from app.core.market.validation import BadKline
from app.repositories.klines import Stored
from app.services.importing.chunks import Chunk
from app.services.importing.order import ImportFile

Tally = dict[str, Any]
# Reasons that are counted apart; a file with more of them has been read the wrong way.
_MOST_REASONS: Final = 5
_OTHERS: Final = "other reasons"


def new_tally(file: ImportFile, *, in_catalogue: bool) -> Tally:
    """The account of a series before its first bar."""
    exchange, symbol, interval, kind = file.series
    counts = ("rows", "new", "unchanged", "revised", "bad", "quarantined", "off_grid")
    return {
        "exchange": exchange,
        "symbol": symbol,
        "interval": interval,
        "kind": kind,
        "in_catalogue": in_catalogue,
        **dict.fromkeys((*counts, "unfinished", "outside"), 0),
        "duplicates": {"same": 0, "differing": 0},
        "reasons": {},
        "first": None,
        "last": None,
        "gaps": longest({}, []),
        "zero_volume": longest({}, []),
    }


def beside(tally: Tally, file: ImportFile, chunk: Chunk) -> Span | None:
    """What lies between the bars so far and those of a chunk, where no bar is; else None."""
    if tally["first"] is None or not len(chunk.good):
        return None
    first, last = int(chunk.good.open_ts[0]), int(chunk.good.open_ts[-1])
    if first > tally["last"]:
        start, end = file.interval.next(tally["last"]), first
    else:
        start, end = file.interval.next(last), tally["first"]
    return Span(start, end, CoverageState.PENDING) if start < end else None


def counted(
    tally: Tally,
    file: ImportFile,
    chunk: Chunk,
    stored: Stored,
    quarantined: int,
    gap: Span | None,
) -> Tally:
    """The account after a chunk.

    Args:
        quarantined: how many of its bad bars were not known yet.
        gap: as ``beside`` gave it.
    """
    runs = present_spans(chunk.good.open_ts, file.interval)
    gaps = gaps_of(runs, file.interval)
    if gap is not None:
        gaps.append((gap.start, gap.end, file.interval.expected(gap.start, gap.end)))
    added = {
        "rows": chunk.rows,
        "new": stored.inserted,
        "unchanged": stored.unchanged,
        "revised": stored.revised,
        "bad": len(chunk.bad),
        "quarantined": quarantined,
        "off_grid": off_grid(chunk.bad),
        "unfinished": chunk.unfinished,
        "outside": chunk.outside,
    }
    repeated = tally["duplicates"]
    first = [tally["first"], runs[0].start] if runs else [tally["first"]]
    last = [tally["last"], int(chunk.good.open_ts[-1])] if runs else [tally["last"]]
    return {
        **tally,
        **{name: tally.get(name, 0) + count for name, count in added.items()},
        "duplicates": {
            "same": repeated["same"] + chunk.same,
            "differing": repeated["differing"] + chunk.differing,
        },
        "reasons": _reasons(tally.get("reasons", {}), chunk.bad),
        "first": min((each for each in first if each is not None), default=None),
        "last": max((each for each in last if each is not None), default=None),
        "gaps": longest(tally["gaps"], gaps),
        "zero_volume": longest(tally["zero_volume"], idle_runs(chunk.good, file.interval)),
    }


def _reasons(known: Mapping[str, int], bad: Iterable[BadKline]) -> dict[str, int]:
    """How many bars were refused for what. Rows that contradict each other say how, each its own
    way: all of them have one reason here."""
    found = dict(known)
    for entry in bad:
        reason = CONTRADICTS if entry.reason.startswith(CONTRADICTS) else entry.reason
        if reason not in found and len(found) >= _MOST_REASONS:
            reason = _OTHERS
        found[reason] = found.get(reason, 0) + 1
    return found
