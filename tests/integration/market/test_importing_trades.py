"""Trades of several files: every trade counts once, and a bar is whole or it is not there."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import InvalidInput
from app.core.market.coverage import CoverageState
from app.services.importing import ImportOrder
from tests.integration.market.importing import DAY, Importing, bar, file
from tests.support.record import START_MS

S = 1_000
M = 60 * S
T = START_MS
D = Decimal
HEADER = "id,time,price,qty\n"
Trade = tuple[int, int, object, object]


def tape(seconds: range, step: int = 10, start: int = T) -> list[Trade]:
    """Trades of one unit, six a minute; ids count on from the start of all."""
    return [(n, start + n * S, 100 + n % 7, 1) for n in seconds[::step]]


def lines(trades: Sequence[Trade]) -> list[str]:
    return [",".join(map(str, each)) + "\n" for each in trades]


def trades_file(folder: Path, name: str, trades: Sequence[Trade], header: str = HEADER) -> Path:
    return file(folder, header, *lines(trades), name=name)


def a_day(folder: Path, number: int, trades: Sequence[Trade]) -> Path:
    """A day of Binance's archive, of March 2026."""
    rows = [f"{id_},{price},{amount},0,{ts},true,true\n" for id_, ts, price, amount in trades]
    return file(folder, *rows, name=f"BTCUSDT-trades-2026-03-{number:02d}.csv")


def imported(world: Importing, source: Path, interval: str = "1m", **more: Any) -> Any:
    result = world.result(source, "BTC/USDT", interval, trades=True, **more)
    (series,) = result["series"]
    return series


