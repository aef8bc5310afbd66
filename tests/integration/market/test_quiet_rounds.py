"""A round in which nothing is missing costs next to nothing, and loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from app.core.exchanges.errors import VenueUnreachable
from app.core.market.coverage import CoverageState, Span
from app.core.market.instruments import InstrumentType
from app.services.collection.arrivals import ArrivedKline
from tests.integration.market.collecting import SYMBOL, Collecting, M, bar, instrument
from tests.support.record import START_MS, record

SYMBOLS = [f"C{number:02d}/USDT" for number in range(20)]
# A bar that a stream is about to bring is left to it for so long after its close.
GRACE = 25_000


class Counted(Collecting):
    """A world that counts what it asks the database."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.venue.catalogue = [instrument(symbol) for symbol in [SYMBOL, *SYMBOLS]]

    @contextmanager
    def counting(self) -> Iterator[list[str]]:
        """The statements of the block."""
        spoken: list[str] = []

        def note(_c: Any, _k: Any, statement: str, *_: Any) -> None:
            if not statement.startswith("BEGIN"):
                spoken.append(statement)

        # Of any engine: those that read alone have one of their own.
        event.listen(Engine, "before_cursor_execute", note)
        try:
            yield spoken
        finally:
            event.remove(Engine, "before_cursor_execute", note)

    def stream(self, minute: int, *symbols: str) -> None:
        """A stream brings the bar of a minute; the market is at its close."""
        self.list_bars([minute])
        row = bar(minute)
        arrived = [
            ArrivedKline("binance", symbol, "1m", row, row.open_ts + M) for symbol in symbols
        ]
        self.service.arrivals.store(arrived, lambda _unit: None)

    def hold(self, exchange: str = "binance") -> None:
        """A streams process holds the leases of a venue's shards, for ten seconds."""

        def take(unit: Any) -> None:
            for number in range(4):
                name = f"stream:market:{exchange}:{number}/4"
                assert unit.system.take_lease(name, "streams-1", unit.now_ms, 10_000)

        self.units.run(take)

    def close(self, minute: int, late_ms: int = 0) -> None:
        """The venue has the bar of a minute; so long has passed since its close."""
        self.list_bars([minute])
        self.market_clock.now += late_ms


@pytest.fixture
def world(database_url: str) -> Iterator[Counted]:
    with record(database_url, local_infile=True) as engine:
        yield Counted(engine)


def test_a_round_over_twenty_whole_series_is_a_handful_of_statements(world: Counted) -> None:
    world.list_bars(range(5))
    for number, symbol in enumerate(SYMBOLS):
        world.plan(name=f"p{number}", symbols=[symbol])
    assert world.service.follow_all().rows == 20 * 5
    world.venue.asked.clear()
    world.market_clock.now += 10_000
    with world.counting() as spoken:
        followed = world.service.follow_all()
    assert (followed.rows, followed.jobs, followed.errors) == (0, [], {})
    assert world.venue.asked == []
    # Plans, rules, what is known of all series, what does not trade, and what was done.
    assert len(spoken) == 5, spoken
    # And each plan knows that it was looked at.
    marks = {plan.followed_ts for plan in world.service.plans.page(50).rows}
    assert marks == {world.market_clock.now}


def test_histories_beside_the_bars_add_one_statement_to_a_round(world: Counted) -> None:
    swaps = [f"{symbol}:USDT" for symbol in SYMBOLS]
    world.venue.catalogue += [
        replace(instrument("BTC/USDT"), symbol=swap, type=InstrumentType.SWAP) for swap in swaps
    ]
    world.list_bars(range(5))
    world.plan(symbols=swaps, extras=["funding", "open_interest:1h"])
    assert world.service.follow_all().errors == {}
    with world.counting() as spoken:
        assert world.service.follow_all().errors == {}
    assert len(spoken) == 5, spoken  # nothing has closed since, so there is nothing to note


def test_one_behind_among_twenty_is_asked_for_alone(world: Counted) -> None:
    world.list_bars(range(5))
    world.plan(symbols=[*SYMBOLS])
    world.service.follow_all()
    world.stream(5, *SYMBOLS[1:])
    world.venue.asked.clear()
    assert world.service.follow_all().rows == 1
    assert [asked[0] for asked in world.venue.asked] == [SYMBOLS[0]]


