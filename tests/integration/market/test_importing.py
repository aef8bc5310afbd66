"""A file into the record: exactly what it holds, once, and accounted for."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from app.core.errors import InvalidInput
from app.core.market.coverage import CoverageState
from app.repositories.points import Point
from app.services.importing import ImportOrder
from tests.integration.market.importing import DAY, NOW, Importing, bar, file, line, walk
from tests.support.record import START_MS

M = 60_000
T = START_MS
H = 60 * M
D = Decimal
PRESENT = CoverageState.PRESENT


def test_what_the_file_states_is_what_is_stored(world: Importing, tmp_path: Path) -> None:
    lines = [line(T, "0.10", 1), line(T + M, "1e-05", 0), line(T + 3 * M, "7.5000", "0.0")]
    result = world.result(file(tmp_path, *lines), "BTC/USDT", "1m")
    expected = [bar(T, "0.1", 1), bar(T + M, "0.00001", 0), bar(T + 3 * M, "7.5", 0)]
    assert world.stored("BTC/USDT") == expected
    (series,) = result["series"]
    assert (series["new"], series["first"], series["last"]) == (3, T, T + 3 * M)
    gap = [T + 2 * M, T + 3 * M, 1]
    assert series["gaps"] == {"count": 1, "bars": 1, "longest": 1, "ranges": [gap]}
    assert series["zero_volume"]["ranges"] == [[T + M, T + 2 * M, 1], [T + 3 * M, T + 4 * M, 1]]
    # A gap in a file is no proof: the venue is still to be asked.
    assert world.spans("BTC/USDT") == [(T, T + 2 * M, PRESENT), (T + 3 * M, T + 4 * M, PRESENT)]
    assert world.events.on("market.kline.binance") == [
        {
            "schema": "klines.v1", "kind": "trade", "exchange": "binance",
            "symbol": "BTC/USDT", "interval": "1m",
            "first": T, "last": T + 3 * M, "count": 3,
        }
    ]  # fmt: skip


def test_a_file_imported_twice_changes_nothing_and_says_so(
    world: Importing, tmp_path: Path
) -> None:
    path = file(tmp_path, *walk(range(500)), line(T + 500 * M, -1))
    first = world.result(path, "BTC/USDT", "1m")
    bars, spans = world.stored("BTC/USDT"), world.spans("BTC/USDT")
    world.events.sent.clear()
    again = world.result(path, "BTC/USDT", "1m")
    assert (first["new"], first["bad"], first["quarantined"]) == (500, 1, 1)
    assert (again["new"], again["revised"], again["unchanged"]) == (0, 0, 500)
    assert (again["bad"], again["quarantined"]) == (1, 0)
    assert (world.stored("BTC/USDT"), world.spans("BTC/USDT")) == (bars, spans)
    assert world.events.on("market") == []


def test_a_bar_that_differs_is_revised_and_both_are_kept(world: Importing, tmp_path: Path) -> None:
    world.result(file(tmp_path, *walk(range(100))), "BTC/USDT", "1m")
    lines = walk(range(120))
    lines[40] = line(T + 40 * M, "140.40", "26.4")
    result = world.result(file(tmp_path, *lines, name="b.csv"), "BTC/USDT", "1m")
    assert (result["new"], result["revised"], result["unchanged"]) == (20, 1, 99)
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", "BTC/USDT", "1m")
        assert series is not None
        (revision,) = unit.klines.revisions(series.id)
    assert (revision.open_ts, revision.source) == (T + 40 * M, "file:b.csv")
    assert (revision.old["volume"], revision.new["volume"]) == ("2", "26.4")


def test_nothing_bad_is_stored_and_nothing_is_dropped(here: Importing, tmp_path: Path) -> None:
    bad = {
        line(T + 30_000): "its open time is not on the grid of 1m",
        line(T + 2 * M, "abc"): "'abc' is not a number",
        line(T + 3 * M, ""): "a number is missing",
        line(T + 4 * M, "nan"): "amount was NaN, which is not a finite number",
        line(T + 5 * M, 100, -1): "a volume or the trade count is negative",
        line(
            T + 1 * M, 101
        ): "an earlier row of the file, which counts, says otherwise of its time: "
        "open 101.01, high 101.01, low 101.01, close 101.01, …",
        line(NOW + DAY): "it opens in the future",
    }
    lines = walk(range(2)) + list(bad) + walk(range(10, 40))
    lines.append(line(T + 1 * M, "101.01", 2))
    result = here.result(file(tmp_path, *lines), "BTC/USDT", "1m")
    (series,) = result["series"]
    assert (series["rows"], series["new"], series["bad"]) == (len(lines), 32, 7)
    assert series["duplicates"] == {"same": 1, "differing": 1}
    assert series["off_grid"] == 1
    # Five are told apart; of what is left the number is said.
    assert len(series["reasons"]) == 6
    assert series["reasons"]["other reasons"] == 2
    assert sum(series["reasons"].values()) == series["bad"]
    with here.units.read() as unit:
        found = unit.klines.find_series("binance", "BTC/USDT", "1m")
        assert found is not None
        kept = unit.klines.quarantined(found.id)
    assert {entry.reason for entry in kept} == set(bad.values())
    assert {entry.source for entry in kept} == {"file:bars.csv"}


def test_the_present_bar_is_left_out_until_it_has_closed(here: Importing, tmp_path: Path) -> None:
    path = file(tmp_path, line(NOW - M), line(NOW))
    (series,) = here.result(path, "BTC/USDT", "1m")["series"]
    assert (series["new"], series["unfinished"]) == (0, 2)  # the first has no grace yet


def test_rows_that_no_reading_explains_are_refused_whole(here: Importing, tmp_path: Path) -> None:
    path = file(tmp_path, *walk(range(100)))
    with pytest.raises(InvalidInput, match=r"100 of 100 rows of bars.csv cannot be bars"):
        here.finished(ImportOrder(str(path), "binance", "BTC/USDT", "5m", columns={
            "ts": "0", "open": "1", "high": "5", "low": "3", "close": "4", "volume": "2"
        }))  # fmt: skip
    assert here.stored("BTC/USDT", "5m") == []


def test_a_series_off_by_an_hour_is_told_and_kept_out(world: Importing, tmp_path: Path) -> None:
    world.result(file(tmp_path, *walk(range(600))), "ETH/BTC", "1m")
    before = world.stored("ETH/BTC")
    late = file(tmp_path, *walk(range(600), T - H), name="late.csv")
    job = world.finished(ImportOrder(str(late), "binance", "ETH/BTC", "1m"))
    assert (job.state, (job.error or {})["code"]) == ("failed", "shifted")
    assert "are 1 h behind the same bars as they are stored" in (job.error or {})["message"]
    assert "--utc-offset -01:00" in (job.error or {})["message"]
    assert job.result is not None
    assert job.result["shifts"] == [
        {"file": "late.csv", "series": ["binance", "ETH/BTC", "1m", "trade"], "shift_ms": -H}
    ]
    assert world.stored("ETH/BTC") == before
    healed = world.result(late, "ETH/BTC", "1m", utc_offset_ms=-H)
    assert (healed["unchanged"], healed["new"], healed["revised"]) == (600, 0, 0)


def test_a_run_without_volume_goes_on_over_the_end_of_a_chunk(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    """Chunks of a hundred bars; runs of 3, of 120 over two chunks' ends, and of 5 at the end."""
    idle = [*range(10, 13), *range(90, 210), *range(295, 300)]
    lines = [line(T + n * M, 100, 0 if n in idle else 7) for n in range(300)]
    told = {"count": 3, "bars": 128, "longest": 120}
    for number, rows in enumerate((lines, lines[::-1])):
        path = file(tmp_path, *rows, name=f"{number}.csv")
        (found,) = here.result(path, f"IDLE{number}/USDT", "1m")["series"]
        runs = found["zero_volume"]
        assert {name: runs[name] for name in told} == told
        assert [T + 90 * M, T + 210 * M, 120] in runs["ranges"]
        assert "ends" not in runs


