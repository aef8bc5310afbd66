"""What ``--complete`` proves: holes of the source, and not those of files that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.market.coverage import CoverageState, Span, lay_apart
from app.repositories.unit import Unit
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


def day_of_trades(folder: Path, number: int, hours: range) -> Path:
    """A day of trades of an archive, of March 2026: one in each of some minutes of its hours."""
    start = T + (number - 1) * DAY
    rows = [
        f"{number * 10_000 + hour},100,1,0,{start + hour * 60 * M + 5_000},true,true\n"
        for hour in hours
    ]
    return file(folder, *rows, name=f"BTCUSDT-trades-2026-03-{number:02d}.csv")


@pytest.mark.parametrize("state", ["missing", "refused"])
def test_the_day_of_a_file_of_trades_that_is_not_there_is_not_proven(
    world: Importing, tmp_path: Path, state: str
) -> None:
    """The 2nd is missing, or broke on its way: the last bar of the 1st is no neighbour of the 3rd's
    first."""
    folder = tmp_path / "data"
    for number, hours in ((1, range(22)), (3, range(5, 24)), (4, range(2, 24))):
        day_of_trades(folder, number, hours)
    if state == "refused":
        refused = day_of_trades(folder, 2, range(24))
        refused.with_name(f"{refused.name}.CHECKSUM").write_text(f"{'0' * 64}  {refused.name}\n")
    order = ImportOrder(str(folder), "binance", "BTC/USDT", "1h", trades=True, complete=True)
    job = world.finished(order)
    assert job.state == ("failed" if state == "refused" else "succeeded")
    spans = world.spans("BTC/USDT", "1h")
    absent = [((a - T) // M // 60, (b - T) // M // 60) for a, b, of in spans if of is ABSENT]
    # Between the 3rd and the 4th, which follow each other, two hours are stated to be empty.
    assert absent == [(72, 74)]
    assert [(row.open_ts - T) // M // 60 for row in world.stored("BTC/USDT", "1h")] == [
        *range(22), *range(53, 72), *range(74, 96),
    ]  # fmt: skip


def test_files_of_trades_without_a_period_prove_nothing_in_between(
    here: Importing, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    for name, first in (("a.csv", 0), ("b.csv", 300)):
        rows = [f"{T + n * M + s * 1_000},100,1\n" for n in range(first, first + 9) for s in (0, 9)]
        file(folder, "ts,price,amount\n", *rows, name=name)
    here.result(folder, "BTC/USDT", "1m", trades=True, complete=True)
    assert proven(here) == []


def test_what_a_rule_has_removed_stays_removed(here: Importing, tmp_path: Path) -> None:
    """A complete file knows of no bar there; that it had some once is known better."""
    folder = tmp_path / "data"
    day(folder, 1, range(1440))
    assert complete(here, folder) == "succeeded"

    def retire(unit: Unit) -> None:
        series = unit.klines.find_series("binance", "BTC/USDT", "1m")
        assert series is not None
        spans = unit.coverage.spans(series.id)
        gone = Span(T + 100 * M, T + 200 * M, CoverageState.RETIRED)
        unit.coverage.save(series.id, spans, lay_apart(spans, [gone]))

    here.units.run(retire)
    file(folder, *walk([*range(90), *range(210, 1440)]), name="BTCUSDT-1m-2026-03-01.csv")
    assert complete(here, folder) == "succeeded"
    states = [((a - T) // M, (b - T) // M, state) for a, b, state in here.spans("BTC/USDT")]
    assert (100, 200, CoverageState.RETIRED) in states
    assert proven(here) == []
