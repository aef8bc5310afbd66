"""What is known of each expected bar: algebra of half-open ranges.

A span says of all bars that open in [start, end) that they are present, pending, missing at the
exchange itself, before the listing, after the delisting, or retired. The spans of one series never
overlap, touch only where they differ, and ascend. What no span covers is pending and was never
asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from app.core.market.intervals import HOUR_MS, MINUTE_MS, Interval

# "The exchange has no such bar" needs this much: its neighbours came without it, so often, over
# so long. A bar that is merely late comes within seconds; one outage's repair took under an hour.
LOOKS_NEEDED: Final = 3
LOOKING_TIME_MS: Final = HOUR_MS
# Several plans that want one series look at its gaps one after the other: that is one look.
ONE_LOOK_MS: Final = MINUTE_MS // 2
# The first looks come as often as the series is followed, so that a late bar heals within
# minutes; the later ones are spaced. What stays wrong for an hour is looked at once a day.
_LOOK_AGAIN_MS: Final = 30 * MINUTE_MS
_STUBBORN_MS: Final = 24 * HOUR_MS


class CoverageState(StrEnum):
    """What is known of an expected bar.

    Retired bars are older than a rule keeps: what was stored of them was removed, and nothing
    asks for them again.
    """

    PRESENT = "present"
    PENDING = "pending"
    EXCHANGE_SIDE = "exchange_side"
    BEFORE_LISTING = "before_listing"
    AFTER_DELISTING = "after_delisting"
    RETIRED = "retired"


# What a venue that gives the neighbours alone says nothing new of.
_SETTLED: Final = (CoverageState.PRESENT, CoverageState.EXCHANGE_SIDE, CoverageState.RETIRED)


@dataclass(frozen=True, slots=True)
class Span:
    """Bars that open in [start, end) and what is known of them.

    Attributes:
        proof: how it is known. For a looked-at gap: ``first`` and ``last``, wall times in ms at
            which the bar's neighbours came without it, and ``looks``, how often (twice within half
            a minute is once); ``quarantined`` where the bar came and was refused; ``alone``
            where it was the venue's silence that was looked at, and no neighbour came. For retired
            bars: ``rule`` and ``keep_days``, and ``since`` and ``at``, when it was applied first
            and last.
    """

    start: int
    end: int
    state: CoverageState
    proof: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"span was empty: [{self.start}, {self.end})")

    def same_kind(self, other: Span) -> bool:
        """Whether the two say the same."""
        return self.state is other.state and self.proof == other.proof

    def cut(self, start: int, end: int) -> Span:
        """The part inside [start, end), which must not be empty."""
        return replace(self, start=max(self.start, start), end=min(self.end, end))


def lay(spans: Sequence[Span], *new: Span) -> list[Span]:
    """``spans`` with the new ones laid over them, later ones on top; neighbours that agree join."""
    found = list(spans)
    for top in new:
        kept = [part for span in found for part in _outside(span, top.start, top.end)]
        found = sorted([*kept, top], key=lambda span: span.start)
    return _joined(found)


def lay_apart(spans: Sequence[Span], new: Sequence[Span]) -> list[Span]:
    """``lay`` for many new spans that ascend and do not overlap: one pass over both.

    A month of a market in which few trade has thousands of runs.
    """
    kept: list[Span] = []
    begin = 0
    for span in spans:
        position = span.start
        while begin < len(new) and new[begin].end <= position:
            begin += 1
        at = begin
        while at < len(new) and new[at].start < span.end:
            if new[at].start > position:
                kept.append(span.cut(position, new[at].start))
            position = max(position, new[at].end)
            at += 1
        if position < span.end:
            kept.append(span.cut(position, span.end))
    return _joined(sorted([*kept, *new], key=lambda span: span.start))


def account(spans: Sequence[Span], start: int, end: int) -> list[Span]:
    """Every bar of [start, end) exactly once; what no span covers is pending without proof.

    Nothing where the range is empty: a job that was killed behind its last page asks so.
    """
    if start >= end:
        return []
    found = []
    position = start
    for span in spans:
        if span.end <= start or span.start >= end:
            continue
        part = span.cut(start, end)
        if part.start > position:
            found.append(Span(position, part.start, CoverageState.PENDING))
        found.append(part)
        position = part.end
    if position < end:
        found.append(Span(position, end, CoverageState.PENDING))
    return _joined(found)


def missing(spans: Sequence[Span], start: int, end: int, now_ms: int) -> list[tuple[int, int]]:
    """Ranges of [start, end) to ask the venue for now, ascending and apart.

    Args:
        now_ms: wall time; a gap that was looked at is due again some time after the last look.
    """
    found: list[tuple[int, int]] = []
    for span in account(spans, start, end):
        if span.state is not CoverageState.PENDING or not _due(span.proof, now_ms):
            continue
        if found and found[-1][1] == span.start:
            found[-1] = (found[-1][0], span.end)
        else:
            found.append((span.start, span.end))
    return found


def gaps(spans: Sequence[Span], start: int, end: int) -> list[Span]:
    """All that is not present in [start, end); gaps of one state that touch are one."""
    bare = [replace(span, proof={}) for span in account(spans, start, end)]
    return [span for span in _joined(bare) if span.state is not CoverageState.PRESENT]


def count_bars(
    spans: Sequence[Span], interval: Interval, start: int, end: int, offset_ms: int = 0
) -> dict[CoverageState, int]:
    """How many expected bars of [start, end) are in each state; the sum is all of them."""
    counts = dict.fromkeys(CoverageState, 0)
    for span in account(spans, start, end):
        counts[span.state] += interval.expected(span.start, span.end, offset_ms)
    return counts


def present_runs(times: Iterable[int], interval: Interval) -> list[Span]:
    """Present spans of the bars that open at ``times``, which ascend."""
    runs: list[tuple[int, int]] = []
    for opened in times:
        closes = interval.next(opened)
        if runs and runs[-1][1] == opened:
            runs[-1] = (runs[-1][0], closes)
        else:
            runs.append((opened, closes))
    return [Span(start, end, CoverageState.PRESENT) for start, end in runs]


def observed_absent(spans: Sequence[Span], start: int, end: int, now_ms: int) -> list[Span]:
    """What is known of [start, end) after its neighbours came without it once more.

    Bars that were present stay so: the venue forgetting a bar does not unmake it.

    Returns:
        Spans to lay over ``spans``.
    """
    found = []
    for span in account(spans, start, end):
        if span.state in _SETTLED:
            continue
        proof = _looked(span.proof, now_ms)
        proven = (
            proof["looks"] >= LOOKS_NEEDED and proof["last"] - proof["first"] >= LOOKING_TIME_MS
        )
        state = CoverageState.EXCHANGE_SIDE if proven else CoverageState.PENDING
        found.append(Span(span.start, span.end, state, proof))
    return found


def refused(spans: Sequence[Span], start: int, end: int, reason: str, now_ms: int) -> list[Span]:
    """What is known of [start, end) after its bar came and was refused.

    Returns:
        Spans to lay over ``spans``: pending for as long as the venue keeps sending it.
    """
    found = []
    for span in account(spans, start, end):
        if span.state in (CoverageState.PRESENT, CoverageState.RETIRED):
            continue
        proof = {**_looked(span.proof, now_ms), "quarantined": reason}
        found.append(Span(span.start, span.end, CoverageState.PENDING, proof))
    return found


def _looked(proof: Mapping[str, Any], now_ms: int) -> dict[str, int]:
    """When a gap was looked at first and last, and how often, after one more look.

    What was seen while no neighbour came proves nothing of a gap: the counting begins anew.
    """
    proof = {} if proof.get("alone") else proof
    first, looks = int(proof.get("first", now_ms)), int(proof.get("looks", 0))
    last = int(proof.get("last", now_ms))
    if looks and 0 <= now_ms - last < ONE_LOOK_MS:
        return {"first": first, "last": last, "looks": looks}
    return {"first": first, "last": now_ms, "looks": looks + 1}


def _due(proof: Mapping[str, Any], now_ms: int) -> bool:
    looks = int(proof.get("looks", 0))
    if looks < (1 if proof.get("alone") else LOOKS_NEEDED):
        return True
    first, last = int(proof["first"]), int(proof["last"])
    pause = _STUBBORN_MS if last - first >= LOOKING_TIME_MS else _LOOK_AGAIN_MS
    # A look that lies further ahead was stamped before the clock was set back.
    return abs(now_ms - last) >= pause


def _outside(span: Span, start: int, end: int) -> list[Span]:
    parts = []
    if span.start < start:
        parts.append(span.cut(span.start, start) if span.end > start else span)
    if span.end > end:
        parts.append(span.cut(end, span.end) if span.start < end else span)
    return parts


def _joined(spans: Iterable[Span]) -> list[Span]:
    found: list[Span] = []
    for span in spans:
        if found and found[-1].end == span.start and found[-1].same_kind(span):
            found[-1] = replace(found[-1], end=span.end)
        else:
            found.append(span)
    return found
