"""What is known of a series whose symbol its venue has delisted, and of one that is back."""

from __future__ import annotations

from dataclasses import replace

from app.core.market.coverage import CoverageState, Span, lay_apart
from app.repositories.unit import Unit
from app.services.collection.target import Target

_AFTER = CoverageState.AFTER_DELISTING


def prolong(unit: Unit, target: Target, end: int) -> None:
    """Let the time after a delisting go on to ``end``: nobody asks the venue for it again.

    Nothing where something else is known of the latest bars.
    """
    series = unit.klines.locked(*target.key[:3], unit.now_ms, kind=target.kind.value)
    spans = unit.coverage.spans(series.id)
    if spans and spans[-1].state is _AFTER and spans[-1].end < end:
        unit.coverage.save(series.id, spans[-1:], [replace(spans[-1], end=end)])


def reopen(unit: Unit, target: Target) -> None:
    """Have the time after a delisting asked for: the symbol trades again, who knows since when."""
    series = unit.klines.locked(*target.key[:3], unit.now_ms, kind=target.kind.value)
    spans = unit.coverage.spans(series.id)
    again = [
        Span(span.start, span.end, CoverageState.PENDING) for span in spans if span.state is _AFTER
    ]
    unit.coverage.save(series.id, spans, lay_apart(spans, again))
