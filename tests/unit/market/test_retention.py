"""Rules of retention: which one counts, where it cuts, and what is said of what went."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput, UnknownName
from app.core.market.coverage import (
    CoverageState,
    Span,
    account,
    lay_apart,
    missing,
    observed_absent,
    refused,
)
from app.core.market.intervals import DAY_MS, INTERVALS, MINUTE_MS, interval
from app.core.market.retention import (
    SHORTEST_DAYS,
    KeepRule,
    cut_of,
    is_retired,
    reopened,
    retired,
    rule_of,
    step_end,
)

M = MINUTE_MS
PRESENT, RETIRED = CoverageState.PRESENT, CoverageState.RETIRED
NOW = 20_000 * DAY_MS + 7 * 3_600_000


def rule(
    symbol: str = "*", days: int | None = 30, exchange: str = "*", name: str = "1m"
) -> KeepRule:
    return KeepRule("r", exchange, symbol, name, days)


def test_of_several_rules_the_one_that_keeps_longest_counts() -> None:
    rules = [rule(days=30), rule("BTC/*", 365), rule("BTC/USDT", 90), rule(name="1h", days=3_650)]
    named = ("binance", "BTC/USDT", "1m")
    assert rule_of(rules, *named) == rule("BTC/*", 365)
    assert rule_of(rules, "binance", "ETH/USDT", "1m") == rule(days=30)
    assert rule_of([*rules, rule("BTC/USDT", None)], *named) is None
    assert rule_of(rules, "binance", "BTC/USDT", "1d") is None
    assert rule_of([rule(exchange="okx")], *named) is None


def test_what_was_made_of_bars_is_no_rules_business() -> None:
    assert rule_of([rule()], "binance", "BTC/USDT", "1m", "mark") == rule()
    assert rule_of([rule()], "binance", "BTC/USDT", "1m", "rolled") is None


def test_a_rule_cuts_at_midnight_and_never_a_bar_that_is_younger() -> None:
    cut = rule(days=30).cut(NOW)
    assert cut == (20_000 - 30) * DAY_MS
    week = KeepRule("r", "*", "*", "1w", 30)
    assert interval("1w").floor(week.cut(NOW)) == week.cut(NOW) <= cut
    assert rule(days=None).cut(NOW) == 0
    assert cut_of([], "binance", "BTC/USDT", "1m", "trade", NOW) == 0


@pytest.mark.parametrize("days", [0, 1, SHORTEST_DAYS - 1, 36_501, -5])
def test_days_that_cannot_be_meant_are_refused(days: int) -> None:
    with pytest.raises(InvalidInput, match="keep bars for 8 to 36500 days"):
        rule(days=days)


def test_names_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(UnknownName, match="interval"):
        rule(name="7m")
    with pytest.raises(InvalidInput, match="symbol"):
        rule("")


def test_gaps_are_retired_with_the_bars_around_them_and_the_time_before_a_listing_is_not() -> None:
    spans = [
        Span(0, 2 * M, CoverageState.BEFORE_LISTING),
        Span(2 * M, 5 * M, PRESENT),
        Span(6 * M, 7 * M, CoverageState.EXCHANGE_SIDE, {"looks": 3}),
        Span(7 * M, 20 * M, PRESENT),
    ]
    found = lay_apart(spans, retired(spans, 0, 10 * M, rule(), 5))
    assert [(each.start // M, each.end // M, each.state) for each in found] == [
        (0, 2, CoverageState.BEFORE_LISTING),
        (2, 10, RETIRED),
        (10, 20, PRESENT),
    ]
    assert found[1].proof == {"rule": "r", "keep_days": 30, "since": 5, "at": 5}
    later = lay_apart(found, retired(found, 0, 12 * M, rule(), 9))
    assert [(each.start // M, each.end // M) for each in later] == [(0, 2), (2, 12), (12, 20)]
    assert later[1].proof == {"rule": "r", "keep_days": 30, "since": 5, "at": 9}
    assert is_retired(later, 0, 12 * M)
    assert not is_retired(later, 0, 13 * M)


def test_nobody_asks_for_retired_bars_and_no_answer_changes_them() -> None:
    spans = [Span(0, 10 * M, RETIRED, {"rule": "r"}), Span(10 * M, 20 * M, PRESENT)]
    assert missing(spans, 0, 20 * M, NOW) == []
    assert observed_absent(spans, 0, 20 * M, NOW) == []
    assert refused(spans, 3 * M, 4 * M, "bad", NOW) == []


def test_what_no_rule_retires_any_more_is_asked_for_again() -> None:
    spans = [Span(0, 10 * M, RETIRED, {"rule": "r"}), Span(10 * M, 20 * M, PRESENT)]
    found = lay_apart(spans, reopened(spans, 4 * M))
    assert [(each.start // M, each.end // M) for each in found] == [(0, 4), (4, 10), (10, 20)]
    assert missing(found, 0, 20 * M, NOW) == [(4 * M, 10 * M)]


@given(
    st.sampled_from(sorted(INTERVALS)),
    st.integers(0, 2**41),
    st.integers(1, 400),
    st.integers(1, 50_000),
)
def test_a_step_goes_on_and_ends_where_no_bar_and_no_day_is_cut(
    name: str, first: int, days: int, most: int
) -> None:
    grid = interval(name)
    first, cut = grid.floor(first), grid.floor(first + days * DAY_MS)
    end = step_end(first, cut, grid, most)
    assert end <= cut
    if first < cut:
        assert end > first
        assert end == cut or grid.floor(end) == end
        assert end == cut or end % DAY_MS == 0


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(list(CoverageState))), max_size=20))
def test_every_bar_is_accounted_for_after_any_part_was_retired(
    marks: list[tuple[int, CoverageState]],
) -> None:
    spans: list[Span] = []
    for minute, state in marks:
        spans = lay_apart(spans, [Span(minute * M, (minute + 3) * M, state)])
    found = lay_apart(spans, retired(spans, 0, 40 * M, rule(), 1))
    assert is_retired(found, 0, 40 * M)
    assert sum(each.end - each.start for each in account(found, 0, 70 * M)) == 70 * M
    assert account(found, 40 * M, 70 * M) == account(spans, 40 * M, 70 * M)