def test_gaps_wherever_they_lie_are_seen_by_a_round(world: Counted) -> None:
    world.list_bars(range(20))
    world.plan()
    world.service.follow_all()
    with world.units.write() as unit:
        series = unit.klines.locked("binance", SYMBOL, "1m", unit.now_ms)
        spans = unit.coverage.spans(series.id)
        # What a rule of retention that was taken back leaves: bars to be asked for again.
        start = START_MS + 3 * M
        pending = Span(start, start + M, CoverageState.PENDING)
        unit.coverage.save(
            series.id,
            spans,
            [
                Span(START_MS, start, CoverageState.PRESENT),
                pending,
                Span(start + M, spans[-1].end, CoverageState.PRESENT),
            ],
        )
    world.service.follow_all()
    assert world.told() == [(0, 20, CoverageState.PRESENT)]
    with world.units.write() as unit:
        series = unit.klines.locked("binance", SYMBOL, "1m", unit.now_ms)
        spans = unit.coverage.spans(series.id)
        # And one that nothing is known of at all.
        halves = [
            Span(START_MS, START_MS + 8 * M, CoverageState.PRESENT),
            Span(START_MS + 9 * M, spans[-1].end, CoverageState.PRESENT),
        ]
        unit.coverage.save(series.id, spans, halves)
    world.service.follow_all()
    assert world.told() == [(0, 20, CoverageState.PRESENT)]


def test_an_earlier_plan_is_seen_to_lack_what_a_later_one_never_wanted(world: Counted) -> None:
    world.list_bars(range(20))
    world.plan(name="late", since_ms=START_MS + 10 * M)
    world.service.follow_all()
    assert len(world.stored()) == 10
    world.plan(name="early")
    assert world.service.follow_all().rows == 10


def test_a_bar_that_a_stream_is_about_to_bring_is_left_to_it(world: Counted) -> None:
    world.list_bars(range(5))
    plan = world.plan()
    world.service.follow_all()
    world.hold()
    world.stream(5, SYMBOL)
    world.service.follow_all()
    world.venue.asked.clear()
    world.close(6, late_ms=GRACE - 1)
    assert world.service.follow_all().rows == 0
    assert world.venue.asked == []
    # It is not said that the bar was asked for.
    assert world.service.plans.get(plan.id).followed_ts < START_MS + 7 * M
    world.stream(6, SYMBOL)
    assert world.service.follow_all().rows == 0
    assert world.service.plans.get(plan.id).followed_ts == world.market_clock.now
    assert world.venue.asked == []
    assert world.told() == [(0, 7, CoverageState.PRESENT)]


def test_a_stream_that_does_not_bring_it_is_not_waited_for_any_longer(world: Counted) -> None:
    world.list_bars(range(5))
    world.plan()
    world.service.follow_all()
    world.hold()
    world.stream(5, SYMBOL)
    world.close(6, late_ms=GRACE)
    assert world.service.follow_all().rows == 1
    # It did not bring the bar before, so it is not trusted with the next one.
    world.close(7)
    assert world.service.follow_all().rows == 1
    # Until it has brought one again.
    world.stream(8, SYMBOL)
    world.close(9)
    assert world.service.follow_all().rows == 0


def test_without_a_living_stream_rest_follows_at_once(world: Counted) -> None:
    world.list_bars(range(5))
    world.plan()
    world.service.follow_all()
    world.stream(5, SYMBOL)
    world.close(6)
    assert world.service.follow_all().rows == 1  # no process holds the lease
    world.hold()
    world.stream(7, SYMBOL)
    world.close(8)
    assert world.service.follow_all().rows == 0
    world.clock.advance(10_000)  # the process was killed, and its lease has run out
    assert world.service.follow_all().rows == 1


def test_another_venues_stream_is_not_waited_for(world: Counted) -> None:
    world.list_bars(range(5))
    world.plan()
    world.service.follow_all()
    world.hold("okx")
    world.stream(5, SYMBOL)
    world.close(6)
    assert world.service.follow_all().rows == 1


def test_more_than_the_newest_bar_is_no_streams_business(world: Counted) -> None:
    world.list_bars(range(5))
    world.plan()
    world.service.follow_all()
    world.hold()
    world.stream(5, SYMBOL)
    world.list_bars([6, 7])
    assert world.service.follow_all().rows == 2


def test_who_asks_for_one_plan_does_not_wait_for_a_stream(world: Counted) -> None:
    world.list_bars(range(5))
    plan = world.plan()
    world.service.follow(plan.id)
    world.hold()
    world.stream(5, SYMBOL)
    world.close(6)
    assert world.service.follow(plan.id).rows == 1
    assert world.service.plans.get(plan.id).followed_ts == world.market_clock.now


def test_a_plan_in_trouble_is_not_called_followed_and_the_others_are(world: Counted) -> None:
    world.list_bars(range(5))
    first = world.plan(name="a", symbols=[SYMBOLS[0]])
    second = world.plan(name="b", symbols=[SYMBOLS[1]])
    world.venue.failures = [VenueUnreachable("binance", "no whole answer came")]
    assert len(world.service.follow_all().errors) == 1
    marks = [world.service.plans.get(plan.id).followed_ts for plan in (first, second)]
    assert marks == [0, world.market_clock.now]
