"""The venue goes wrong in the middle of a back-fill, and of live bars that are followed.

Each fault begins when the first page of a back-fill is stored, lasts for some minutes of live
bars, and ends. Then the store is compared, bar by bar, with what the venue really has (D1 to D6).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.market.coverage import CoverageState
from app.models import KlineQuarantineRow
from app.services.collection.target import target
from tests.support.data_rehearsal import KLINES, PAGE, ROWS, TROUBLE, DataRehearsal, MidJob
from tests.support.installation import DAY, MINUTE, SYMBOL, Installation, installed
from tests.support.parts import EXCHANGE
from tests.support.simulator import SimulatorProcess

PRESENT, PENDING = CoverageState.PRESENT, CoverageState.PENDING
#: Each story that changes what a venue has does it to another symbol.
HEALS, NEVER, REVISED, LISTED = "SOL/USDT", "BNB/USDT", "XRP/USDT", "ADA/USDT"
DELISTED, DELISTS = "ETH/USDT:USDT", "bybit"
# A gap that was looked at three times is looked at again half an hour later.
LOOKED_AGAIN = 32
# Three looks over an hour prove that the venue has no such bar.
PROVEN = 70


@pytest.fixture
def here(exchange: SimulatorProcess, tmp_path: Path) -> Iterator[Installation]:
    """An installation in whose jobs something happens, at a venue that is well at the end."""
    with installed(exchange, tmp_path, bus=MidJob(), venue_timeout_s=1.0) as installation:
        yield installation
        mended(exchange)


@pytest.fixture
def anywhere(
    exchange: SimulatorProcess, tmp_path: Path, database_url: str
) -> Iterator[Installation]:
    """The same on SQLite, and on MariaDB."""
    with installed(exchange, tmp_path, bus=MidJob(), database_url=database_url) as installation:
        yield installation
        mended(exchange)


def mended(exchange: SimulatorProcess) -> None:
    """The venue is in service and has its bars."""
    exchange.control.maintain("none")
    for symbol in (HEALS, NEVER):
        exchange.control.restore(symbol)


# -- requests that fail ------------------------------------------------------------------------


@pytest.mark.parametrize("name", TROUBLE)
def test_requests_that_fail_in_mid_job_put_it_off_and_nothing_is_lost(
    here: Installation, name: str
) -> None:
    rule, code = TROUBLE[name]
    story = DataRehearsal(here)
    story.strike(lambda: here.venue.add_fault(path=KLINES, **rule))
    job = story.job()
    assert job.state == "queued", "it waits"
    assert job.progress["slices_done"] == 1
    assert job.error is not None
    assert job.error["code"] == code
    assert "\n" not in job.error["message"]
    with story.world.blind():
        story.minutes(2)
        here.venue.clear_faults()
        done = story.until_done()
    assert (done.state, done.error) == ("succeeded", None)
    story.minutes(2)
    assert story.states() == [PRESENT]
    story.assert_holds()


def test_a_refusal_for_good_fails_the_job_with_the_venues_words_and_keeps_what_came(
    here: Installation,
) -> None:
    story = DataRehearsal(here)
    words = {"status": 400, "code": -1121, "message": "Invalid symbol."}
    story.strike(lambda: here.venue.add_fault(action="status", path=KLINES, **words))
    job = story.job()
    assert (job.state, job.progress["rows"]) == ("failed", PAGE)
    assert job.error is not None
    assert "-1121 Invalid symbol." in job.error["message"]
    here.venue.clear_faults()
    # Whoever follows the plan finds what it lacks, and has another job fill it.
    story.minutes(4)
    assert story.states() == [PRESENT]
    story.assert_holds()


def test_a_ban_in_mid_job_stops_every_request_to_its_end(here: Installation) -> None:
    story = DataRehearsal(here)
    rule = {"action": "status", "status": 418, "retry_after": 300, "path": KLINES, "count": 1}
    story.strike(lambda: here.venue.add_fault(**rule))
    last = here.venue.requests()[-1]["seq"]
    with story.world.blind():
        story.minutes()
        assert here.venue.requests(since_seq=last) == [], "nothing is asked of anybody"
        story.restart()
        story.minutes(look=False)
        assert here.venue.requests(since_seq=last) == [], "nor by those who start meanwhile"
        told = here.bus.on("system.ban.")[0]
        assert told["reason"].startswith("HTTP 418")
        assert story.job().not_before == told["until"]
        story.until_done()
    story.minutes(2)
    assert story.states() == [PRESENT]
    story.assert_holds()


def test_everything_out_of_service_in_mid_job(here: Installation) -> None:
    story = DataRehearsal(here)
    story.strike(lambda: here.venue.maintain("all"))
    job = story.job()
    assert job.error is not None
    assert "under maintenance" in job.error["message"]
    with story.world.blind():
        story.minutes(5)
        assert story.job().state == "queued"
        here.venue.maintain("none")
        assert story.until_done().state == "succeeded"
    story.minutes(2)
    assert story.states() == [PRESENT]
    story.assert_holds()


# -- rows that cannot be -----------------------------------------------------------------------


def quarantined(here: Installation) -> list[KlineQuarantineRow]:
    with here.parts.units.read() as unit:
        series = unit.klines.find_series(EXCHANGE, SYMBOL, "1m")
        assert series is not None
        return list(unit.klines.quarantined(series.id, 100_000))


def spoilt(here: Installation, body: str) -> None:
    story = DataRehearsal(here)
    story.strike(lambda: here.venue.add_fault(path=KLINES, action="body", body=body))
    story.minutes(3)
    here.venue.clear_faults()
    refused = quarantined(here)
    assert refused
    assert all(ROWS[body] in row.reason for row in refused)
    assert {row.source for row in refused} == {f"rest:{EXCHANGE}"}
    story.minutes(LOOKED_AGAIN)
    assert story.until_done().state == "succeeded"
    assert story.states() == [PRESENT]
    story.assert_holds()


@pytest.mark.parametrize("body", ROWS)
def test_rows_that_cannot_be_go_to_quarantine_and_the_series_heals(
    here: Installation, body: str
) -> None:
    spoilt(here, body)


@pytest.mark.parametrize(
    "database_url", [pytest.param("mysql", marks=pytest.mark.mysql)], indirect=True
)
def test_and_so_they_do_on_mariadb_whose_pages_are_loaded_in_bulk(anywhere: Installation) -> None:
    spoilt(anywhere, "shuffled")


# -- bars that the venue does not have ---------------------------------------------------------


def with_gaps(story: DataRehearsal) -> tuple[int, int]:
    """A gap of ten bars in the second page, another of a live bar; first open time of each."""
    old = story.since + (PAGE + 500) * MINUTE
    here, symbol = story.here, story.symbol
    story.strike(lambda: here.venue.omit(symbol, old, old + 10 * MINUTE))
    live = here.market_ms // MINUTE * MINUTE
    here.venue.omit(symbol, live, live + MINUTE)
    story.minutes(2)
    assert (story.state_of(old), story.state_of(live)) == (PENDING, PENDING)
    job = story.until_done()
    assert job.state == "succeeded"
    assert job.result is not None
    assert job.result["pending"] == 10, "the report says what the venue did not have"
    return old, live


def test_a_gap_that_heals_is_healed_within_half_an_hour(anywhere: Installation) -> None:
    story = DataRehearsal(anywhere, HEALS)
    with_gaps(story)
    anywhere.venue.restore(HEALS)
    story.minutes(LOOKED_AGAIN)
    assert story.states() == [PRESENT]
    story.assert_holds()


def test_a_gap_that_never_heals_is_the_venues_own_after_an_hour(anywhere: Installation) -> None:
    story = DataRehearsal(anywhere, NEVER)
    old, live = with_gaps(story)
    story.minutes(PROVEN)
    assert story.state_of(old) is story.state_of(live) is CoverageState.EXCHANGE_SIDE
    assert story.states() == [PRESENT, CoverageState.EXCHANGE_SIDE] * 2 + [PRESENT]
    story.assert_holds()
    # From now on each minute asks for its own bar alone.
    last = anywhere.venue.requests()[-1]["seq"]
    story.minutes(3)
    asked = anywhere.venue.requests(path=KLINES, since_seq=last)
    assert all(int(each["params"]["startTime"]) > live for each in asked)


def test_a_bar_that_the_venue_states_anew_is_a_revision_and_both_are_kept(
    anywhere: Installation,
) -> None:
    story = DataRehearsal(anywhere, REVISED)
    stored, coming = story.since + 500 * MINUTE, story.since + (2 * PAGE + 500) * MINUTE

    def revise() -> None:
        for opened in (stored, coming):
            anywhere.venue.revise(REVISED, opened, "12.5")

    story.strike(revise)
    assert story.until_done().state == "succeeded"
    story.minutes(3)
    (differing,) = story.world.breaches()
    assert differing.invariant == "D4", "the venue says otherwise than it did"
    anywhere.parts.collection.verify(target(EXCHANGE, REVISED, "1m", story.since), 3)
    anywhere.settle()
    with anywhere.parts.units.read() as unit:
        series = unit.klines.find_series(EXCHANGE, REVISED, "1m")
        assert series is not None
        (revision,) = unit.klines.revisions(series.id)
    assert (revision.open_ts, revision.new["volume"]) == (stored, "12.5")
    assert revision.old["volume"] != "12.5"
    story.assert_holds()


# -- listing and delisting ---------------------------------------------------------------------


def test_a_symbol_listed_inside_the_range_has_no_gap_before_its_first_bar(
    here: Installation,
) -> None:
    first = here.market_ms // MINUTE * MINUTE - (PAGE + 500) * MINUTE
    here.venue.change_instrument(LISTED, listed_ms=first)
    story = DataRehearsal(here, LISTED)
    story.strike(lambda: None)
    assert story.until_done().state == "succeeded"
    story.minutes(3)
    before, after = story.spans()
    assert (before.state, before.end) == (CoverageState.BEFORE_LISTING, first)
    assert after.state is PRESENT
    story.assert_holds()


def test_a_contract_delisted_in_mid_job_is_whole_up_to_its_last_bar(here: Installation) -> None:
    """At Bybit, which says so; Binance shows such a symbol as halted for a while."""
    here.parts.market_data.sync_instruments(DELISTS)
    story = DataRehearsal(here, DELISTED, exchange=DELISTS)
    last = here.market_ms // MINUTE * MINUTE + 2 * MINUTE
    change = {"venue": DELISTS, "delisted_ms": last}
    story.strike(lambda: here.venue.change_instrument(DELISTED, **change))
    story.minutes(4)
    here.clock.advance(5_000)
    here.run("maintenance.refresh_catalogues")
    story.minutes(4)
    assert story.until_done().state == "succeeded"
    assert story.states() == [PRESENT, CoverageState.AFTER_DELISTING]
    assert story.state_of(last - MINUTE) is PRESENT
    assert story.state_of(last) is CoverageState.AFTER_DELISTING
    story.assert_holds()


# -- clocks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_ms", [5_000, -5_000, DAY // 24, -DAY // 24])
def test_a_clock_that_is_set_in_mid_job_changes_no_bar(here: Installation, step_ms: int) -> None:
    """Bars close by the venue's clock; ours only says when to look again."""
    story = DataRehearsal(here)
    story.strike(lambda: here.clock.step(step_ms))
    story.minutes(3)
    here.clock.step(-step_ms)
    assert story.until_done().state == "succeeded"
    story.minutes(3)
    assert story.states() == [PRESENT]
    story.assert_holds()
