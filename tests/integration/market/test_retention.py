"""Bars older than a rule keeps go, all that is known of them says so, and nothing fetches them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from app.core.errors import NotFound
from app.core.market.coverage import CoverageState, Span, account, lay_apart, present_runs
from app.core.market.intervals import DAY_MS, HOUR_MS
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineRow
from app.core.market.retention import KeepRule, rule_of
from app.repositories.kline_store import KlineStore
from app.repositories.partitions import KlinePartitions
from app.repositories.segments import SegmentFiles
from app.repositories.unit import Unit, Units
from app.services import retiring
from app.services.collection.rolling import RollUps
from app.services.invariants.market import check_market
from app.services.retention import RetentionService
from tests.integration.market.collecting import SYMBOL, Collecting, bar
from tests.support.record import START_MS, record

T = START_MS
DAY_MINUTES = 1_440
PRESENT, RETIRED = CoverageState.PRESENT, CoverageState.RETIRED
PENDING = CoverageState.PENDING


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with record(database_url, local_infile=True) as opened:
        yield opened


def service_of(here: Collecting, engine: Engine) -> RetentionService:
    partitions = KlinePartitions(engine)
    return RetentionService(here.units, partitions, here.market_clock, here.clock, here.ids)


def hours(here: Collecting, count: int) -> None:
    """Give the venue so many hours, and a plan that keeps them all."""
    for hour in range(count):
        row = bar(hour * 60)
        here.venue.bars[row.open_ts] = row
    here.market_clock.now = T + count * HOUR_MS
    here.venue.longer = {"1h": [here.venue.bars[ts] for ts in sorted(here.venue.bars)]}
    plan = here.plan(intervals=["1h"])
    for job in here.service.start(plan.id):
        assert here.finish(job.id) == "succeeded"


def roll_up(here: Collecting) -> None:
    """Minutes go once they are rolled up."""
    with here.units.read() as unit:
        series = unit.klines.find_series("binance", SYMBOL, "1m")
        assert series is not None
    RollUps(here.units, here.hints, here.clock).roll_up(series.id)


def stored_hours(here: Collecting) -> list[KlineRow]:
    with here.units.read() as unit:
        series = unit.klines.find_series("binance", SYMBOL, "1h")
        assert series is not None
        return unit.klines.read_exact(series.id, 0, 2**60)


def known_of_hours(here: Collecting) -> list[tuple[float, float, CoverageState]]:
    """Coverage as days from the start."""
    with here.units.read() as unit:
        series = unit.klines.find_series("binance", SYMBOL, "1h")
        assert series is not None
        spans = unit.coverage.spans(series.id)
    return [((each.start - T) / DAY_MS, (each.end - T) / DAY_MS, each.state) for each in spans]


def test_without_a_rule_nothing_is_ever_removed(engine: Engine) -> None:
    here = Collecting(engine)
    hours(here, 24 * 30)
    service = service_of(here, engine)
    assert service.preview() == []
    assert service.apply().bars == 0
    service.set("okx", "*", "1h", 10)
    service.set("*", "ETH/*", "1h", 10)
    service.set("*", "*", "1m", 10)
    service.set("*", "*", "1h", None)
    assert service.apply().bars == 0
    assert len(stored_hours(here)) == 24 * 30


def test_what_is_older_goes_and_is_known_to_be_gone(engine: Engine) -> None:
    """Thirty days and five hours of hours, of which ten days are kept."""
    here = Collecting(engine)
    hours(here, 24 * 30 + 5)
    service = service_of(here, engine)
    rule = service.set("*", "BTC/*", "1h", 10)
    (freed,) = service.preview()
    assert freed.bars == 20 * 24
    assert freed.bytes == freed.bars * (100 if engine.dialect.name == "sqlite" else 150)
    assert len(stored_hours(here)) == 24 * 30 + 5, "a preview removes nothing"
    removed = service.apply()
    assert (removed.bars, removed.is_done) == (20 * 24, True)
    assert stored_hours(here)[0].open_ts == T + 20 * DAY_MS
    assert known_of_hours(here) == [(0, 20, RETIRED), (20, 30 + 5 / 24, PRESENT)]
    (gap,) = here.quality.gaps("binance", SYMBOL, "1h", None, None).found
    assert (gap.state, gap.bars, gap.proof["rule"]) == (RETIRED, 480, rule.id)
    (told,) = here.events.on("market.retired.binance")
    assert (told["count"], told["start"], told["end"]) == (480, T, T + 20 * DAY_MS)
    assert (service.preview(), service.apply().bars) == ([], 0)
    with here.units.read() as unit:
        assert check_market(unit, here.market_clock.now_ms) == []


def test_history_that_no_plan_keeps_is_gone_up_to_its_last_bar_and_no_farther(
    engine: Engine,
) -> None:
    """Thirty days of a file, two years ago: of what came after, nobody has ever had a bar."""
    here = Collecting(engine)
    hours(here, 24 * 30)
    (plan,) = here.service.plans.page(5).rows
    here.service.plans.enable(plan.id, False)
    here.market_clock.now = T + 730 * DAY_MS
    service = service_of(here, engine)
    service.set("*", "*", "1h", 10)
    assert service.apply().bars == 24 * 30
    assert known_of_hours(here) == [(0, 30, RETIRED)]
    assert service.apply().bars == 0
    # One that somebody wants was to go on: what came after is too old to be fetched.
    here.service.plans.enable(plan.id, True)
    service.apply()
    assert known_of_hours(here) == [(0, 720, RETIRED)]


def test_a_plan_that_began_before_the_cut_does_not_collect_it_anew(engine: Engine) -> None:
    here = Collecting(engine)
    hours(here, 24 * 30)
    service = service_of(here, engine)
    rule = service.set("*", "*", "1h", 10)
    service.apply()
    (plan,) = here.service.plans.page(5).rows
    asked = len(here.venue.asked)
    assert here.service.start(plan.id) == []
    assert here.service.start(plan.id, heal=True) == []
    assert here.service.follow(plan.id).rows == 0
    # Without its rule what it removed stays away, and is not asked for either.
    service.remove(rule.id)
    assert here.service.start(plan.id) == []
    assert len(here.venue.asked) == asked
    assert len(stored_hours(here)) == 240
    # Until somebody says so.
    assert service.collect_again() == 480
    for job in here.service.start(plan.id):
        assert here.finish(job.id) == "succeeded"
    assert known_of_hours(here) == [(0, 30, PRESENT)]
    assert len(stored_hours(here)) == 720


def test_a_plan_made_under_a_rule_asks_for_what_the_rule_keeps(engine: Engine) -> None:
    """Not for two years that the next application would remove."""
    here = Collecting(engine)
    service_of(here, engine).set("*", "*", "1m", 8)
    here.list_bars(range(DAY_MINUTES * 10))
    plan = here.plan()
    for job in here.service.start(plan.id):
        assert here.finish(job.id) == "succeeded"
    assert next(row.open_ts for row in here.stored()) == T + 2 * DAY_MS
    assert here.told() == [(2 * DAY_MINUTES, 10 * DAY_MINUTES, PRESENT)]
    assert min(start for _, start, _, _ in here.venue.asked) >= T + 2 * DAY_MS


def test_a_rule_that_comes_while_a_job_fills_moves_the_job_on(engine: Engine) -> None:
    here = Collecting(engine)
    here.list_bars(range(DAY_MINUTES * 10))
    (job,) = here.service.start(here.plan().id)
    here.clock.cost_s = 15.0  # a slice is over after some pages
    assert here.service.run_job(job.id) == "queued"
    here.clock.cost_s = 0.0
    begun = len(here.stored())
    assert 0 < begun < 2 * DAY_MINUTES
    service = service_of(here, engine)
    service.set("*", "*", "1m", 8)
    assert here.finish(job.id) == "succeeded"
    assert len(here.stored()) == begun + 8 * DAY_MINUTES
    roll_up(here)
    assert service.apply().bars == begun
    assert here.told() == [
        (0, 2 * DAY_MINUTES, RETIRED),
        (2 * DAY_MINUTES, 10 * DAY_MINUTES, PRESENT),
    ]


def test_a_verification_neither_brings_removed_bars_back_nor_counts_them(engine: Engine) -> None:
    here = Collecting(engine)
    here.list_bars(range(DAY_MINUTES * 10 + 60))
    for job in here.service.start(here.plan().id):
        assert here.finish(job.id) == "succeeded"
    here.venue.longer = here.hours_of(range(DAY_MINUTES * 10))
    target = here.service._follower.targets(here.service.plans.page(1).rows[0])[0]
    first = here.service.verify(target, 10)
    while here.service.run_verification(first.id) == "queued":
        pass
    quality = here.quality
    reach = (T, T + 20 * DAY_MS)
    before = quality.quality("binance", SYMBOL, "1m", *reach).days
    assert [day.expected for day in before] == [DAY_MINUTES] * 10
    service = service_of(here, engine)
    service.set("*", "*", "1m", 8)
    roll_up(here)
    assert service.apply().bars == 2 * DAY_MINUTES
    asked = len(here.venue.asked)
    again = here.service.verify(target, 10)
    while here.service.run_verification(again.id) == "queued":
        pass
    assert here.job(again.id).result == {
        "slices_done": 10,
        "slices_total": 10,
        "compared": 8 * DAY_MINUTES,
        "differed": 0,
        "missed": 0,
        "surplus": 0,
        "uncompared": 0,
        "derived_compared": 8 * 25,
        "derived_differed": 0,
    }
    # The bar before the first day is asked for with it, and not stored.
    before = T + 2 * DAY_MS - 60_000
    assert min(start for _, start, _, _ in here.venue.asked[asked:]) >= before
    assert len(here.stored()) == 8 * DAY_MINUTES + 60
    after = quality.quality("binance", SYMBOL, "1m", *reach)
    # The figures of the removed days stay as they were found; what is traded is of stored bars.
    assert [day.expected for day in after.days] == [DAY_MINUTES] * 10
    assert after.profile is not None
    assert (after.profile.activity.bars, after.profile.uncounted) == (8 * DAY_MINUTES + 60, 0)


def test_files_of_removed_bars_are_not_read_any_more(engine: Engine, tmp_path: Path) -> None:
    here = Collecting(engine)
    hours(here, 24 * 30)
    files = SegmentFiles(tmp_path / "segments", 10_000_000)
    store = KlineStore(here.units, files, long=10, tail=5)
    with here.units.read() as unit:
        series = unit.klines.find_series("binance", SYMBOL, "1h")
        assert series is not None
        before = store.reach(unit, series, 0, 2**50)
        assert before is not None
    assert len(store.read(series, 0, 2**50)) == 720
    service = service_of(here, engine)
    service.set("*", "*", "1h", 10)
    service.apply()
    other = KlineStore(here.units, SegmentFiles(tmp_path / "segments", 10_000_000), long=10, tail=5)
    for reader in (store, other):
        assert reader.read(series, 0, 2**50).open_ts.tolist()[0] == T + 20 * DAY_MS
    with here.units.read() as unit:
        after = store.reach(unit, series, 0, 2**50)
    assert after is not None
    assert after.stamp(series) != before.stamp(series)


def test_bars_go_in_steps_and_a_slice_ends_in_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Collecting(engine)
    hours(here, 24 * 30)
    monkeypatch.setattr(retiring, "_STEP_BARS", 48)
    service = service_of(here, engine)
    service.set("*", "*", "1h", 10)
    here.clock.cost_s = 15.0
    removed = service.apply()
    assert (removed.bars, removed.is_done) == (3 * 48, False)
    with here.units.read() as unit:
        assert check_market(unit, here.market_clock.now_ms) == []
    here.clock.cost_s = 0.0
    removed = service.apply()
    assert (removed.bars, removed.is_done) == (480 - 3 * 48, True)
    assert [each["count"] for each in here.events.on("market.retired")] == [48] * 10


def test_an_import_under_a_rule_is_removed_by_its_next_application(engine: Engine) -> None:
    here = Collecting(engine)
    hours(here, 24 * 30)
    service = service_of(here, engine)
    service.set("*", "*", "1h", 10)
    service.apply()
    keep(here.units, SYMBOL, [T + hour * HOUR_MS for hour in range(5)])
    assert known_of_hours(here)[0] == (0, 5 / 24, PRESENT)
    assert service.apply().bars == 5
    assert known_of_hours(here) == [(0, 20, RETIRED), (20, 30, PRESENT)]


def test_rules_are_replaced_by_their_names_and_removed_by_their_id(engine: Engine) -> None:
    here = Collecting(engine)
    service = service_of(here, engine)
    one = service.set("*", "*/USDT", "1m", 30)
    two = service.set("*", "*/USDT", "1m", 90)
    assert (one.id, two.keep_days) == (two.id, 90)
    assert service.rules() == [two]
    service.remove(two.id)
    assert service.rules() == []
    with pytest.raises(NotFound, match="no retention rule"):
        service.remove(two.id)


# -- any rules, any bars, any order -----------------------------------------------------------

_NUMBERS = itertools.count()
_PATTERNS = ("*", "A*", "*B*", "A1")
RULES = st.lists(
    st.tuples(
        st.sampled_from(("*", "binance", "okx")),
        st.sampled_from(_PATTERNS),
        st.sampled_from(("1h", "1d")),
        st.one_of(st.none(), st.integers(8, 40)),
    ),
    max_size=4,
)
#: Bars stored (or healed) by their day, a rule set or removed, time that goes by, an application.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.sampled_from(("A1", "A2", "B")), st.lists(
            st.integers(0, 60 * 24 - 1), min_size=1, max_size=25, unique=True)),
        st.tuples(st.just("rules"), RULES),
        st.tuples(st.just("days"), st.integers(0, 15)),
        st.tuples(st.just("again"),),
        st.tuples(st.just("apply"),),
    ),
    min_size=2,
    max_size=10,
)  # fmt: skip


def keep(units: Units, symbol: str, times: list[int], exchange: str = "binance") -> int:
    """Store hours as an import does: present whatever was known before; the series' id."""
    one = Decimal(1)
    rows = [KlineRow(ts, one, one, one, one, one) for ts in sorted(times)]

    def work(unit: Unit) -> int:
        series = unit.klines.series(exchange, symbol, "1h", unit.now_ms)
        unit.klines.lock_series(series.id)
        how = {"covered": True, "source": "test", "now_ms": unit.now_ms}
        unit.klines.store(series.id, rows, **how)  # type: ignore[arg-type]
        before = unit.coverage.spans(series.id)
        runs = present_runs([row.open_ts for row in rows], interval_of("1h"))
        unit.coverage.save(series.id, before, lay_apart(before, runs))
        return series.id

    return units.run(work)


