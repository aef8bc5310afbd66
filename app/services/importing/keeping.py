"""One chunk of a file into the record: bars, coverage, quarantine and event together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from app.core.events import kline_event
from app.core.market.coverage import CoverageState, Span, account, lay_apart
from app.core.market.files.columns import KlineColumns
from app.core.market.files.findings import gaps_of, present_spans
from app.core.market.klines import KlineKind
from app.core.market.shifts import REACH_MS, found_shift
from app.repositories.klines import Stored
from app.repositories.unit import Unit
from app.services.collection.rolling import hint_roll_up
from app.services.importing.chunks import Chunk
from app.services.importing.order import ImportFile

_NAME_LIMIT: Final = 64


class SuspectError(Exception):
    """Most bars of a chunk differ from those stored: nothing of it was kept, look closer."""


def keep_chunk(
    unit: Unit,
    file: ImportFile,
    chunk: Chunk,
    *,
    complete: bool,
    beside: Span | None,
    stated: bool,
    trusted: bool,
) -> tuple[Stored, int]:
    """Store a chunk under the series row's lock; what was stored and how many newly quarantined.

    A file shows what is there and says nothing of what it lacks, unless it is complete.

    Args:
        beside: between this chunk's bars and those of the file before it, where none are.
        stated: the source says that nothing is there, and not only that it is of another file.
        trusted: store bars that differ from stored ones, however many.

    Raises:
        SuspectError: most bars differ; roll back.
        Unavailable: the bulk load did not store exactly these rows; roll back.
    """
    exchange, symbol, name, kind = file.series
    series = unit.klines.locked(exchange, symbol, name, unit.now_ms, kind=kind)
    source = f"file:{file.name}"[:_NAME_LIMIT]
    quarantined = unit.klines.quarantine(series.id, chunk.bad, source, unit.now_ms)
    runs = present_spans(chunk.good.open_ts, file.interval)
    if not runs:
        return Stored(), quarantined
    if not complete or not stated:
        beside = None
    start = min(runs[0].start, beside.start if beside else runs[0].start)
    end = max(runs[-1].end, beside.end if beside else runs[-1].end)
    before = unit.coverage.spans(series.id, start, end)
    covered = any(
        span.state is CoverageState.PRESENT and span.start < end and span.end > start
        for span in before
    )
    stored = unit.klines.store_columns(
        series.id, chunk.good, covered=covered, source=source, now_ms=unit.now_ms
    )
    if not trusted and stored.revised > stored.unchanged:
        raise SuspectError
    absent = []
    if complete:
        bad = unit.klines.quarantined_opens(series.id, start, end)
        absent = _absent(before, runs, file, bad, beside, unit.now_ms)
    learned = sorted([*runs, *absent], key=lambda span: span.start)
    unit.coverage.save(series.id, before, lay_apart(before, learned))
    if stored.changed:
        _tell(unit, file, stored)
        hint_roll_up(unit, series.id, stored)
    return stored, quarantined


def shift_of(unit: Unit, file: ImportFile, bars: KlineColumns) -> int | None:
    """By how much a chunk's bars are ahead of the same bars as stored, ms; None if they are not."""
    exchange, symbol, name, kind = file.series
    series = unit.klines.find_series(exchange, symbol, name, kind)
    if series is None:
        return None
    first, last = int(bars.open_ts[0]), int(bars.open_ts[-1])
    stored = unit.klines.read_exact_columns(series.id, first - REACH_MS, last + REACH_MS + 1)
    return found_shift(bars, stored, file.interval)


def _absent(
    before: list[Span],
    runs: list[Span],
    file: ImportFile,
    bad: Iterable[int],
    beside: Span | None,
    now_ms: int,
) -> list[Span]:
    """Bars that a complete file lacks: no such bar exists. What it has and is bad may exist.

    Args:
        bad: times of bars that were refused, also of those of the chunk before.
    """
    proof: dict[str, Any] = {"proof": "file", "file": file.name[:_NAME_LIMIT], "seen_at": now_ms}
    lacking = [(start, end) for start, end, _ in gaps_of(runs, file.interval)]
    if beside is not None:
        lacking.append((beside.start, beside.end))
    opens = sorted({file.interval.floor(opened) for opened in bad})
    found = []
    for start, end in lacking:
        unsure = [
            Span(opened, file.interval.next(opened), CoverageState.PENDING)
            for opened in opens
            if start <= opened < end
        ]
        whole = [Span(start, end, CoverageState.EXCHANGE_SIDE, proof)]
        for span in lay_apart(whole, unsure):
            if span.state is CoverageState.EXCHANGE_SIDE:
                found += [
                    span.cut(part.start, part.end)
                    for part in account(before, span.start, span.end)
                    if part.state not in (CoverageState.PRESENT, CoverageState.RETIRED)
                ]
    return found


def _tell(unit: Unit, file: ImportFile, stored: Stored) -> None:
    exchange, symbol, name, kind = file.series
    facts = (stored.first, stored.last, stored.changed)
    unit.emit(*kline_event(exchange, symbol, name, *facts, kind=kind))
    if file.kind is not KlineKind.TRADE:
        return
    for instance_id in unit.instances.running_on(exchange, symbol, name):
        unit.enqueue("strategies.evaluate", instance_id)
