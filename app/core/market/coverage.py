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

from app.core.market.intervals import Interval
from app.core.market.looks import (
    ALONE,
    ASKED,
    PROVEN,
    counted,
    is_enough,
    is_gap_due,
    is_listing_due,
    is_one_look,
    listing_proof,
)


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
            a minute is once); ``asked_first``, ``asked_last`` and ``asked`` of the times when it
            was asked for and an answer proved nothing, and ``alone`` where no other bar came with
            it; ``quarantined`` where the bar came and was refused. For bars before the listing:
            ``earliest``, the open time of the venue's first bar of all, and ``first``, ``last``
            and ``looks``, when it was found to be that. For retired bars: ``rule`` and
            ``keep_days``, and ``since`` and ``at``, when it was applied first and last.
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


def missing(
    spans: Sequence[Span], start: int, end: int, now_ms: int, *, by_rounds: bool = False
) -> list[tuple[int, int]]:
    """Ranges of [start, end) to ask the venue for now, ascending and apart.

    Args:
        now_ms: wall time; a gap that was looked at is due again some time after the last look.
        by_rounds: without gaps of which another question would count as one look with the last;
            a person who asks again does not wait for that.
    """
    found: list[tuple[int, int]] = []
    oldest = _oldest(spans)
    for span in account(spans, start, end):
        if not _due(span, oldest, now_ms) or (by_rounds and is_one_look(span.proof, now_ms)):
            continue
        if found and found[-1][1] == span.start:
            found[-1] = (found[-1][0], span.end)
        else:
            found.append((span.start, span.end))
    return found


def can_be_asked_for(spans: Sequence[Span], start: int, end: int) -> bool:
    """Whether a venue may have a bar of [start, end) that is not here, due again or not."""
    open_to_doubt = (CoverageState.PENDING, CoverageState.BEFORE_LISTING)
    return any(span.state in open_to_doubt for span in account(spans, start, end))


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


def expected_of(counts: Mapping[CoverageState, int]) -> int:
    """Bars that are expected: present, pending or missing at the venue.

    What lies before the listing or after the delisting never was one, and what a rule removed is
    not wanted any more.
    """
    expected = (CoverageState.PRESENT, CoverageState.PENDING, CoverageState.EXCHANGE_SIDE)
    return sum(counts[state] for state in expected)


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

    Call it only where both of them came: that the venue gives the bar after a gap says nothing,
    for it may give the latest bars alone. Bars that were present stay so: the venue forgetting a
    bar does not unmake it. Bars that were before the listing are none: the venue has an older one.

    Returns:
        Spans to lay over ``spans``.
    """
    found = []
    for span in account(spans, start, end):
        if span.state in _SETTLED:
            continue
        proof = counted(_gap_proof(span), PROVEN, now_ms)
        state = CoverageState.EXCHANGE_SIDE if is_enough(proof) else CoverageState.PENDING
        found.append(Span(span.start, span.end, state, proof))
    return found


def asked_in_vain(spans: Sequence[Span], start: int, end: int, now_ms: int) -> list[Span]:
    """What is known of [start, end) after a venue that has later bars gave none of it.

    A neighbour did not come with the answer, so it proves nothing; it is noted for what comes
    next: such gaps are asked for as seldom as proven ones, or a venue that has the latest bars
    alone would be asked for the same years every ten seconds.

    Returns:
        Spans to lay over ``spans``.
    """
    found = []
    for span in account(spans, start, end):
        if span.state in (CoverageState.PENDING, CoverageState.BEFORE_LISTING):
            known = _gap_proof(span)
            proof = {**known, **counted(known, ASKED, now_ms)}
            found.append(Span(span.start, span.end, CoverageState.PENDING, proof))
    return found


def before_listing(
    spans: Sequence[Span], start: int, end: int, earliest: int, now_ms: int
) -> list[Span]:
    """What is known of [start, end), which lies before the venue's first bar of all.

    Where that bar lay earlier once, the venue forgets, and its first bar is no listing: what lies
    before it is open again.

    Args:
        earliest: open time of that bar.

    Returns:
        Spans to lay over ``spans``.
    """
    found: list[Span] = []
    for span in account(spans, start, end):
        if span.state in _SETTLED:
            continue
        is_known = span.state is CoverageState.BEFORE_LISTING
        known = int(span.proof.get("earliest", earliest)) if is_known else earliest
        if known < earliest:
            found += asked_in_vain([span], span.start, span.end, now_ms)
            continue
        agreeing = listing_proof(span.proof) if is_known and known == earliest else {}
        proof = {"earliest": earliest, **counted(agreeing, PROVEN, now_ms)}
        found.append(Span(span.start, span.end, CoverageState.BEFORE_LISTING, proof))
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
        proof = counted(_gap_proof(span), PROVEN, now_ms)
        state = CoverageState.PENDING
        found.append(Span(span.start, span.end, state, {**proof, "quarantined": reason}))
    return found


def _gap_proof(span: Span) -> Mapping[str, Any]:
    """What was seen of a gap so far; of what was said to be outside of the listing, nothing."""
    outside = (CoverageState.BEFORE_LISTING, CoverageState.AFTER_DELISTING)
    if span.state in outside:
        return {}
    return {name: value for name, value in span.proof.items() if name != ALONE}


def _oldest(spans: Sequence[Span]) -> int | None:
    return next((span.start for span in spans if span.state is CoverageState.PRESENT), None)


def _due(span: Span, oldest: int | None, now_ms: int) -> bool:
    if span.state is CoverageState.BEFORE_LISTING:
        # A bar from before the listing, as of a file: there was no listing then.
        return (oldest is not None and oldest < span.start) or is_listing_due(span.proof, now_ms)
    return span.state is CoverageState.PENDING and is_gap_due(span.proof, now_ms)


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
