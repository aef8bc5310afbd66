"""A file whose rows are in no order of time: every bar of it is stored once, whatever its place."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from app.core.market.coverage import CoverageState
from app.services.importing import ImportOrder
from tests.integration.market.importing import Importing, bar, file, line, walk
from tests.support.record import START_MS

M = 60_000
T = START_MS
PRESENT = CoverageState.PRESENT


def shuffled(lines: list[str]) -> list[str]:
    """The same lines in an order that is the same each time."""
    found = list(lines)
    random.Random(7).shuffle(found)
    return found


def refused(world: Importing, symbol: str) -> list[tuple[object, str]]:
    """What is in quarantine of a series: its close and the reason."""
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", symbol, "1m")
        assert series is not None
        return [(entry.row[4], entry.reason) for entry in unit.klines.quarantined(series.id)]


def test_a_shuffled_file_is_stored_as_a_sorted_one(
    world: Importing, tmp_path: Path, small_chunks: int
) -> None:
    """Nine chunks of a hundred bars, with two gaps, each chunk with bars of all times."""
    lines = [*walk(range(120)), *walk(range(130, 600)), *walk(range(610, 920))]
    (sorted_,) = world.result(file(tmp_path, *lines), "UP/USDT", "1m")["series"]
    path = file(tmp_path, *shuffled(lines), name="shuffled.csv")
    (found,) = world.result(path, "MIXED/USDT", "1m")["series"]
    assert world.stored("MIXED/USDT") == world.stored("UP/USDT")
    assert world.spans("MIXED/USDT") == world.spans("UP/USDT")
    assert {**found, "symbol": ""} == {**sorted_, "symbol": ""}
    assert (found["new"], found["bad"], found["duplicates"]) == (
        900, 0, {"same": 0, "differing": 0}
    )  # fmt: skip
    assert not any((tmp_path / "fetched").glob("*"))


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_a_row_that_is_there_twice_is_dropped_and_one_that_contradicts_is_kept_apart(
    world: Importing, tmp_path: Path, small_chunks: int, order: str
) -> None:
    """Over the ends of chunks, too: an equal row tells nothing new, a contradiction does."""
    lines = walk(range(450))
    again = [lines[99], lines[99], lines[7].replace(".07,", ".070,"), lines[300]]
    bars = {
        "ascending": sorted([*lines, *again]),
        "descending": sorted([*lines, *again], reverse=True),
        "shuffled": shuffled([*lines, *again]),
    }[order]
    contradicting = line(T + 200 * M, "106.99", 5)
    path = file(tmp_path, *bars, contradicting)
    (found,) = world.result(path, "BTC/USDT", "1m")["series"]
    assert (found["rows"], found["new"]) == (455, 450)
    assert found["duplicates"] == {"same": 4, "differing": 1}
    assert (found["bad"], found["quarantined"]) == (1, 1)
    assert world.stored("BTC/USDT")[200] == bar(T + 200 * M, "106.22", 6)
    ((close, reason),) = refused(world, "BTC/USDT")
    assert close == "106.99"
    assert reason == (
        "an earlier row of the file, which counts, says otherwise of its time: open 106.22, "
        "high 106.22, low 106.22, close 106.22, …"
    )


def test_a_file_whose_halves_are_swapped_has_no_gap(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    """As `cat` of two exports leaves it; --complete must not call the first half missing."""
    path = file(tmp_path, *walk(range(200, 400)), *walk(range(200)))
    (found,) = here.result(path, "BTC/USDT", "1m", complete=True)["series"]
    assert (found["new"], found["gaps"]["count"], found["bad"]) == (400, 0, 0)
    assert here.spans("BTC/USDT") == [(T, T + 400 * M, PRESENT)]


def test_a_file_that_states_all_of_its_bars_three_times_is_one_of_bars(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    (found,) = here.result(file(tmp_path, *walk(range(150)) * 3), "BTC/USDT", "1m")["series"]
    assert (found["new"], found["duplicates"]["same"], found["bad"]) == (150, 300, 0)


def test_a_slice_that_ends_goes_on_behind_its_last_chunk_of_a_shuffled_file(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    path = file(tmp_path, *shuffled(walk(range(450))))
    here.clock.cost_s = 50.0
    job = here.jobs.start(ImportOrder(str(path), "binance", "BTC/USDT", "1m"))
    states = []
    while (state := here.jobs.run(job.id)) == "queued":
        states.append(state)
    assert len(states) >= 4
    result: Any = here.driven(job.id).result
    assert (result["rows"], result["new"], result["bad"]) == (450, 450, 0)
    assert len(here.stored("BTC/USDT")) == 450


def test_rows_that_are_all_of_one_time_are_no_file_of_bars(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    path = file(tmp_path, *walk(range(300, 400)), *[line(T, 100 + n) for n in range(500)])
    done = here.finished(ImportOrder(str(path), "binance", "BTC/USDT", "1m"))
    assert (done.state, (done.error or {})["code"]) == ("failed", "invalid-input")
    assert f"bars.csv has 500 rows between {T} and {T}" in (done.error or {})["message"]
    assert here.stored("BTC/USDT") == []


def test_a_disk_without_room_to_sort_a_file_is_said_and_waited_for(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    path = file(tmp_path, *shuffled(walk(range(250))))
    (tmp_path / "fetched").write_text("where the folder should be")
    job = here.jobs.start(ImportOrder(str(path), "binance", "BTC/USDT", "1m"))
    assert here.jobs.run(job.id) == "queued"
    with here.units.read() as unit:
        error = unit.jobs.get(job.id).error or {}
    assert "bars.csv cannot be sorted in " in error["message"]
    (tmp_path / "fetched").unlink()
    assert (here.driven(job.id).result or {})["new"] == 250