def minutes(world: Importing, interval: str = "1m") -> dict[int, int]:
    """Volume by minute of the day, or of the month for days and weeks."""
    return {(row.open_ts - T) // M: int(row.volume) for row in world.stored("BTC/USDT", interval)}


def test_a_tape_that_is_cut_within_a_minute_makes_the_bars_of_the_whole_one(
    world: Importing, tmp_path: Path
) -> None:
    """Ten minutes, cut at second 330: minute 5 is of both files."""
    whole = tape(range(600))
    trades_file(tmp_path / "one", "a.csv", whole)
    trades_file(tmp_path / "two", "a.csv", whole[:33])
    trades_file(tmp_path / "two", "b.csv", whole[33:])
    one = imported(world, tmp_path / "one", exchange="one", new_exchange=True)
    two = imported(world, tmp_path / "two", exchange="two", new_exchange=True)
    assert world.stored("BTC/USDT", exchange="two") == world.stored("BTC/USDT", exchange="one")
    assert {row.volume for row in world.stored("BTC/USDT", exchange="two")} == {D(6)}
    assert (one["new"], one["ends"]) == (two["new"], two["ends"]) == (9, [T + 9 * M])
    assert two["revised"] == 0


def test_the_ends_of_a_tape_are_left_out_and_replace_no_bar(
    world: Importing, tmp_path: Path
) -> None:
    """Two imports of the halves of one tape: the minute of both is whole in neither."""
    stated = [bar(T + n * M, 100, 6) for n in (5,)]
    with world.units.write() as unit:
        series = unit.klines.locked("binance", "BTC/USDT", "1m", 1)
        unit.klines.store(series.id, stated, covered=False, source="rest:binance", now_ms=1)
    whole = tape(range(5, 600))
    first = imported(world, trades_file(tmp_path, "a.csv", whole[:33]))
    second = imported(world, trades_file(tmp_path, "b.csv", whole[33:]))
    assert (first["ends"], second["ends"]) == ([T, T + 5 * M], [T + 5 * M, T + 9 * M])
    assert (first["revised"], second["revised"]) == (0, 0)
    assert minutes(world) == dict.fromkeys(range(1, 9), 6)
    assert world.stored("BTC/USDT")[4] == stated[0]


def test_a_day_of_an_archive_is_whole_and_a_missing_one_parts_the_tape(
    world: Importing, tmp_path: Path
) -> None:
    """March 1st is a Sunday: of the weeks of 2nd to 15th the first lacks the 4th; a trade each
    four hours, the ids of which count on."""
    folder = tmp_path / "data"
    for number in [*range(1, 4), *range(5, 18)]:
        first = (number - 1) * 86_400
        a_day(folder, number, tape(range(first, first + 86_400), 14_400))
    by_day = imported(world, folder, "1d")
    assert (by_day["new"], by_day["ends"]) == (16, [])
    assert {row.volume for row in world.stored("BTC/USDT", "1d")} == {D(6)}
    by_week = imported(world, folder, "1w")
    (week,) = world.stored("BTC/USDT", "1w")
    assert (week.open_ts, week.volume, week.trade_count) == (T + 8 * DAY, D(42), 42)
    # The week before the 2nd, that of the 2nd, which lacks a day, and that of the 16th.
    assert by_week["ends"] == [T - 6 * DAY, T + DAY, T + 15 * DAY]


def test_a_slice_that_ends_between_or_within_files_changes_nothing(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    folder = tmp_path / "data"
    for number in range(1, 4):
        first = (number - 1) * 86_400
        a_day(folder, number, tape(range(first, first + 86_400), 7 * 60 + 1))
    order = ImportOrder(str(folder), "binance", "BTC/USDT", "1m", trades=True)
    at_once = here.finished(order).result
    stored = here.stored("BTC/USDT")
    here.clock.cost_s = 25.0
    job = here.jobs.start(
        ImportOrder(**{**order.params(), "exchange": "slow", "new_exchange": True})
    )
    slices = 0
    while here.jobs.run(job.id) == "queued":
        slices += 1
    assert slices >= 6
    assert here.stored("BTC/USDT", exchange="slow") == stored
    with here.units.read() as unit:
        told = unit.jobs.get(job.id).result
    assert told is not None
    assert at_once is not None
    assert told["series"][0] == {**at_once["series"][0], "exchange": "slow"}
    assert sum(row.trade_count or 0 for row in stored) == 3 * len(tape(range(86_400), 421))


def test_trades_that_come_twice_count_once(world: Importing, tmp_path: Path) -> None:
    """Pages that overlap by ten trades, over the end of a minute, and the last file once more."""
    whole = tape(range(1200))
    folder = tmp_path / "data"
    trades_file(folder, "a.csv", [*whole[:40], *whole[30:80]])
    trades_file(folder, "b.csv", whole[70:])
    found = imported(world, folder)
    assert found["duplicates"] == {"same": 20, "differing": 0}
    assert minutes(world) == dict.fromkeys(range(19), 6)
    assert found["ends"] == [T + 19 * M]


@pytest.mark.parametrize("kind", ["descending in a millisecond", "texts", "none"])
def test_ids_that_do_not_ascend_are_told_all_the_same(
    here: Importing, tmp_path: Path, kind: str
) -> None:
    whole = tape(range(600))
    if kind == "texts":
        rows: Any = [(f"t{(n * 7) % 997}", *each[1:]) for n, each in enumerate(whole)]
    elif kind == "none":
        rows = [("", *each[1:]) for each in whole]
    else:
        rows = [(id_ ^ 1 if id_ % 20 else id_ + 15, *more) for id_, *more in whole]
    found = imported(here, trades_file(tmp_path, "a.csv", [*rows[:40], *rows[36:]]))
    # Of trades without an id two that are alike are two.
    again = 0 if kind == "none" else 4
    assert found["duplicates"]["same"] == again
    assert sum(minutes(here).values()) == 54 + 4 - again


def test_a_column_that_is_no_id_is_not_taken_for_one(here: Importing, tmp_path: Path) -> None:
    rows = [(1, T + n * 10 * S, 100 + n, 1) for n in range(30)]
    path = trades_file(tmp_path, "a.csv", rows)
    with pytest.raises(InvalidInput, match="has the id 1 for two trades that differ"):
        imported(here, path)
    columns = {"ts": "time", "price": "price", "amount": "qty"}
    assert imported(here, path, columns=columns)["new"] == 4


def test_files_that_are_not_of_one_tape_share_no_bar(here: Importing, tmp_path: Path) -> None:
    """Hours lie between the two; without ids nothing says that nothing was traded meanwhile."""
    header = "ts,price,amount\n"
    rows = [each[1:] for each in tape(range(5, 600))]
    later = [(ts + 7_200 * S, *more) for ts, *more in rows]
    file(tmp_path / "data", header, *lines(rows), name="a.csv")  # type: ignore[arg-type]
    file(tmp_path / "data", header, *lines(later), name="b.csv")  # type: ignore[arg-type]
    found = imported(here, tmp_path / "data")
    assert found["ends"] == [T, T + 9 * M, T + 120 * M, T + 129 * M]
    assert set(minutes(here).values()) == {6}
    states = {state for *_, state in here.spans("BTC/USDT")}
    assert states == {CoverageState.PRESENT}


def test_a_file_that_is_left_out_parts_the_tape(here: Importing, tmp_path: Path) -> None:
    whole = tape(range(900))
    folder = tmp_path / "data"
    trades_file(folder, "a.csv", whole[:33])
    trades_file(folder, "b.csv", [(32, T + 331 * S, "none", 1)])
    trades_file(folder, "c.csv", whole[34:])
    job = here.finished(ImportOrder(str(folder), "binance", "BTC/USDT", "1m", trades=True))
    assert (job.state, (job.error or {})["code"]) == ("failed", "files-left-out")
    assert job.result is not None
    assert job.result["series"][0]["ends"] == [T + 5 * M, T + 14 * M]
    assert minutes(here) == dict.fromkeys([*range(5), *range(6, 14)], 6)
