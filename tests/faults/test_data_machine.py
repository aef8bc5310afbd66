"""Our own side breaks in the middle of a back-fill: the process, the database, its disk.

Real processes are killed in ``tests/integration/market/test_sigkill.py`` and, with everything
else of a full stack, in ``test_full_stack.py`` and ``test_data_full_stack.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from app.core.errors import Unavailable
from app.core.market.coverage import CoverageState
from tests.support.data_rehearsal import DataRehearsal, KilledError, MidJob
from tests.support.disk import Disk, damaged, small_disk
from tests.support.installation import installed
from tests.support.servers import MariaDBServer
from tests.support.simulator import SimulatorProcess

WHOLE = [CoverageState.PRESENT]


def kill() -> None:
    raise KilledError


def recover(story: DataRehearsal) -> None:
    """Two minutes in which each pool learns, by one call, that its lines are dead."""
    for _ in range(2):
        with suppress(DBAPIError):
            story.minutes()


@pytest.mark.parametrize("commits", [1, 2])
def test_killed_behind_any_commit_the_next_process_goes_on_there(
    exchange: SimulatorProcess, tmp_path: Path, database_url: str, commits: int
) -> None:
    """Of three pages: the first is stored alone, the others together."""
    given = {"bus": MidJob(), "database_url": database_url}
    with installed(exchange, tmp_path, **given) as here:
        story = DataRehearsal(here)
        with pytest.raises(KilledError):
            story.strike(kill, after=commits)
        story.restart()
        story.minutes()
        assert story.job().state == "running", "its lease is still the dead one's"
        assert story.until_done().state == "succeeded"
        assert story.job().progress["slices_done"] == 3, "no page is asked for twice"
        story.minutes(2)
        assert story.states() == WHOLE
        story.assert_holds()


@pytest.mark.mysql
def test_a_database_killed_in_mid_job_comes_back_with_every_page_it_had_confirmed(
    exchange: SimulatorProcess, tmp_path: Path
) -> None:
    with MariaDBServer() as server:
        given = {"bus": MidJob(), "database_url": server.create_database("killed")}
        with installed(exchange, tmp_path, **given) as here:
            story = DataRehearsal(here)
            with pytest.raises(DBAPIError):
                story.strike(server.kill9)
            with story.world.blind():
                for _ in range(2):
                    story.pass_minute(here.market_ms)
                    with pytest.raises(DBAPIError):
                        here.run("maintenance.follow_plans")
                server.start()
                here.queue.waiting.clear()
                recover(story)
                assert story.until_done().state == "succeeded"
            story.minutes(2)
            assert story.job().progress["slices_done"] == 3
            assert story.states() == WHOLE
            story.assert_holds()
            assert damaged(here.parts.engine) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


# MariaDB's tables have some room in themselves: it takes more pages until one finds none.
@pytest.mark.parametrize(
    ("database", "pages"), [("sqlite", 3), pytest.param("mysql", 20, marks=pytest.mark.mysql)]
)
def test_a_disk_that_fills_in_mid_job_keeps_whole_pages_alone(
    exchange: SimulatorProcess, tmp_path: Path, disk: Disk, database: str, pages: int
) -> None:
    with ExitStack() as stack:
        url, server = f"sqlite:///{disk.path / 'tidemark.db'}", None
        if database == "mysql":
            server = stack.enter_context(MariaDBServer(disk.path / "mysql"))
            url = server.create_database("small")
        given = {"bus": MidJob(), "database_url": url}
        here = stack.enter_context(installed(exchange, tmp_path / "data", **given))
        story = DataRehearsal(here, pages=pages)
        with suppress(Unavailable, DBAPIError):
            story.strike(disk.fill)
        with story.world.blind():
            for _ in range(3):
                with suppress(Unavailable, DBAPIError):
                    story.minutes(look=False)
            disk.clear()
            # MariaDB 10.11 ends itself where a bulk load finds no room; whoever runs it starts it.
            if server is not None:
                server.start()
            here.queue.waiting.clear()
            with suppress(DBAPIError):
                assert story.job().state != "succeeded", "it found room: nothing was rehearsed"
            recover(story)
            assert story.until_done().state == "succeeded"
        story.minutes(2)
        assert story.states() == WHOLE
        story.assert_holds()
        assert damaged(here.parts.engine) == []
