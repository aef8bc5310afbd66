"""What never came is missing as well: before the first bar that came, and after the last one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.errors import Unavailable, UnknownName
from app.core.market.coverage import CoverageState, Span
from app.core.market.intervals import DAY_MS
from app.models import RetentionRuleRow
from app.repositories.unit import Unit
from app.services.horizon import Horizons
from app.services.quality import Gap, QualityService
from tests.integration.market.collecting import SYMBOL, Collecting, M
from tests.support.record import START_MS, record

DAY = 1_440
PENDING, PRESENT = CoverageState.PENDING, CoverageState.PRESENT
SERIES = ("binance", SYMBOL, "1m")


@pytest.fixture
def world(database_url: str) -> Iterator[Collecting]:
    with record(database_url, local_infile=True) as engine:
        yield Collecting(engine)


def collected(world: Collecting, minutes: range) -> None:
    """The venue has these minutes, and a plan has fetched them."""
    world.list_bars(minutes)
    for job in world.service.start(world.plan().id):
        assert world.finish(job.id) == "succeeded"


def gaps(
    world: Collecting, start: int | None = None, end: int | None = None
) -> list[tuple[int, int, CoverageState]]:
    """Gaps as (first minute, end minute, state)."""
    return [
        ((gap.start - START_MS) // M, (gap.end - START_MS) // M, gap.state)
        for gap in world.quality.gaps(*SERIES, start, end).found
    ]


def test_three_days_without_workers_are_a_gap_while_nobody_has_asked(world: Collecting) -> None:
    collected(world, range(DAY))
    assert gaps(world) == []
    world.list_bars(range(DAY, 4 * DAY))
    assert gaps(world) == [(DAY, 4 * DAY, PENDING)]
    found = world.quality.coverage(*SERIES)
    assert (found.start, found.end) == (START_MS, START_MS + 4 * DAY_MS)
    assert (found.counts["present"], found.counts["pending"], found.gaps) == (DAY, 3 * DAY, 1)
    assert (found.is_kept, found.unknown) == (True, "")


def test_the_bar_that_is_not_final_yet_is_not_missing(world: Collecting) -> None:
    collected(world, range(10))
    world.market_clock.now += M - 1
    assert gaps(world) == []
    grace = Horizons(world.units, world.market_clock)
    world.market_clock.now += 1
    assert gaps(world) == [(10, 11, PENDING)]
    # At a real venue a bar counts three seconds after its close.
    assert QualityService(world.units, grace).gaps(*SERIES, None, None).found == []


def test_what_a_plan_wants_before_the_first_bar_that_came_is_a_gap(world: Collecting) -> None:
    """A second plan reaches a day further back; nothing of that day was asked for yet."""
    collected(world, range(60))
    world.plan(name="earlier", since_ms=START_MS - DAY_MS)
    assert gaps(world) == [(-DAY, 0, PENDING)]
    assert world.quality.coverage(*SERIES).counts["pending"] == DAY


def test_a_series_of_which_nothing_ever_came_is_missing_as_a_whole(world: Collecting) -> None:
    world.list_bars(range(30))
    with pytest.raises(UnknownName):
        gaps(world)
    world.plan()
    assert gaps(world) == [(0, 30, PENDING)]
    found = world.quality.coverage(*SERIES)
    assert (found.counts["pending"], found.gaps, found.profile) == (30, 1, None)
    assert world.quality.names() == [(*SERIES, "trade")]


def test_a_series_that_no_plan_keeps_ends_with_its_last_bar(world: Collecting) -> None:
    collected(world, range(60))
    (plan,) = world.service.plans.page(5).rows
    world.service.plans.enable(plan.id, enabled=False)
    world.market_clock.now += DAY_MS
    found = world.quality.coverage(*SERIES)
    assert (found.end, found.gaps, found.is_kept) == (START_MS + 60 * M, 0, False)


def test_bounds_that_are_given_count(world: Collecting) -> None:
    collected(world, range(60))
    world.market_clock.now += DAY_MS
    assert gaps(world, START_MS, START_MS + 60 * M) == []
    assert gaps(world, START_MS + 50 * M) == [(60, 60 + DAY, PENDING)]


def test_what_a_rule_of_retention_removes_is_not_expected(world: Collecting) -> None:
    world.list_bars(range(3))
    world.plan(since_ms=START_MS - 100 * DAY_MS)

    def rule(unit: Unit) -> None:
        row = RetentionRuleRow(id=world.ids.new(), exchange="*", symbol="*", interval="1m")
        row.keep_days, row.created_at, row.updated_at = 8, unit.now_ms, unit.now_ms
        unit.retention.add(row)

    world.units.run(rule)
    assert gaps(world) == [(-8 * DAY, 3, PENDING)]


def test_gaps_come_in_pages_that_are_read_as_such(world: Collecting) -> None:
    """Every third minute is missing: 300 gaps, and as many spans again between them."""
    collected(world, range(0))
    world.list_bars([minute for minute in range(900) if minute % 3])
    (plan,) = world.service.plans.page(5).rows
    for job in world.service.start(plan.id):
        world.finish(job.id)
    whole = world.quality.gaps(*SERIES, None, None).found
    assert len(whole) == 300
    paged: list[Gap] = []
    start: int | None = None
    read: list[int] = []
    while True:
        found = world.quality.gaps(*SERIES, start, None, limit=8).found
        read.append(len(found))
        paged += found[:7]
        if len(found) < 8:
            break
        start = found[7].start
    assert paged == whole
    assert max(read) <= 10, "no page reads the whole series"


class _NoClock:
    """A venue whose market time cannot be asked."""

    def now_ms(self, exchange: str) -> int:
        raise Unavailable(f"the clock of {exchange} could not be read")


def test_where_the_market_time_is_not_known_it_is_said(world: Collecting) -> None:
    collected(world, range(60))
    world.market_clock.now += DAY_MS
    blind = QualityService(world.units, Horizons(world.units, _NoClock()))
    found = blind.coverage(*SERIES)
    assert (found.end, found.unknown) == (
        START_MS + 60 * M,
        "the clock of binance could not be read",
    )
    assert blind.gaps(*SERIES, None, None).unknown == found.unknown
    # Up to an end that is given nothing is left open.
    assert blind.coverage(*SERIES, None, START_MS + 60 * M).unknown == ""


def test_bars_of_the_mark_price_have_an_account_of_their_own(world: Collecting) -> None:
    world.list_bars(range(30))
    plan = world.plan(kind="mark", name="marks")
    for job in world.service.start(plan.id):
        assert world.finish(job.id) == "succeeded"
    world.market_clock.now += 5 * M
    found = world.quality.coverage(*SERIES, kind="mark")
    assert (found.kind, found.counts["present"], found.counts["pending"]) == ("mark", 30, 5)
    assert world.quality.coverage(*SERIES).start is None
    assert world.quality.names() == [(*SERIES, "mark")]


def test_a_stored_symbol_that_the_catalogue_lacks_is_accounted_for(world: Collecting) -> None:
    """As a file imported for a symbol that the venue has never listed leaves it."""
    world.units.run(lambda unit: unit.klines.series("binance", "OLD/USDT", "1m", unit.now_ms))
    assert world.quality.coverage("binance", "OLD/USDT", "1m").start is None
    with pytest.raises(UnknownName):
        world.quality.coverage("binance", "NO/SUCH", "1m")


def test_bars_that_have_not_closed_yet_are_not_missing_though_they_are_asked_for(
    world: Collecting,
) -> None:
    collected(world, range(60))
    later = START_MS + 400 * DAY_MS
    assert gaps(world, None, later) == []
    assert gaps(world, START_MS + 50 * M, later) == []
    found = world.quality.coverage(*SERIES, START_MS + 30 * M, later)
    assert (found.end, found.expected, found.gaps) == (START_MS + 60 * M, 30, 0)
    world.market_clock.now += M
    assert gaps(world, None, later) == [(60, 61, PENDING)]
    assert world.quality.coverage(*SERIES, later, later + 1).start is None
    assert gaps(world, later, later + 1) == []


def test_nothing_is_pending_between_old_history_and_the_first_bar_of_a_plan(
    world: Collecting,
) -> None:
    """Two minutes of two years ago, as a file brings them, beside a plan."""
    collected(world, range(60))
    old = START_MS - 800 * DAY_MS
    here = Span(old, old + 2 * M, PRESENT)
    world.units.run(lambda unit: unit.coverage.save(1, [], [here]))
    found = world.quality.coverage(*SERIES)
    assert (found.start, found.end) == (old, START_MS + 60 * M)
    assert (found.expected, found.counts["present"], found.counts["pending"]) == (62, 62, 0)
    assert found.gaps == 0
    assert gaps(world) == []
    assert gaps(world, old + M, START_MS + M) == []
    middle = world.quality.coverage(*SERIES, old + 2 * M, START_MS)
    assert (middle.start, middle.expected) == (None, 0)
    # A hole of less than a day in history is one, whoever wants it.
    more = Span(old + 5 * M, old + 6 * M, PRESENT)
    world.units.run(lambda unit: unit.coverage.save(1, [], [more]))
    assert (
        gaps(world)
        == gaps(world, old + 3 * M - M, None)
        == [((old - START_MS) // M + 2, (old - START_MS) // M + 5, PENDING)]
    )
