"""The checker of collection: it says nothing of a sound store, and finds each kind of lie.

Each lie is planted past the services, in a copy of a store that has a bit of everything: bars of
a back-fill and live ones, a gap, a refused bar, a revision.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from app.adapters.celery_queue import NoQueue
from app.core.market.coverage import CoverageState, Span, lay
from app.core.market.klines import KlineRow
from app.models import CoverageRow, KlineQuarantineRow, KlineRecord, KlineRevisionRow
from app.repositories.unit import Unit
from app.services.collection.target import target
from app.wiring import Container
from tests.support.data_rehearsal import KLINES, DataRehearsal, MidJob
from tests.support.data_world import DataWorld
from tests.support.installation import MINUTE, SYMBOL, installed
from tests.support.parts import EXCHANGE
from tests.support.simulator import SimulatorProcess

D = Decimal
# Comparing amounts in the session is refused like comparing them in SQL.
BLIND = {"synchronize_session": False}


@dataclass
class Sound:
    """A sound store.

    Attributes:
        live: open time of a live bar that is stored.
        gap: of a live bar that the venue does not have.
        refused: of a bar that was refused, and is so still.
        revised: of a bar with a revision.
    """

    story: DataRehearsal
    live: int
    gap: int
    refused: int
    revised: int


@dataclass
class Lie:
    """The copy that a lie is planted in."""

    sound: Sound
    parts: Container
    path: Path
    world: DataWorld

    def write(self, work: Callable[[Unit, int], object]) -> None:
        """Write past the services; ``work`` takes the unit and the series' id."""

        def run(unit: Unit) -> None:
            (series,) = [each for each in unit.klines.all_series() if each.interval == "1m"]
            work(unit, series.id)

        self.parts.units.run(run)

    def change(self, opened: int, **values: Any) -> None:
        """Change a stored bar."""
        statement = update(KlineRecord).where(KlineRecord.open_ts == opened).values(**values)
        self.write(lambda unit, _: unit.session.execute(statement, execution_options=BLIND))

    def forget(self, open_ts: int) -> None:
        """Delete a stored bar."""
        statement = delete(KlineRecord).where(KlineRecord.open_ts == open_ts)
        self.write(lambda unit, _: unit.session.execute(statement))

    def say(self, open_ts: int, state: CoverageState, **proof: Any) -> None:
        """Say something else of a bar than what is known."""

        def work(unit: Unit, series_id: int) -> None:
            before = unit.coverage.spans(series_id)
            span = Span(open_ts, open_ts + MINUTE, state, proof)
            unit.coverage.save(series_id, before, lay(before, span))

        self.write(work)

    def execute(self, statement: Any) -> None:
        """One statement on any table."""
        self.write(lambda unit, _: unit.session.execute(statement))


def gone_as(state: CoverageState, **proof: Any) -> Callable[[Lie], None]:
    def plant(lie: Lie) -> None:
        lie.forget(lie.sound.live)
        lie.say(lie.sound.live, state, **proof)

    return plant


def twice(lie: Lie) -> None:
    """The table without its key, as nobody's migration leaves it, and one bar once more."""
    lie.parts.engine.dispose()
    connection = sqlite3.connect(lie.path)
    connection.executescript(
        "CREATE TABLE keyless AS SELECT * FROM klines; DROP TABLE klines;"
        "ALTER TABLE keyless RENAME TO klines"
    )
    again = "INSERT INTO klines SELECT * FROM klines WHERE open_ts = ?"
    connection.execute(again, (lie.sound.live,))
    connection.commit()
    connection.close()


def open_for_a_moment(lie: Lie) -> None:
    """The open bar was stored, seen by a look, and is gone again."""
    here = lie.sound.story.here
    opened = here.market_ms // MINUTE * MINUTE
    row = KlineRow(opened, D(1), D(1), D(1), D(1), D(1))._asdict()
    lie.write(lambda unit, series: unit.session.execute(
        insert(KlineRecord).values(series_id=series, **row)
    ))  # fmt: skip
    lie.world.look()
    lie.forget(opened)


def retold(unit: Unit, series_id: int) -> None:
    """A revision says that the bar was another one before."""
    (row,) = unit.klines.revisions(series_id)
    attached = unit.session.get_one(KlineRevisionRow, row.id)
    attached.old = {**attached.old, "volume": "1"}


def noticed_late(lie: Lie) -> None:
    here = lie.sound.story.here
    late = here.clock.true_ms
    lie.say(lie.sound.gap, CoverageState.PENDING, first=late, last=late, looks=1)


