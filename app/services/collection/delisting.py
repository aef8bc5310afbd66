"""What is known of a series whose symbol its venue has delisted, and of one that is back."""

from __future__ import annotations

from dataclasses import replace

from app.core.market.coverage import CoverageState, Span, account, asked_in_vain, lay_apart
from app.core.market.instruments import InstrumentStatus
from app.repositories.unit import Unit
from app.services.collection.target import Target

_AFTER = CoverageState.AFTER_DELISTING


def after_delisting(start: int, end: int, now_ms: int) -> Span:
    """Bars of [start, end) that are not to come, as the catalogue says by now."""
    return Span(start, end, _AFTER, {"status": "delisted", "seen_at": now_ms})


def is_delisted(unit: Unit, target: Target) -> bool:
    """Whether the venue's catalogue, as it was read last, does not hold the symbol any more."""
    listed = unit.instruments.find(target.exchange, target.symbol)
    return listed is not None and listed.status is InstrumentStatus.DELISTED


def concluded(unit: Unit, target: Target, start: int, end: int) -> bool:
    """Note that the venue refuses a symbol that is delisted; False where it is not, by our
    catalogue, and nothing is noted.

    OKX answers so as soon as a symbol is gone (51001), Bybit ("Not supported symbols") and Binance
    (-1121) once they have removed it. What is behind the last stored bar is not to come; what is
    missing before it was asked for in vain.

    Args:
        start, end: what was to be asked for, to the last bar that is final.
    """
    if not is_delisted(unit, target):
        return False
    series = unit.klines.locked(*target.key[:3], unit.now_ms, kind=target.kind.value)
    spans = unit.coverage.spans(series.id)
    stored = [span.end for span in spans if span.state is CoverageState.PRESENT]
    last = min(end, max(start, *stored)) if stored else start
    ended = [
        after_delisting(part.start, part.end, unit.now_ms)
        for part in account(spans, last, end)
        if part.state is CoverageState.PENDING
    ]
    lacking = asked_in_vain(spans, start, last, unit.now_ms)
    unit.coverage.save(series.id, spans, lay_apart(spans, [*lacking, *ended]))
    return True


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
