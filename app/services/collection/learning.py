"""What an answer of a venue proves of the bars that it does not hold.

An answer holds the first bars from a time on, as many as fit. What lies between two of its bars
the venue has not. Before the first of them it may have had bars, and give its latest alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from app.core.market.coverage import (
    CoverageState,
    Span,
    asked_in_vain,
    before_listing,
    observed_absent,
    present_runs,
    refused,
)
from app.services.collection.delisting import after_delisting

if TYPE_CHECKING:
    from app.services.collection.filling import Answer
    from app.services.collection.target import Ask, Target


def learned(
    target: Target, answer: Answer, before: Sequence[Span], now_ms: int, *, over: bool
) -> list[list[Span]]:
    """Spans that an answer proves, in groups in which they ascend and do not overlap; the groups
    are laid over the known spans one after the other.

    Args:
        over: whether nothing more is to come, for the venue has delisted the symbol.
    """
    times = answer.times
    runs = present_runs(times, target.interval)
    absent = _leading(answer, before, times, now_ms)
    # A page of a market in which few trade has hundreds of gaps: none looks at all spans.
    starts = [span.start for span in before]
    for left, right in pairwise(runs):
        low = max(0, bisect_right(starts, left.end) - 1)
        near = before[low : bisect_left(starts, right.start)]
        absent += observed_absent(near, left.end, right.start, now_ms)
    found = [absent, _refused(target, answer, before, now_ms)]
    if over:
        found.append([after_delisting(answer.ask.wanted_from, answer.ask.end, now_ms)])
    return [*found, runs]


def _refused(target: Target, answer: Answer, before: Sequence[Span], now_ms: int) -> list[Span]:
    """What is known of the bars that came, were refused, and came in no better shape either."""
    stored = set(answer.times)
    reasons = {
        bad.open_ts: bad.reason
        for bad in answer.bad
        if answer.ask.start <= bad.open_ts < answer.ask.end
        and target.interval.floor(bad.open_ts) == bad.open_ts
        and bad.open_ts not in stored
    }
    found: list[Span] = []
    # A page in disorder has hundreds of them among as many spans: none looks at all of these.
    starts = [span.start for span in before]
    for opened in sorted(reasons):
        end = target.interval.next(opened)
        near = before[max(0, bisect_right(starts, opened) - 1) : bisect_left(starts, end)]
        found += refused(near, opened, end, reasons[opened], now_ms)
    return found


def is_over(answer: Answer, before: Sequence[Span], times: Sequence[int]) -> bool:
    """Whether nothing came from the first missing bar on, and nothing later is stored."""
    wanted = answer.ask.wanted_from
    later = any(span.state is CoverageState.PRESENT and span.end > wanted for span in before)
    return not later and not any(opened >= wanted for opened in times)


def earlier(target: Target, answer: Answer, known: Sequence[Span], now_ms: int) -> Sequence[Span]:
    """What an answer says of the wanted bars before those that were asked for.

    The latest bars alone may have been asked for, and the venue have none before them.

    Args:
        known: spans of all that the plan wants.

    Returns:
        Spans to lay over ``known``.
    """
    listed = _listing(answer, known)
    if listed is None:
        return []
    return before_listing(known, target.since, answer.ask.wanted_from, listed, now_ms)


def _leading(
    answer: Answer, before: Sequence[Span], times: Sequence[int], now_ms: int
) -> list[Span]:
    """What is known of the bars that were asked for before the first one that came.

    Where the bar before them is stored, it was asked for with them; it has not come, or they would
    lie between two bars of the answer. So the venue may give its latest bars alone, and proves
    nothing. Where none is stored, a bar of the venue's that is older proves that it does not.
    """
    ask, earliest = answer.ask, answer.earliest
    wanted = ask.wanted_from
    if (times and times[0] <= wanted) or (answer.bad and not times):
        return []
    first = times[0] if times else None
    if earliest is not None and earliest < wanted and first is not None:
        return observed_absent(before, wanted, first, now_ms)
    # Without an answer, a later bar that is known says that these are not yet to come.
    stop = _next_known(before, ask) if first is None else first
    listed = _listing(answer, before)
    if listed is None:
        return asked_in_vain(before, wanted, stop, now_ms)
    reach = min(listed, ask.end)
    found = before_listing(before, wanted, reach, listed, now_ms)
    # The venue has given its first bar, and not these, which it must have: it hides them.
    return found + asked_in_vain(before, reach, stop, now_ms)


def _listing(answer: Answer, known: Sequence[Span]) -> int | None:
    """Open time of the venue's first bar of all, where that is the listing; else None.

    This alone decides what is ``before_listing``. The venue has to be asked for its first bar,
    which has to lie behind the first one that was wanted. It must not be known to have had an
    older one: such a venue forgets.
    """
    earliest, times = answer.earliest, answer.times
    if earliest is None or earliest < answer.ask.wanted_from or answer.forgets:
        return None
    first = min(earliest, times[0]) if times else earliest
    stored = (span.start for span in known if span.state is CoverageState.PRESENT)
    return None if any(start < first for start in stored) else first


def _next_known(before: Sequence[Span], ask: Ask) -> int:
    """Where the last bars begin that are stored in what was asked for, or the beginning of it."""
    stored = [span.start for span in before if span.state is CoverageState.PRESENT]
    return max([each for each in stored if each <= ask.end], default=ask.wanted_from)
