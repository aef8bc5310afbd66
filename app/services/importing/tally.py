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
        **dict.fromkeys((*counts, "unfinished", "outside", "trades", "filled"), 0),
        "duplicates": {"same": 0, "differing": 0},
        "reasons": {},
        "ends": [],
        "first": None,
        "last": None,
        # Of the first and the last bar: the file's place in the plan, and what its name says.
        "first_of": None,
        "last_of": None,
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


def is_stated(tally: Tally, file: ImportFile, position: int, chunk: Chunk) -> bool:
    """Whether the source says of what lies ``beside`` a chunk that there is nothing.

    It does within a file, and between files that follow each other by their names; between others
    one may be missing, and a file that was left out in part says nothing of what follows.

    Args:
        position: of the file in the plan.
    """
    is_after = int(chunk.good.open_ts[0]) > tally["last"]
    other = tally.get("last_of" if is_after else "first_of")
    if other is None or other["at"] == position:
        return other is not None
    if file.period is None or other["period"] is None:
        return False
    before, after = (other["period"], file.period) if is_after else (file.period, other["period"])
    return bool(before[1] == after[0])


def cursor_cut_off(cursor: dict[str, Any], file: ImportFile) -> dict[str, Any]:
    """A job's cursor where its file is left out, perhaps in part."""
    key = "|".join(file.series)
    found = {key: cut_off(cursor["series"][key], cursor["file"])} if key in cursor["series"] else {}
    return {**cursor, "series": {**cursor["series"], **found}}


def cut_off(tally: Tally, position: int) -> Tally:
    """The account where a file ends before its end: what follows its last bar is not known."""
    ends = {name: tally.get(name) for name in ("first_of", "last_of")}
    gone = {name: None for name, each in ends.items() if each and each["at"] == position}
    return {**tally, **gone}


def counted(
    tally: Tally,
    file: ImportFile,
    chunk: Chunk,
    stored: Stored,
    quarantined: int,
    gap: Span | None,
    position: int,
) -> Tally:
    """The account after a chunk.

    Args:
        position: of the file in the plan.
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
        "revised": stored.revised - stored.filled,
        "filled": stored.filled,
        "bad": len(chunk.bad),
        "quarantined": quarantined,
        "off_grid": off_grid(chunk.bad),
        "unfinished": chunk.unfinished,
        "outside": chunk.outside,
        "trades": chunk.trades,
    }
    repeated = tally["duplicates"]
    first = [tally["first"], runs[0].start] if runs else [tally["first"]]
    last = [tally["last"], int(chunk.good.open_ts[-1])] if runs else [tally["last"]]
    after = {
        **tally,
        **_edges(tally, file, chunk, position),
        **{name: tally.get(name, 0) + count for name, count in added.items()},
        "duplicates": {
            "same": repeated["same"] + chunk.same,
            "differing": repeated["differing"] + chunk.differing,
        },
        "reasons": _reasons(tally.get("reasons", {}), chunk.bad),
        "ends": sorted({*tally.get("ends", []), *chunk.ends}),
        "first": min((each for each in first if each is not None), default=None),
        "last": max((each for each in last if each is not None), default=None),
        "gaps": longest(tally["gaps"], gaps),
        "zero_volume": longest(tally["zero_volume"], idle_runs(chunk.good, file.interval)),
    }
    return after if chunk.unended is None else cut_off(after, position)


def _edges(tally: Tally, file: ImportFile, chunk: Chunk, position: int) -> Tally:
    """Of which file the first and the last bar are, after a chunk."""
    if not len(chunk.good):
        return {}
    here = {"at": position, "period": file.period and list(file.period)}
    first, last = int(chunk.good.open_ts[0]), int(chunk.good.open_ts[-1])
    found = {}
    if tally["first"] is None or first < tally["first"]:
        found["first_of"] = here
    if tally["last"] is None or last > tally["last"]:
        found["last_of"] = here
    return found


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
