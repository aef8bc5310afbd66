"""Data sources: asked when their time has come, stored exactly, and never in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.adapters.source_runtime import HostedSources, SourceLimits
from app.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from app.core.sources.base import Observation
from app.core.sources.errors import SourceCrashed, SourceFailed
from app.core.sources.loader import SourceInfo, SourceRef
from app.core.sources.rows import stated
from app.core.sources.runtime import RunEnd, SourceRun, Take
from app.repositories.points import Point
from app.services.points import PointQueries
from app.services.sources import NewSource, SourceCatalogue, SourceRunner, keeping
from tests.support.record import (
    START_MS,
    CountingIds,
    Events,
    Hints,
    ManualClock,
    record,
    units_over,
)

HOUR = 3_600_000
D = Decimal
MOOD = SourceRef("mood.py", "…")


@dataclass
class Scripted:
    """A runtime whose sources say what the test put there.

    Attributes:
        answers: of the next runs: batches of observations, then how the run ends.
        asked: every run that was made.
        meanwhile: called in the middle of each run.
    """

    answers: list[list[Any]] = field(default_factory=list)
    asked: list[SourceRun] = field(default_factory=list)
    meanwhile: Callable[[], object] | None = None
    longest_ms: int = 50_000

    def inspect(self, ref: SourceRef, params: Mapping[str, Any]) -> SourceInfo:
        """As if the file were well."""
        return SourceInfo("Mood", "How the crowd feels.", {}, dict(params), "a" * 64)

    def observe(self, ref: SourceRef, run: SourceRun, take: Take) -> RunEnd:
        """The next answer."""
        self.asked.append(run)
        *batches, end = self.answers.pop(0) if self.answers else [RunEnd.WHOLE]
        for batch in batches:
            take([stated(each) for each in batch])
        if self.meanwhile is not None:
            self.meanwhile()
        if isinstance(end, Exception):
            raise end
        assert isinstance(end, RunEnd)
        return end


class World:
    """Sources over a record, with a clock moved by hand."""

    def __init__(self, engine: Any) -> None:
        self.clock = ManualClock()
        self.hints, self.events = Hints(), Events()
        self.units = units_over(engine, self.clock, self.hints, self.events)
        self.runtime = Scripted()
        ids = CountingIds()
        self.catalogue = SourceCatalogue(self.units, ids, self.runtime)
        self.runner = SourceRunner(self.units, self.runtime, self.hints, self.clock, ids)

    def add(self, **changed: Any) -> str:
        """Add the source ``mood``, to be asked every hour; its id."""
        values: dict[str, Any] = {"name": "mood", "ref": MOOD, "every_ms": HOUR}
        return self.catalogue.add(NewSource(**(values | changed))).id

    def says(self, *batches: Sequence[Any], end: Any = RunEnd.WHOLE) -> None:
        """What the next run gives."""
        self.runtime.answers.append([*batches, end])

    def stored(self, kind: str = "mood", symbol: str = "") -> list[Point]:
        """Every point of a series, page by page."""
        found: list[Point] = []
        start: int | None = 0
        while start is not None:
            page, start = PointQueries(self.units).any_page(
                "source:mood", symbol, kind, "", start, None, 3
            )
            found += page
        return found


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    with record(database_url) as engine:
        yield World(engine)


def mood(hours: int, value: str = "0.5", **more: Any) -> Observation:
    """An observation so many hours after the start."""
    return Observation("mood", START_MS + hours * HOUR, D(value), **more)


def test_what_a_source_gives_is_stored_exactly_and_told(world: World) -> None:
    source = world.add(symbols=["BTC/USDT"])
    assert world.hints.sent == [("collection.run_source", source)]
    world.clock.advance(10 * HOUR)
    world.says(
        # Not ascending, two series, one of them about a symbol.
        [mood(3, "-0.000000000000000001"), mood(1, "123456789012345678.5", label="极度恐惧 😱")],
        [mood(2, "1", symbol="BTC/USDT", second=D("0.25")), mood(2, "2")],
    )
    report = world.runner.run(source)
    assert (report.state, report.kept.observed, report.kept.stored) == ("succeeded", 4, 4)
    assert world.stored() == [
        Point(START_MS + HOUR, D("123456789012345678.5"), None, "极度恐惧 😱"),
        Point(START_MS + 2 * HOUR, D(2)),
        Point(START_MS + 3 * HOUR, D("-0.000000000000000001")),
    ]
    assert world.stored(symbol="BTC/USDT") == [Point(START_MS + 2 * HOUR, D(1), D("0.25"))]
    told = [(topic, body["count"]) for topic, body in world.events.sent]
    assert told == [
        ("market.mood.source:mood.-", 2),
        ("market.mood.source:mood.-", 1),
        ("market.mood.source:mood.BTC/USDT", 1),
    ]
    first = world.events.sent[0][1]
    assert (first["first"], first["last"]) == (START_MS + HOUR, START_MS + 3 * HOUR)


def test_a_source_is_asked_for_what_is_new_since_its_last_answer(world: World) -> None:
    source = world.add(symbols=["BTC/USDT", "ETH/USDT"])
    world.clock.advance(10 * HOUR)
    world.says([mood(4), mood(2, symbol="BTC/USDT"), mood(1, symbol="DOGE/USDT")])
    for _ in range(2):
        world.runner.run_now(source)
    first, second = world.runtime.asked
    assert (first.since, first.symbols, first.label) == (0, ["BTC/USDT", "ETH/USDT"], "mood")
    # Of the series that lags most; one that is not subscribed to holds nothing back.
    assert second.since == START_MS + 2 * HOUR
    assert second.now_ms == world.clock.now_ms()


def test_a_source_is_asked_every_hour_and_lost_hints_are_given_again(world: World) -> None:
    source = world.add()
    assert world.runner.sweep() == 1
    assert world.runner.sweep() == 0  # the hint was just given
    world.clock.advance(2_000)
    assert world.runner.sweep() == 1  # it was lost
    assert world.runner.run(source).state == "succeeded"
    world.clock.advance(HOUR - 1)
    assert world.runner.sweep() == 0
    assert world.runner.run(source).state == "not_claimed"  # a hint that came twice
    world.clock.advance(1)
    assert world.runner.sweep() == 1
    assert world.runner.run(source).state == "succeeded"
    assert len(world.runtime.asked) == 2


def test_a_value_that_is_stated_otherwise_is_a_revision_that_names_the_version(
    world: World,
) -> None:
    source = world.add()
    world.clock.advance(10 * HOUR)
    world.says([mood(1, "40", label="Fear"), mood(2)])
    # Twice in one answer: the later statement is the source's word.
    world.says([mood(1, "41"), mood(1, "42"), mood(2)])
    for stored in (2, 1):
        assert world.runner.run_now(source).kept.stored == stored
    assert world.stored()[0] == Point(START_MS + HOUR, D(42), None, None)
    with world.units.read() as unit:
        series = unit.points.find_series("source:mood", "", "mood")
        assert series is not None
        (revision,) = unit.points.revisions(series.id)
    assert revision.old == {"value": "40", "second": None, "label": "Fear"}
    assert revision.new == {"value": "42", "second": None}
    assert revision.source == "source:mood@aaaaaaaaaaaa"


def test_what_is_bad_is_quarantined_once_with_its_reason_and_the_good_is_stored(
    world: World,
) -> None:
    source = world.add()
    bad = [
        mood(0)._replace(value=0.5),
        mood(0)._replace(value=D("NaN")),
        mood(1),  # an hour ahead of the clock
        {"value": 1},
        mood(0)._replace(label="\ud800 half a character"),
        mood(0)._replace(symbol="\x00"),
    ]
    world.says([*bad, mood(0)])
    world.says(bad)
    report = world.runner.run_now(source)
    assert (report.state, report.kept.stored, report.kept.quarantined) == ("succeeded", 1, 6)
    assert len(report.reasons) == 3
    world.runner.run_now(source)
    kept = world.catalogue.quarantined("mood", 100)
    assert len(kept) == 6
    assert "its value was float; give a Decimal" in {row.reason for row in kept}
    assert kept[-1].row == ["mood", START_MS, "float 0.5", None, None, None]
    view = world.catalogue.get("mood")
    assert (view.quarantined, len(view.series)) == (6, 1)
    assert view.row.result is not None
    assert view.row.result["quarantined"] == 6


def test_a_flood_of_bad_observations_fills_no_table(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST_BAD", 5)
    monkeypatch.setattr(keeping, "MOST_SERIES", 3)
    source = world.add()
    world.says([mood(0, symbol=f"S{n}") for n in range(4)] + [mood(n) for n in range(1, 20)])
    report = world.runner.run_now(source)
    assert (report.kept.stored, report.kept.quarantined) == (3, 20)
    world.says([mood(30)])
    assert world.runner.run_now(source).kept.quarantined == 1
    kept = world.catalogue.quarantined("mood", 100)
    assert len(kept) == 5
    assert any("has 3 series already" in row.reason for row in kept)


def test_a_source_that_fails_keeps_what_it_gave_says_why_and_is_left_alone_for_longer(
    world: World,
) -> None:
    source = world.add()
    world.clock.advance(10 * HOUR)
    pauses = []
    for failures in range(1, 10):
        world.says([mood(failures)], end=SourceFailed("mood", "failed in observe: no\x00 \ud800"))
        report = world.runner.run(source)
        assert (report.state, report.kept.stored) == ("failed", 1)
        row = world.catalogue.get("mood").row
        assert (row.failures, row.lease_owner) == (failures, None)
        pauses.append((row.due_at - world.clock.now_ms()) // 1_000)
        world.clock.advance(row.due_at - world.clock.now_ms())
    assert pauses == [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]
    assert len(world.stored()) == 9
    world.says(end=SourceCrashed("mood", "ended its process (exit code 1)"))
    world.runner.run(source)
    assert world.catalogue.get("mood").row.error == (
        "data source 'mood' ended its process (exit code 1)"
    )
    world.clock.advance(HOUR)
    world.says([mood(20)])
    world.runner.run(source)
    row = world.catalogue.get("mood").row
    assert (row.failures, row.error) == (0, None)
    assert row.due_at == world.clock.now_ms() + HOUR


def test_a_history_that_is_longer_than_a_run_goes_on_at_once(world: World) -> None:
    source = world.add()
    world.says([mood(-2)], end=RunEnd.FULL)
    world.says([mood(-2)], end=RunEnd.FULL)  # the same again: it does not move on
    world.runner.run(source)
    assert world.catalogue.get("mood").row.due_at == world.clock.now_ms()
    world.runner.run(source)
    assert world.catalogue.get("mood").row.due_at == world.clock.now_ms() + HOUR


def test_two_workers_do_not_run_one_source_and_a_dead_one_is_followed(world: World) -> None:
    source = world.add()
    states = []
    world.runtime.meanwhile = lambda: states.append(world.runner.run(source).state)
    assert world.runner.run(source).state == "succeeded"
    assert states == ["not_claimed"]
    # A worker dies in the middle: its lease ends, and the sweep finds the row.
    world.clock.advance(HOUR)

    def die() -> None:
        raise KeyboardInterrupt

    world.runtime.meanwhile = die
    with pytest.raises(KeyboardInterrupt):
        world.runner.run(source)
    world.runtime.meanwhile = None
    with pytest.raises(Conflict, match="running now"):
        world.runner.run_now(source)
    assert world.runner.sweep() == 0
    world.clock.advance(world.runtime.longest_ms + 30_000)
    assert world.runner.sweep() == 1
    assert world.runner.run(source).state == "succeeded"


def test_a_process_that_stops_gives_the_source_back_at_once(world: World) -> None:
    source = world.add()
    stopping = Unavailable("the process is stopping", code="interrupted")
    world.says([mood(0)], end=stopping)
    with pytest.raises(Unavailable):
        world.runner.run(source)
    row = world.catalogue.get("mood").row
    assert (row.failures, row.error, row.lease_owner) == (0, None, None)
    assert world.runner.run(source).state == "succeeded"
    assert len(world.stored()) == 1


def test_a_run_of_a_version_that_was_replaced_says_nothing_of_the_new_one(world: World) -> None:
    source = world.add()
    world.runtime.meanwhile = lambda: world.add(every_ms=2 * HOUR)
    world.says([mood(0)], end=SourceFailed("mood", "failed"))
    assert world.runner.run(source).state == "lost"
    world.runtime.meanwhile = None
    row = world.catalogue.get("mood").row
    assert (row.id, row.error, row.due_at, row.every_ms) == (
        source,
        None,
        world.clock.now_ms(),
        2 * HOUR,
    )
    assert len(world.stored()) == 1
    world.runtime.meanwhile = lambda: world.catalogue.remove("mood")
    assert world.runner.run(source).state == "lost"
    assert world.runner.run(source).state == "not_claimed"
    assert len(world.stored()) == 1  # what it gave stays


def test_a_disabled_source_is_asked_by_hand_alone(world: World) -> None:
    source = world.add(enabled=False)
    assert world.hints.sent == []
    assert world.runner.sweep() == 0
    assert world.runner.run(source).state == "not_claimed"
    assert world.runner.run_now(source).state == "succeeded"
    with pytest.raises(InvalidInput, match="enable it first"):
        world.catalogue.request("mood")
    world.clock.advance(60_000)
    world.catalogue.enable("mood", True)
    assert world.hints.sent == [("collection.run_source", source)]
    assert world.runner.run(source).state == "succeeded"
    due = world.catalogue.get("mood").row.due_at
    world.clock.advance(60_000)
    # By hand, before its time: the schedule stands.
    world.runner.run_now(source)
    assert world.catalogue.get("mood").row.due_at == due
    world.catalogue.request("mood")
    assert world.runner.run(source).state == "succeeded"


def test_a_clock_that_is_set_back_leaves_no_source_waiting_for_the_time_before(
    world: World,
) -> None:
    source = world.add()
    world.clock.step(100 * HOUR)
    world.runner.run_now(source)
    world.catalogue.request("mood")
    world.runner.run(source)
    world.clock.step(-100 * HOUR)
    with world.units.write() as unit:
        unit.waits.end_future(unit.now_ms, reply_ms=1_000)
    assert world.catalogue.get("mood").row.due_at == world.clock.now_ms() + HOUR


def test_what_cannot_be_added_is_refused_in_a_sentence(world: World) -> None:
    for changed, why in (
        ({"name": "Mood"}, "must begin with a letter a-z"),
        ({"name": "m" * 33}, "at most 32"),
        ({"every_ms": 29_999}, "every 30 s at most"),
        ({"symbols": ["BTC USDT"]}, "is no symbol"),
        ({"symbols": ["S"] * 501}, "at most 500 symbols"),
        ({"ref": SourceRef("mood.py", "x" * 300_000)}, "larger than 256 KiB"),
    ):
        with pytest.raises(InvalidInput, match=why):
            world.add(**changed)
    with pytest.raises(NotFound, match="tidemark data sources list"):
        world.catalogue.get("mood")
    with pytest.raises(NotFound, match="no points of source:mood were collected"):
        world.stored()
    source = world.add()
    world.says([mood(0)])
    world.runner.run_now(source)
    with pytest.raises(NotFound, match="has no series news; it has mood"):
        world.stored("news")


def test_the_built_in_example_comes_in_without_a_network(world: World, tmp_path: Path) -> None:
    hosted = HostedSources(SourceLimits(), [tmp_path], loopback_only=True)
    ids = CountingIds()
    catalogue = SourceCatalogue(world.units, ids, hosted)
    runner = SourceRunner(world.units, hosted, world.hints, world.clock, ids)
    new = NewSource("mood", SourceRef("fear_greed"), HOUR, params={"location": "sample"})
    source = catalogue.add(new).id
    assert runner.run(source).kept.stored == 40
    assert runner.run_now(source).kept.stored == 0
    days = world.stored("fear_greed")
    assert len(days) == 40
    assert days[0] == Point(1_767_225_600_000, D(20), None, "Extreme Fear")