@pytest.fixture(scope="module")
def one_record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("retention")
    with record(f"sqlite:///{folder / 'tidemark.db'}") as opened:
        yield opened


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_never_a_bar_younger_than_its_rule_and_every_bar_accounted_for(
    one_record: Engine, steps: list[tuple[object, ...]]
) -> None:
    story = Story(one_record)
    for what, *given_ in steps:
        getattr(story, what)(*given_)
        for name, wanted in story.kept.items():
            _check(story.here.units, name + story.mark, wanted)


class Story:
    """Series of one example, and what must be stored of them.

    Attributes:
        mark: ends the symbols' names: those of another example are other series.
        kept: open times by name.
    """

    def __init__(self, engine: Engine) -> None:
        self.mark = str(next(_NUMBERS))
        self.here = Collecting(engine)
        self.here.market_clock.now = T + 60 * DAY_MS
        self.service = service_of(self.here, engine)
        self.kept: dict[str, set[int]] = {}
        self.rules([])

    def store(self, name: str, found: list[int]) -> None:
        """Hours come, or heal."""
        times = [T + hour * HOUR_MS for hour in found]
        keep(self.here.units, name + self.mark, times)
        self.kept.setdefault(name, set()).update(times)

    def rules(self, wanted: list[tuple[str, str, str, int | None]]) -> None:
        """Other rules take the place of those that are."""
        for rule in self.service.rules():
            self.service.remove(rule.id)
        for exchange, pattern, interval, days in wanted:
            symbol = pattern if pattern.endswith("*") else pattern + self.mark
            self.service.set(exchange, symbol, interval, days)

    def days(self, count: int) -> None:
        """Time goes by."""
        self.here.market_clock.now += count * DAY_MS

    def again(self) -> None:
        """What no rule removes any more may be collected again."""
        self.service.collect_again()

    def apply(self) -> None:
        """What is older than its rule goes, and nothing else."""
        self.service.apply()
        for name, times in self.kept.items():
            cut = _cut(self.service.rules(), name + self.mark, self.here.market_clock.now)
            self.kept[name] = {ts for ts in times if ts >= cut}


def _cut(rules: list[KeepRule], symbol: str, now: int) -> int:
    """As one would say it: the longest rule's days before now, whole days."""
    matching = [each for each in rules if each.matches("binance", symbol, "1h")]
    if not matching or any(each.keep_days is None for each in matching):
        assert rule_of(rules, "binance", symbol, "1h") is None
        return 0
    days = max(each.keep_days or 0 for each in matching)
    return (now // DAY_MS - days) * DAY_MS


def _check(units: Units, symbol: str, wanted: set[int]) -> None:
    with units.read() as unit:
        series = unit.klines.find_series("binance", symbol, "1h")
        assert series is not None
        stored = {row.open_ts for row in unit.klines.read_exact(series.id, 0, 2**60)}
        spans: list[Span] = unit.coverage.spans(series.id)
    assert stored == wanted
    end = T + 60 * DAY_MS
    states = {}
    for span in account(spans, T, end):
        states |= dict.fromkeys(range(span.start, span.end, HOUR_MS), span.state)
    assert set(states) == set(range(T, end, HOUR_MS))
    assert {ts for ts, state in states.items() if state is PRESENT} == wanted
    assert set(states.values()) <= {PRESENT, PENDING, RETIRED}
