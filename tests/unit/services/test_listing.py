"""One place decides which bars are from before the listing, for a page and for what precedes it."""

from __future__ import annotations

import pytest

from app.core.market.coverage import CoverageState, Span
from app.core.market.klines import KlineRow
from app.core.money import ZERO
from app.services.collection.filling import Answer
from app.services.collection.learning import earlier, learned
from app.services.collection.target import Ask, target

M = 60_000
NOW = 10**12
BEFORE, PENDING = CoverageState.BEFORE_LISTING, CoverageState.PENDING
WANTED = target("binance", "BTC/USDT", "1m", 0)
# The plan wants bars since minute 0; minutes 100 to 110 were asked for.
ASK = Ask(100 * M, 110 * M, 100 * M, None)


def answer(first: int, earliest: int | None, *, forgets: bool = False) -> Answer:
    """Bars from a minute on to the end of what was asked for."""
    bars = [KlineRow(minute * M, *([ZERO] * 5)) for minute in range(first, 110)]
    first_of_all = None if earliest is None else earliest * M
    return Answer(ASK, bars, [], ASK.end, first_of_all, forgets)


def states(given: Answer, known: list[Span]) -> tuple[set[CoverageState], set[CoverageState]]:
    """What is said of the bars before those asked for, and of those before the first that came."""
    here = [span for group in learned(WANTED, given, known, NOW, over=False)[:1] for span in group]
    return (
        {span.state for span in earlier(WANTED, given, known, NOW)},
        {span.state for span in here},
    )


@pytest.mark.parametrize(
    ("given", "known", "found"),
    [
        (answer(105, 105), [], ({BEFORE}, {BEFORE})),
        (answer(105, None), [], (set(), {PENDING})),
        (answer(105, 105, forgets=True), [], (set(), {PENDING})),
        # A file has brought an older bar: there was no listing then.
        (
            answer(105, 105),
            [Span(3 * M, 4 * M, CoverageState.PRESENT)],
            (set(), {PENDING}),
        ),
        # The venue's first bar is older, so it has not these and says nothing of those before.
        (answer(105, 50), [], (set(), {PENDING})),
    ],
)
def test_both_stretches_are_from_before_the_listing_or_neither_is(
    given: Answer, known: list[Span], found: tuple[set[CoverageState], set[CoverageState]]
) -> None:
    assert states(given, known) == found


def test_both_stretches_name_the_same_first_bar() -> None:
    """The venue said that its first bar was a later one than it has given."""
    given = answer(105, 107)
    ((before,), (here,)) = (
        earlier(WANTED, given, [], NOW),
        learned(WANTED, given, [], NOW, over=False)[0],
    )
    assert (before.start, before.end, here.start, here.end) == (0, 100 * M, 100 * M, 105 * M)
    assert before.proof["earliest"] == here.proof["earliest"] == 105 * M
