"""Bars that a venue was asked for and gave nothing of: neither them nor their neighbours.

A symbol that never traded, or that is halted, has no bars for days. Such silence proves nothing
of a bar, but it need not be asked about with every round: it is looked at again like a gap, after
half an hour and then once a day. What closes meanwhile continues it.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.core.market.coverage import CoverageState, Span, account
from app.core.market.looks import ALONE, ASKED, counted


def fell_silent(spans: Sequence[Span], start: int, end: int, now_ms: int) -> list[Span]:
    """What is known of [start, end) after all of it was asked for, and what came is stored.

    Gaps whose neighbours came are left as they are: they have looks of their own. Where the venue
    has later bars, see ``coverage.asked_in_vain``.

    Returns:
        Spans to lay over ``spans``.
    """
    found = []
    for span in account(spans, start, end):
        if span.state is not CoverageState.PENDING:
            continue
        if span.proof and not span.proof.get(ALONE):
            continue
        proof = {**counted(span.proof, ASKED, now_ms), ALONE: True}
        found.append(Span(span.start, span.end, CoverageState.PENDING, proof))
    return found


def still_silent(spans: Sequence[Span], start: int, end: int) -> list[Span]:
    """What is known of [start, end) after it was asked for, and nothing came.

    Returns:
        Spans to lay over ``spans``: none where the venue was not silent just before.
    """
    before = [span for span in spans if span.end == start and span.proof.get(ALONE)]
    if not before or before[0].state is not CoverageState.PENDING:
        return []
    return [
        Span(part.start, part.end, CoverageState.PENDING, before[0].proof)
        for part in account(spans, start, end)
        if part.state is CoverageState.PENDING and not part.proof
    ]
