"""What ``--complete`` proves: holes of the source, and not those of files that are not there."""

from __future__ import annotations

from pathlib import Path

from app.core.market.coverage import CoverageState
from app.services.importing import ImportOrder
from tests.integration.market.importing import DAY, MINUTE, Importing, file, line, walk
from tests.support.record import START_MS

M = MINUTE
T = START_MS
PRESENT, ABSENT = CoverageState.PRESENT, CoverageState.EXCHANGE_SIDE


def day(folder: Path, number: int, minutes: range, *more: str) -> Path:
    """A day of an archive, of March 2026, that holds some of its minutes."""
    name = f"BTCUSDT-1m-2026-03-{number:02d}.csv"
    header = "ts,open,high,low,close,volume\n"
    return file(folder, header, *walk(minutes, T + (number - 1) * DAY), *more, name=name)


def proven(world: Importing) -> list[tuple[int, int]]:
    """Minutes that are proven to be missing, as positions in March."""
    spans = world.spans("BTC/USDT")
    return [((a - T) // M, (b - T) // M) for a, b, state in spans if state is ABSENT]


def complete(world: Importing, folder: Path) -> str:
    return world.finished(ImportOrder(str(folder), "binance", "BTC/USDT", complete=True)).state


def test_the_day_of_a_file_that_is_missing_is_not_proven(world: Importing, tmp_path: Path) -> None:
    """The 1st lacks its last minutes and the 2nd its first: both say so. There is no 3rd."""
    folder = tmp_path / "data"
    day(folder, 1, range(1430, 1438))
    day(folder, 2, range(3, 1440))
    day(folder, 4, range(5, 100))
    assert complete(world, folder) == "succeeded"
    assert proven(world) == [(1438, 1443)]
    # Once it is there, the edges of all four are stated.
    day(folder, 3, range(1440))
    assert complete(world, folder) == "succeeded"
    assert proven(world) == [(1438, 1443), (3 * 1440, 3 * 1440 + 5)]


def test_the_day_of_a_file_that_is_refused_is_not_proven(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    """The 2nd breaks off in its second hundred of rows, the 4th cannot be read at all."""
    folder = tmp_path / "data"
    day(folder, 1, range(1430, 1438))
    broken = [line(T + DAY + n * M, "abc") for n in range(100, 200)]
    day(folder, 2, range(100), *broken)
    day(folder, 3, range(5, 1440))
    day(folder, 4, range(0), "yesterday,1,1,1,1,1\n")
    day(folder, 5, range(5, 100))
    assert complete(here, folder) == "failed"
    assert proven(here) == [(1438, 1440)]


def test_files_whose_names_say_no_period_prove_nothing_in_between(
    here: Importing, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    file(folder, *walk(range(5)), *walk(range(6, 10)), name="a.csv")
    file(folder, *walk(range(20, 30)), name="b.csv")
    here.result(folder, "BTC/USDT", "1m", complete=True)
    assert proven(here) == [(5, 6)]


def test_a_bar_that_was_refused_at_the_end_of_a_chunk_may_exist(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    lines = [*walk(range(99)), line(T + 99 * M, "abc"), *walk(range(101, 150))]
    path = file(tmp_path, *lines)
    here.result(path, "BTC/USDT", "1m", complete=True)
    assert proven(here) == [(100, 101)]