def test_a_complete_file_proves_what_it_lacks(world: Importing, tmp_path: Path) -> None:
    lines = [*walk(range(5)), line(T + 6 * M, "abc"), *walk(range(8, 10))]
    world.result(file(tmp_path, *lines), "BTC/USDT", "1m", complete=True)
    assert world.spans("BTC/USDT") == [
        (T, T + 5 * M, PRESENT),
        (T + 5 * M, T + 6 * M, CoverageState.EXCHANGE_SIDE),
        # What came and was bad may exist: it stays to be asked for.
        (T + 7 * M, T + 8 * M, CoverageState.EXCHANGE_SIDE),
        (T + 8 * M, T + 10 * M, PRESENT),
    ]
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", "BTC/USDT", "1m")
        assert series is not None
        proof = unit.coverage.spans(series.id)[1].proof
    assert proof == {"proof": "file", "file": "bars.csv", "seen_at": NOW}


def test_a_file_that_descends_is_as_good(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    lines = [*walk(range(120)), *walk(range(130, 450))]
    (up,) = here.result(file(tmp_path, *lines), "UP/USDT", "1m")["series"]
    (down,) = here.result(file(tmp_path, *reversed(lines), name="down.csv"), "DOWN/USDT", "1m")[
        "series"
    ]
    assert here.stored("UP/USDT") == here.stored("DOWN/USDT")
    assert {**up, "symbol": ""} == {**down, "symbol": ""}
    assert (up["gaps"]["ranges"], up["bad"]) == ([[T + 120 * M, T + 130 * M, 10]], 0)


def test_a_payment_that_is_stored_keeps_its_time_and_its_mark_price(
    world: Importing, tmp_path: Path
) -> None:
    """The venue was asked for three; the file has them milliseconds beside, one with another rate,
    one twice, one more, and one in the future."""
    known = [Point(T + n * 8 * H + 3, D("0.0001"), D(50_000 + n)) for n in range(3)]
    with world.units.write() as unit:
        names = ("binanceusdm", "BTC/USDT:USDT", "funding", "")
        stored = unit.points.series(*names, 1)
        unit.points.store(stored.id, known, "rest:binanceusdm", 1)
        stored.next_ts = known[-1].ts + 1
    lines = [
        f"{T},0.0001\n",
        f"{T + 8 * H + 11},0.0002\n",
        f"{T + 16 * H + 3},0.0001\n",
        f"{T + 16 * H + 9},0.0003\n",
        f"{T + 32 * H},-0.0004\n",
        f"{NOW + DAY},0.0001\n",
    ]
    path = file(tmp_path, "ts,rate\n", *lines, name="rates.csv")
    result = world.result(path, "BTC/USDT:USDT", exchange="binanceusdm", funding=True)
    (found,) = result["funding"]
    assert (found["rows"], found["new"], found["unchanged"], found["revised"]) == (6, 1, 2, 1)
    assert (found["outside"], found["duplicates"]) == (1, {"same": 0, "differing": 1})
    assert (found["hours_apart"], found["gaps"]["bars"]) == (8, 1)
    with world.units.read() as unit:
        series = unit.points.find_series(*names)
        assert series is not None
        assert unit.points.read(series.id, 0, 1 << 62, 10) == [
            known[0],
            known[1]._replace(value=D("0.0002")),
            known[2],
            Point(T + 32 * H, D("-0.0004"), None),
        ]
        (revision,) = unit.points.revisions(series.id)
        assert (revision.old["value"], revision.new["value"]) == ("0.0001", "0.0002")
        # A plan goes on where the venue's answers ended, not where the file's.
        assert series.next_ts == known[-1].ts + 1


def test_two_payments_near_a_stored_one_are_two(here: Importing, tmp_path: Path) -> None:
    """Stored at half past; the file has one half a minute before and one half a minute behind."""
    names = ("binanceusdm", "BTC/USDT:USDT")
    of = {"symbol": names[1], "exchange": names[0], "funding": True}
    here.result(file(tmp_path, "ts,rate\n", f"{T + 30_000},0.0001\n", name="a.csv"), **of)
    lines = [f"{T},0.0001\n", f"{T + M},0.0002\n"]
    found = here.result(file(tmp_path, "ts,rate\n", *lines, name="b.csv"), **of)
    assert [(each["new"], each["unchanged"]) for each in found["funding"]] == [(1, 1)]
    with here.units.read() as unit:
        series = unit.points.find_series(*names, "funding", "")
        assert series is not None
        stored = unit.points.read(series.id, 0, 1 << 62, 10)
    assert [(point.ts, str(point.value)) for point in stored] == [
        (T + 30_000, "0.0001"),
        (T + M, "0.0002"),
    ]
