"""Symbols that their venue does not trade: skipped with a reason, and collected once it does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.errors import InvalidInput
from app.core.exchanges.errors import VenueRulesRefused
from app.core.market.coverage import CoverageState
from app.core.market.instruments import InstrumentStatus
from app.models import CollectionPlanRow
from app.services.catalogue import CatalogueRefresher, sync_catalogue
from app.services.collection.selection import Selection
from tests.integration.market.collecting import SYMBOL, Collecting, M, instrument
from tests.support.record import record

HALTED, DELISTED = InstrumentStatus.HALTED, InstrumentStatus.DELISTED
OTHER = "ETH/USDT"


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    with record(database_url, local_infile=True) as engine:
        world = Collecting(engine)
        world.list_bars(range(5))
        yield world


def states(world: Collecting, symbol: str, status: InstrumentStatus) -> None:
    """The venue states how a symbol stands, and the catalogue is refreshed within minutes."""
    world.venue.catalogue = [each for each in world.venue.catalogue if each.symbol != symbol]
    if status is not DELISTED:
        world.venue.catalogue.append(instrument(symbol, status))
    world.clock.advance(240_000)
    refresher = CatalogueRefresher(
        world.units, lambda _: world.venue, world.ids, world.clock, "worker-1"
    )
    assert refresher.refresh("binance")


def reasons(world: Collecting, plan: CollectionPlanRow) -> dict[str, str]:
    """What is skipped, and the first word of why."""
    found = world.service.plans.skipped([plan])[plan.id]
    return {symbol: reason.partition(":")[0] for symbol, reason in found.items()}


def asked(world: Collecting) -> set[str]:
    """Symbols that a round asks for."""
    world.venue.asked.clear()
    world.service.follow_all()
    return {each[0] for each in world.venue.asked}


def test_a_halted_symbol_is_skipped_and_said_to_be_and_comes_in_once_it_trades(
    world: Collecting,
) -> None:
    world.venue.catalogue = [instrument(SYMBOL), instrument(OTHER, HALTED)]
    plan = world.plan(symbols=[SYMBOL, OTHER])
    assert reasons(world, plan) == {OTHER: "halted"}
    assert asked(world) == {SYMBOL}
    # The plan is followed as far as there is anything to follow.
    assert world.service.plans.get(plan.id).followed_ts == world.market_clock.now
    assert [job.params["symbol"] for job in world.service.start(plan.id)] == []
    states(world, OTHER, InstrumentStatus.TRADING)
    assert reasons(world, plan) == {}
    assert asked(world) == {OTHER}
    assert len(world.stored(OTHER)) == 5


def test_a_plan_of_symbols_none_of_which_trades_is_refused(world: Collecting) -> None:
    world.venue.catalogue = [instrument(SYMBOL, HALTED), instrument(OTHER)]
    with pytest.raises(InvalidInput, match=r"trades none of these.*BTC/USDT \(halted\)") as said:
        world.plan()
    assert said.value.error_code == "not-trading"
    assert world.service.plans.page(5).rows == []


def test_what_the_catalogue_remembers_as_halted_may_trade_by_now(world: Collecting) -> None:
    world.venue.catalogue = [instrument(SYMBOL, HALTED), instrument(OTHER)]
    world.plan(name="other", symbols=[OTHER])
    world.venue.catalogue = [instrument(SYMBOL), instrument(OTHER)]
    assert reasons(world, world.plan()) == {}


def test_a_symbol_that_is_halted_is_asked_for_no_more_until_it_trades_again(
    world: Collecting,
) -> None:
    plan = world.plan(symbols=[SYMBOL, OTHER])
    world.service.follow_all()
    states(world, SYMBOL, HALTED)
    world.list_bars(range(5, 8))
    assert asked(world) == {OTHER}
    assert reasons(world, plan) == {SYMBOL: "halted"}
    assert len(world.stored()) == 5
    states(world, SYMBOL, InstrumentStatus.TRADING)
    assert asked(world) == {SYMBOL}
    assert world.stored() == world.everything()


def test_a_symbol_that_is_delisted_is_asked_for_its_end_and_no_more(world: Collecting) -> None:
    plan = world.plan(symbols=[SYMBOL, OTHER])
    world.service.follow_all()
    states(world, SYMBOL, DELISTED)
    assert reasons(world, plan) == {SYMBOL: "delisted"}
    world.market_clock.now += 3 * M
    assert asked(world) == {SYMBOL, OTHER}
    assert world.told() == [
        (0, 5, CoverageState.PRESENT),
        (5, 8, CoverageState.AFTER_DELISTING),
    ]
    world.market_clock.now += 3 * M
    assert asked(world) == {OTHER}
    assert len(world.stored()) == 5
    # No bar is without an account, though nobody asks.
    assert world.told()[1] == (5, 11, CoverageState.AFTER_DELISTING)
    # It is listed anew, and seen to be within the hour: whatever it traded since is collected.
    world.list_bars(range(9, 11))
    world.list_bars(range(11, 13))
    world.venue.catalogue.append(instrument(SYMBOL))
    assert world.service.plans.choosing() == ["binance"]
    assert world.service.choose_symbols("binance") == {}
    assert world.service.plans.choosing() == []
    assert SYMBOL in asked(world)
    assert world.stored() == world.everything()


def test_a_symbol_that_was_delisted_before_anything_was_collected_is_not_asked_for(
    world: Collecting,
) -> None:
    world.plan(name="other", symbols=[OTHER])
    world.service.follow_all()
    world.venue.catalogue = [instrument(OTHER)]
    sync_catalogue(world.units, world.venue, world.ids)
    plan = world.plan(symbols=[SYMBOL, OTHER])
    assert reasons(world, plan) == {SYMBOL: "delisted"}
    assert asked(world) == set()
    assert world.service.start(plan.id) == []


def test_a_plan_that_chose_a_symbol_says_why_it_is_skipped_now(world: Collecting) -> None:
    plan = world.plan(symbols=[], selection=Selection("*/USDT"))
    assert reasons(world, plan) == {}
    states(world, OTHER, HALTED)
    assert reasons(world, plan) == {OTHER: "halted"}


def refuses(world: Collecting, symbol: str) -> None:
    """The venue answers for the symbol as OKX does once it is gone."""

    def refuse() -> None:
        if world.venue.asked[-1][0] == symbol:
            raise VenueRulesRefused("binance", "refused", venue_code="51001")

    world.venue.before = refuse


@pytest.mark.parametrize("minutes", [3, 1_500])
def test_a_delisted_symbol_that_its_venue_refuses_comes_to_its_end(
    world: Collecting, minutes: int
) -> None:
    """A few bars are followed, more than a page is a job's."""
    plan = world.plan(symbols=[SYMBOL, OTHER])
    world.service.follow_all()
    refuses(world, SYMBOL)
    world.market_clock.now += minutes * M
    # Listed, as far as is known: the refusal is told, and proves nothing.
    followed = world.service.follow_all()
    failed = [world.service.run_job(job_id) for job_id in followed.jobs]
    assert "venue-rules-refused" in str(followed.errors) or "failed" in failed
    assert [state for *_, state in world.told()] == [CoverageState.PRESENT]
    states(world, SYMBOL, DELISTED)
    followed = world.service.follow_all()
    for job_id in followed.jobs:
        assert world.finish(job_id) == "succeeded"
    assert followed.errors == {}
    assert world.told() == [
        (0, 5, CoverageState.PRESENT),
        (5, 5 + minutes, CoverageState.AFTER_DELISTING),
    ]
    assert reasons(world, plan) == {SYMBOL: "delisted"}
    world.market_clock.now += 3 * M
    assert SYMBOL not in asked(world)
    assert world.told()[1] == (5, 8 + minutes, CoverageState.AFTER_DELISTING)


def test_what_a_delisted_symbol_lacks_before_its_last_bar_is_no_time_after_the_delisting(
    world: Collecting,
) -> None:
    world.list_bars(range(8, 12))
    plan = world.plan()
    world.service.follow_all()
    refuses(world, SYMBOL)
    states(world, SYMBOL, DELISTED)
    world.market_clock.now += 3 * M
    (job,) = world.service.start(plan.id, heal=True)
    assert world.finish(job.id) == "succeeded"
    assert world.told() == [
        (0, 5, CoverageState.PRESENT),
        (5, 8, CoverageState.PENDING),
        (8, 12, CoverageState.PRESENT),
        (12, 15, CoverageState.AFTER_DELISTING),
    ]
