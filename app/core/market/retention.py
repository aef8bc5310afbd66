"""Which bars are kept for how long, and what is known of those that were removed.

A rule names series by exchange, symbol and interval. Nothing is removed unless a rule says so, and
where several rules match a series the one that keeps its bars longest counts: what is removed
does not come back by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.core.errors import InvalidInput
from app.core.market.coverage import CoverageState, Span, account
from app.core.market.intervals import DAY_MS, Interval, interval
from app.core.market.klines import KlineKind
from app.core.market.patterns import matches

#: Every exchange, or every symbol.
ANY: Final = "*"
#: Yesterday is compared with its venue, and a series is dead after seven silent days: what is
#: younger is still being looked at.
SHORTEST_DAYS: Final = 8
LONGEST_DAYS: Final = 36_500
_NAME_LIMIT: Final = 64
# What a series never had is not said to be removed.
_OUTSIDE: Final = (CoverageState.BEFORE_LISTING, CoverageState.AFTER_DELISTING)
_KINDS: Final = frozenset(kind.value for kind in KlineKind)


@dataclass(frozen=True, slots=True)
class KeepRule:
    """How long the bars of some series are kept.

    Attributes:
        exchange: its id, or ``*`` for all.
        symbol: a pattern; ``*`` stands for any characters, ``?`` for one.
        interval: of the bars, by name.
        keep_days: days behind the market's present; None keeps for ever.

    Raises:
        InvalidInput: a value that cannot be meant.
        UnknownName: no such interval.
    """

    id: str
    exchange: str
    symbol: str
    interval: str
    keep_days: int | None

    def __post_init__(self) -> None:
        for name, text in (("an exchange", self.exchange), ("a symbol", self.symbol)):
            if not 0 < len(text) <= _NAME_LIMIT or not text.isprintable():
                raise InvalidInput(f"{name} of a rule has 1 to {_NAME_LIMIT} characters, or is *")
        interval(self.interval)
        if self.keep_days is not None and not SHORTEST_DAYS <= self.keep_days <= LONGEST_DAYS:
            raise InvalidInput(
                f"keep bars for {SHORTEST_DAYS} to {LONGEST_DAYS} days, or for ever: the latest "
                "days are still compared with the venue"
            )

    def matches(self, exchange: str, symbol: str, interval_name: str) -> bool:
        """Whether a series of these names is meant."""
        return (
            self.interval == interval_name
            and self.exchange in (ANY, exchange)
            and matches(symbol, self.symbol)
        )

    def cut(self, market_ms: int, offset_ms: int = 0) -> int:
        """The end of what is older than the rule keeps, on the grid; 0 where nothing is.

        A whole UTC day is kept or removed, and a bar only once all of it is old enough.

        Args:
            market_ms: market time of the venue.
        """
        if self.keep_days is None:
            return 0
        oldest = max(0, market_ms - self.keep_days * DAY_MS)
        return max(0, interval(self.interval).floor(oldest - oldest % DAY_MS, offset_ms))


def rule_of(
    rules: Iterable[KeepRule],
    exchange: str,
    symbol: str,
    interval_name: str,
    kind: str = KlineKind.TRADE,
) -> KeepRule | None:
    """The rule that counts for a series, or None where its bars are kept whatever their age.

    Only bars that a venue states are removed by rules, not what was made of them.
    """
    found: KeepRule | None = None
    for rule in rules if kind in _KINDS else ():
        if not rule.matches(exchange, symbol, interval_name):
            continue
        if rule.keep_days is None:
            return None
        if found is None or found.keep_days is None or rule.keep_days > found.keep_days:
            found = rule
    return found


def cut_of(
    rules: Iterable[KeepRule],
    exchange: str,
    symbol: str,
    interval_name: str,
    kind: str,
    market_ms: int,
) -> int:
    """Where the bars of a series begin that its rule keeps; 0 where no rule removes any."""
    rule = rule_of(rules, exchange, symbol, interval_name, kind)
    return 0 if rule is None else rule.cut(market_ms)


def retired(spans: Sequence[Span], start: int, end: int, rule: KeepRule, now_ms: int) -> list[Span]:
    """What is known of [start, end) once its bars are removed: spans to lay over ``spans``.

    Gaps are retired with the bars around them: nobody asks for them any more.
    """
    before = [span for span in account(spans, start, end) if span.state not in _OUTSIDE]
    proof: dict[str, Any] = {"rule": rule.id, "keep_days": rule.keep_days, "at": now_ms}
    known = [each.proof for each in before if each.state is CoverageState.RETIRED]
    proof["since"] = min((int(each.get("since", now_ms)) for each in known), default=now_ms)
    runs: list[tuple[int, int]] = []
    for span in before:
        if runs and runs[-1][1] == span.start:
            runs[-1] = (runs[-1][0], span.end)
        else:
            runs.append((span.start, span.end))
    return [Span(*run, CoverageState.RETIRED, proof) for run in runs]


def is_retired(spans: Sequence[Span], start: int, end: int) -> bool:
    """Whether nothing is left to be retired in [start, end)."""
    done = (CoverageState.RETIRED, *_OUTSIDE)
    return start >= end or all(span.state in done for span in account(spans, start, end))


def retired_parts(spans: Iterable[Span]) -> list[Span]:
    """The spans that say that bars were removed."""
    return [span for span in spans if span.state is CoverageState.RETIRED]


def whole_days(spans: Iterable[Span], start: int, end: int) -> list[int]:
    """UTC days in [start, end) of which no bar was removed, ascending.

    What was made of the others stays: it cannot be made again.
    """
    gone = retired_parts(spans)
    return [
        day
        for day in range(start, end, DAY_MS)
        if not any(span.start < day + DAY_MS and span.end > day for span in gone)
    ]


def reopened(spans: Iterable[Span], cut: int) -> list[Span]:
    """Spans to lay over ``spans`` so that what lies behind ``cut`` is asked for again."""
    return [
        Span(max(span.start, cut), span.end, CoverageState.PENDING)
        for span in retired_parts(spans)
        if span.end > cut
    ]


def step_end(first: int, end: int, grid: Interval, most: int) -> int:
    """End of a step from ``first``: whole days, of about so many bars, on the grid and ≤ end."""
    reach = max(1, most * grid.length_ms // DAY_MS)
    stop = grid.floor(first - first % DAY_MS + reach * DAY_MS)
    return min(end, max(stop, grid.next(grid.floor(first))))