LIES: dict[str, tuple[str, Callable[[Lie], object]]] = {
    "a bar is gone": ("D1", lambda lie: lie.forget(lie.sound.live)),
    "a bar is gone, and what was known of it": ("D1", gone_as(CoverageState.PENDING)),
    "a bar of the venue's is called unlisted": (
        "D1",
        gone_as(CoverageState.BEFORE_LISTING, earliest=0, seen_at=0),
    ),
    "a bar of the venue's is called missing there": (
        "D1",
        gone_as(CoverageState.EXCHANGE_SIDE, first=0, last=0, looks=3),
    ),
    "nothing is said of any bar": ("D1", lambda lie: lie.execute(delete(CoverageRow))),
    "a bar is there twice": ("D2", twice),
    "a bar is there before its close": (
        "D3",
        lambda lie: lie.change(lie.sound.live, open_ts=lie.sound.live + 60 * MINUTE),
    ),
    "a bar was there before its close": ("D3", open_for_a_moment),
    "a bar says something else": ("D4", lambda lie: lie.change(lie.sound.live, volume=D(7))),
    "a bar was invented": (
        "D4",
        lambda lie: lie.write(
            lambda unit, series: unit.session.execute(
                insert(KlineRecord).values(
                    series_id=series,
                    **KlineRow(lie.sound.gap, D(1), D(1), D(1), D(1), D(1))._asdict(),
                )
            )
        ),
    ),
    "a bar was revised, and nothing says so": (
        "D4",
        lambda lie: lie.execute(delete(KlineRevisionRow)),
    ),
    "a revision tells of another bar than there was": (
        "D4",
        lambda lie: lie.write(retold),
    ),
    "nobody noticed a gap": ("D5", lambda lie: lie.say(lie.sound.gap, CoverageState.PENDING)),
    "a gap was noticed too late": ("D5", noticed_late),
    "a bar cannot be": ("D6", lambda lie: lie.change(lie.sound.live, low=D(0))),
    "a refused bar is nowhere": ("D6", lambda lie: lie.execute(delete(KlineQuarantineRow))),
    "a refused bar has no reason": (
        "D6",
        lambda lie: lie.execute(update(KlineQuarantineRow).values(reason="")),
    ),
}


@pytest.fixture(scope="module")
def sound(exchange: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sound]:
    """A store without a breach: each lie is planted in a copy of it."""
    with installed(exchange, tmp_path_factory.mktemp("sound"), bus=MidJob()) as here:
        story = DataRehearsal(here, pages=2)
        refused = story.since + 1_500 * MINUTE
        nan = {"action": "body", "body": "nan", "path": KLINES}
        story.strike(lambda: here.venue.add_fault(**nan))
        for _ in range(2):
            # Each time its bar is refused; the third time it is left alone for half an hour.
            here.clock.advance(MINUTE)  # sooner it would be the same look
            here.parts.collection.start(story.plan_id)
            here.settle()
        here.venue.clear_faults()
        live = here.market_ms // MINUTE * MINUTE
        gap, revised = live + MINUTE, story.since + 100 * MINUTE
        here.venue.omit(SYMBOL, gap, gap + MINUTE)
        here.venue.revise(SYMBOL, revised, "12.5")
        story.minutes(6)
        here.parts.collection.verify(target(EXCHANGE, SYMBOL, "1m", story.since), 3)
        here.settle()
        assert story.state_of(gap) is story.state_of(refused) is CoverageState.PENDING
        story.assert_holds()
        with here.parts.engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        yield Sound(story, live, gap, refused, revised)
        here.venue.restore(SYMBOL)


@pytest.mark.parametrize("name", LIES)
def test_each_lie_is_found_and_named(sound: Sound, tmp_path: Path, name: str) -> None:
    path = tmp_path / "copy.db"
    here = sound.story.here
    shutil.copyfile(here.data_dir / "tidemark.db", path)
    settings = here.parts.settings.model_copy(update={"database_url": f"sqlite:///{path}"})
    parts = Container(settings, NoQueue())
    parts.clock = here.clock  # type: ignore[assignment]
    world = sound.story.world.over(parts.units)
    assert world.breaches() == []
    invariant, plant = LIES[name]
    plant(Lie(sound, parts, path, world))
    found = world.breaches()
    parts.close()
    assert invariant in {each.invariant for each in found}, found


def test_what_is_wrong_at_a_look_is_told_though_it_heals(sound: Sound) -> None:
    """The venue had a bar for ten minutes, nobody asked for it, and then somebody did."""
    story = sound.story
    here, world = story.here, story.world.over(story.here.parts.units)
    for _ in range(5):
        story.pass_minute(here.market_ms)
    world.look()
    story.minutes()
    assert story.state_of(here.market_ms - 5 * MINUTE) is CoverageState.PRESENT
    assert {each.invariant for each in world.breaches()} == {"D5"}
