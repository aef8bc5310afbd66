"""The venue answers wrongly, or changes what it has, in mid-job of the full stack.

The same faults as in ``test_data_venue.py``, where one process does everything; here streams,
workers and beat follow the market meanwhile, over MariaDB, RabbitMQ and Redis. Each rehearsal has
a symbol of its own and ends with D1 to D6, and the rest of the world.
"""

from __future__ import annotations

import pytest

from app.core.market.coverage import CoverageState
from app.models import KlineQuarantineRow, KlineRevisionRow
from app.services.collection.target import target
from tests.faults.full_stack import MARKS, BackFill, Said
from tests.support.data_rehearsal import PAGE, ROWS, TROUBLE
from tests.support.faults import Stack
from tests.support.installation import MINUTE
from tests.support.parts import EXCHANGE
from tests.support.trader import BACK_S
from tests.support.waiting import until

pytestmark = MARKS
PRESENT = CoverageState.PRESENT
#: What a venue has changes for these symbols.
SPOILT, REVISED, LISTED = "ETH/BTC", "XRP/USDT", "ADA/USDT"
DELISTED, DELISTS = "ETH/USDT:USDT", "bybit"
#: Kinds of answers of one back-fill, by its symbol. Bans are rehearsed beside.
ANSWERS = {
    "SOL/USDT": ["a page in place of JSON", "truncated JSON", "nothing", "a key twice"],
    "BNB/USDT": ["429", "500", "502 with a page", "503 afterwards"],
    "DOGE/USDT": ["no connection", "no reply", "timeout"],
}
#: Longer than the processes wait for an answer.
LATE = {"action": "delay", "ms": 7_000}


@pytest.mark.parametrize("symbol", ANSWERS)
def test_answers_that_fail_one_after_the_other_put_a_job_off_and_nothing_is_lost(
    stack: Stack, symbol: str, said: Said
) -> None:
    story = BackFill(stack, symbol, pages=2 * len(ANSWERS[symbol]) + 4)
    with stack.data.blind():
        for name in ANSWERS[symbol]:
            rule, code = TROUBLE[name]
            with story.fault(**(LATE if name == "timeout" else rule)):
                story.until_put_off(code)
            story.one_more_page()
        took = story.next_bar()
    done = story.finish()
    assert done.error is None
    story.until_states(PRESENT)
    story.assert_holds()
    said(f"{', '.join(ANSWERS[symbol])}; next bar {took:.0f} s later")


def quarantined(story: BackFill) -> list[KlineQuarantineRow]:
    with story.stack.parts.units.read() as unit:
        series = unit.klines.find_series(EXCHANGE, story.symbol, "1m")
        assert series is not None
        return list(unit.klines.quarantined(series.id, 100_000))


def test_rows_that_cannot_be_go_to_quarantine_and_the_series_heals(
    stack: Stack, said: Said
) -> None:
    # Four pages are under way at once, and on a busy machine so many pass before one is noticed.
    story = BackFill(stack, SPOILT, pages=6 * len(ROWS) + 4)
    for body, reason in ROWS.items():
        known = {row.id for row in quarantined(story)}
        with story.fault(action="body", body=body):
            until(lambda known=known: len(quarantined(story)) > len(known), BACK_S, body)
        new = [row for row in quarantined(story) if row.id not in known]
        assert any(reason in row.reason for row in new), body
        assert {row.source for row in new} == {f"rest:{EXCHANGE}"}
        story.one_more_page()
    story.next_bar()
    story.finish()
    story.until_states(PRESENT)
    story.assert_holds()
    said(f"{len(quarantined(story))} rows in quarantine, all of their bars healed")


def test_a_bar_that_the_venue_states_anew_is_a_revision_and_both_are_kept(stack: Stack) -> None:
    story = BackFill(stack, REVISED)
    stored, coming = story.since + 500 * MINUTE, story.since + (3 * PAGE + 500) * MINUTE
    for opened in (stored, coming):
        stack.control.revise(REVISED, opened, "12.5")
    story.next_bar()
    story.finish()
    stack.parts.collection.verify(target(EXCHANGE, REVISED, "1m", story.since), 3)

    def revisions() -> list[KlineRevisionRow]:
        with stack.parts.units.read() as unit:
            series = unit.klines.find_series(EXCHANGE, REVISED, "1m")
            assert series is not None
            return list(unit.klines.revisions(series.id))

    (revision,) = until(revisions, BACK_S, "the day is compared")
    assert (revision.open_ts, revision.new["volume"]) == (stored, "12.5")
    assert revision.old["volume"] != "12.5"
    story.assert_holds()


def test_a_symbol_listed_inside_the_range_has_no_gap_before_its_first_bar(stack: Stack) -> None:
    first = stack.control.market_ms // MINUTE * MINUTE - (2 * PAGE + 500) * MINUTE
    stack.control.change_instrument(LISTED, listed_ms=first)
    story = BackFill(stack, LISTED)
    story.next_bar()
    story.finish()
    story.until_states(CoverageState.BEFORE_LISTING, PRESENT)
    assert story.spans()[0].end == first
    story.assert_holds()


def test_a_contract_delisted_in_mid_job_is_whole_up_to_its_last_bar(stack: Stack) -> None:
    """At Bybit, which says so; Binance shows such a symbol as halted for a while."""
    stack.parts.market_data.sync_instruments(DELISTS)
    story = BackFill(stack, DELISTED, exchange=DELISTS)
    last = story.market_minute() + 2 * MINUTE
    stack.control.change_instrument(DELISTED, venue=DELISTS, delisted_ms=last)
    story.finish()
    story.until_seen_as(PRESENT, last - MINUTE)
    stack.parts.market_data.sync_instruments(DELISTS)
    story.until_states(PRESENT, CoverageState.AFTER_DELISTING)
    assert story.span_of(last - MINUTE).state is PRESENT
    assert story.span_of(last).state is CoverageState.AFTER_DELISTING
    story.assert_holds("instrument-not-trading")
