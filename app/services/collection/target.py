"""Series to keep complete, and the next request for one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.core.market.coverage import CoverageState, Span, account, missing
from app.core.market.intervals import Interval, interval
from app.core.market.klines import KlineKind
from app.core.market.retention import KeepRule, cut_of
from app.models import CollectionPlanRow

#: Bars asked for at once where the venue does not say.
PAGE: Final = 1000
#: How long after its close a bar is taken as final where nothing else is set, ms: venues restate
#: the bar that just closed within 2 s.
GRACE_MS: Final = 3_000


@dataclass(frozen=True, slots=True)
class Target:
    """One series of one plan.

    Attributes:
        since: open time of the first bar to keep, ms, on the grid.
        kind: what the prices are.
        page: bars asked for at once; the venue's own limit.
    """

    exchange: str
    symbol: str
    interval: Interval
    since: int
    kind: KlineKind = KlineKind.TRADE
    page: int = PAGE

    @property
    def key(self) -> tuple[str, str, str, KlineKind]:
        """Exchange, symbol, interval and kind: what ``find_series`` takes."""
        return self.exchange, self.symbol, self.interval.name, self.kind

    def bars(self, start: int, end: int) -> int:
        """Expected bars in [start, end)."""
        return self.interval.expected(start, end)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: bars that open in [start, end), at most a page of them.

    Attributes:
        wanted_from: where the first missing bar is; ``start`` may be a bar earlier, so that
            the answer shows the neighbour of a gap.
        stored_until: close of the latest bar stored before ``wanted_from``, or None.
    """

    start: int
    end: int
    wanted_from: int
    stored_until: int | None


def targets_of(plan: CollectionPlanRow, page: int = PAGE) -> list[Target]:
    """Every series of a plan, to be asked for in pages of so many bars."""
    return [
        target(plan.exchange, symbol, name, plan.since_ts, plan.kind, page)
        for symbol in plan.symbols
        for name in plan.intervals
    ]


def target(
    exchange: str,
    symbol: str,
    interval_name: str,
    since_ts: int,
    kind: str = KlineKind.TRADE,
    page: int = PAGE,
) -> Target:
    """A series from its names; ``since_ts`` moves up to the grid."""
    length = interval(interval_name)
    return Target(exchange, symbol, length, length.ceil(since_ts), KlineKind(kind), page)


def closed_end(length: Interval, market_ms: int, grace_ms: int = GRACE_MS) -> int:
    """Open time of the first bar that is not final yet at a market time, ms."""
    return length.floor(market_ms - grace_ms)


def kept(wanted: Target, rules: Sequence[KeepRule], market_ms: int) -> Target:
    """A series without the bars that a rule would remove at once: nobody asks for them."""
    cut = cut_of(rules, *wanted.key[:3], wanted.kind, market_ms)
    return wanted if cut <= wanted.since else replace(wanted, since=cut)


def keeps(plan: CollectionPlanRow, exchange: str, symbol: str, interval: str, kind: str) -> bool:
    """Whether a plan keeps the series of these names."""
    names = (plan.exchange, plan.kind) == (exchange, kind)
    return names and symbol in plan.symbols and interval in plan.intervals


def kept_by(plan: CollectionPlanRow) -> set[tuple[str, str, str]]:
    """Series of trades that a plan keeps: exchange, symbol, interval."""
    if plan.kind != KlineKind.TRADE:
        return set()
    return {(plan.exchange, symbol, name) for symbol in plan.symbols for name in plan.intervals}


def next_ask(
    target: Target, spans: Sequence[Span], position: int, end: int, now_ms: int
) -> Ask | None:
    """The request for the first bars missing in [position, end), or None if none is due.

    Gaps that fit into one page together are asked for together, each with the bars before and
    after it, however long it is: only neighbours that come without a bar prove that the venue has
    none. The bar after a gap alone may be the first of the latest ones that a venue gives.
    """
    ranges = missing(spans, max(position, target.since), end, now_ms)
    if not ranges:
        return None
    wanted, stop = ranges[0]
    older = [span.end for span in spans if _present(span) and span.end <= wanted]
    start = wanted
    if older and not _is_back_fill(target, spans, wanted, stop):
        start = target.interval.floor(older[-1] - 1)
    for _, last in ranges[1:]:
        if last >= start + target.page * target.interval.length_ms:
            break
        stop = last
    return Ask(start, min(end, target.interval.next(stop)), wanted, older[-1] if older else None)


def _is_back_fill(target: Target, spans: Sequence[Span], wanted: int, stop: int) -> bool:
    """Whether a page or more is missing that nobody has asked for yet.

    Such a page comes full as a rule. Asked for again, the last bar of the page before it would
    keep every page from the empty range that loads in bulk.
    """
    if stop - wanted < target.page * target.interval.length_ms:
        return False
    return not account(spans, wanted, stop)[0].proof


def _present(span: Span) -> bool:
    return span.state is CoverageState.PRESENT
