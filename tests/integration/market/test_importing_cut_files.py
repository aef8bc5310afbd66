"""A file that was cut on its way: no part of a number is ever taken for the number."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from app.core.errors import InvalidInput
from app.services.importing import ImportOrder
from tests.integration.market.importing import NOW, Importing, bar, file, line, walk
from tests.support.record import START_MS

M = 60_000
T = START_MS
HEADER = "ts,open,high,low,close,volume\n"


def refused(world: Importing) -> list[tuple[int, object, str]]:
    """What is in quarantine: time, volume, reason."""
    with world.units.read() as unit:
        series = unit.klines.find_series("binance", "BTC/USDT", "1m")
        assert series is not None
        kept = unit.klines.quarantined(series.id)
        return [(entry.open_ts, entry.row[5], entry.reason) for entry in kept]


def test_a_volume_that_was_cut_is_not_stored(world: Importing, tmp_path: Path) -> None:
    """12345.67 was cut to 12345.6, which is a volume like any other."""
    whole = [HEADER, *walk(range(20)), line(T + 20 * M, 101, "12345.67")]
    cut = "".join(whole)[:-2]
    result = world.result(file(tmp_path, cut), "BTC/USDT", "1m")
    assert len(world.stored("BTC/USDT")) == 20
    assert (result["rows"], result["new"], result["bad"], result["quarantined"]) == (21, 20, 1, 1)
    assert result["unended"] == [
        {"file": "bars.csv", "line": 22, "text": f"{T + 20 * M},101,101,101,101,12345.6"}
    ]
    reason = "it is the last line of the file and has no line end: it may be cut"
    assert refused(world) == [(T + 20 * M, "12345.6", reason)]
    # Its place stays to be asked for, and the whole file puts it right.
    assert world.spans("BTC/USDT")[-1][1] == T + 20 * M
    again = world.result(file(tmp_path, *whole), "BTC/USDT", "1m")
    assert (again["new"], again["unchanged"], again["unended"]) == (1, 20, [])
    assert world.stored("BTC/USDT")[-1] == bar(T + 20 * M, 101, "12345.67")


def test_a_row_that_was_cut_before_its_last_column_is_told(here: Importing, tmp_path: Path) -> None:
    path = file(tmp_path, *walk(range(20)), f"{T + 20 * M},101,101,10")
    result = here.result(path, "BTC/USDT", "1m")
    assert (result["rows"], result["new"], result["quarantined"]) == (21, 20, 0)
    assert result["unended"] == [
        {"file": "bars.csv", "line": 21, "text": f"{T + 20 * M},101,101,10"}
    ]


@pytest.mark.parametrize("proof", ["flag", "checksum", "gzip", "line end"])
def test_a_last_line_counts_where_something_says_that_it_is_whole(
    here: Importing, tmp_path: Path, proof: str
) -> None:
    """Many programs write no last line end; a checksum and a compressed file prove themselves."""
    text = "".join(walk(range(20))).rstrip("\n") + ("\r\n" if proof == "line end" else "")
    name = "bars.csv.gz" if proof == "gzip" else "bars.csv"
    content = gzip.compress(text.encode()) if proof == "gzip" else text.encode()
    path = tmp_path / name
    path.write_bytes(content)
    if proof == "checksum":
        stated = f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        path.with_name(f"{name}.CHECKSUM").write_text(stated)
    result = here.result(path, "BTC/USDT", "1m", whole=proof == "flag")
    assert (result["new"], result["bad"], result["unended"]) == (20, 0, [])


def test_the_present_bar_is_no_loss(here: Importing, tmp_path: Path) -> None:
    """An export up to now ends in a bar that has not closed: nothing of it would be stored."""
    path = file(tmp_path, line(NOW - 5 * M), line(NOW).rstrip("\n"))
    result = here.result(path, "BTC/USDT", "1m")
    assert (result["new"], result["bad"], result["unended"]) == (1, 0, [])
    assert result["series"][0]["unfinished"] == 1


def test_a_slice_that_ends_behind_the_last_line_counts_it_once(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    path = file(tmp_path, "".join(walk(range(250))).rstrip("\n"))
    here.clock.cost_s = 50.0
    job = here.jobs.start(ImportOrder(str(path), "binance", "BTC/USDT", "1m"))
    result = here.driven(job.id).result or {}
    assert (result["rows"], result["new"], result["bad"]) == (250, 249, 1)
    assert [cut["line"] for cut in result["unended"]] == [250]


@pytest.mark.parametrize("rows", [[], [HEADER]])
def test_a_file_of_one_line_that_may_be_cut_has_no_bar(
    here: Importing, tmp_path: Path, rows: list[str]
) -> None:
    path = file(tmp_path, *rows, line(T).rstrip("\n"))
    job = here.finished(ImportOrder(str(path), "binance", "BTC/USDT", "1m"))
    assert (job.state, (job.error or {})["code"]) == ("failed", "no-good-row")
    result = job.result or {}
    assert (result["rows"], result["new"], result["quarantined"]) == (1, 0, 1)


@pytest.mark.parametrize("holds", ["trades", "funding"])
def test_trades_and_payments_whose_end_may_be_cut_are_refused(
    here: Importing, tmp_path: Path, holds: str
) -> None:
    """A bar that lacks a trade cannot be told from one that does not."""
    header = {"trades": "ts,price,amount\n", "funding": "ts,rate\n"}[holds]
    rows = {"trades": f"{T},100,1\n{T + M},101,2", "funding": f"{T},0.0001\n{T + 99 * M},0.0002"}
    path = file(tmp_path, header, rows[holds])
    asked = {"trades": holds == "trades", "funding": holds == "funding"}
    with pytest.raises(InvalidInput, match=r"line 3 of bars\.csv, its last, has no line end"):
        here.result(path, "BTC/USDT", "1m", **asked)
    assert here.result(path, "BTC/USDT", "1m", **asked, whole=True)["new"] > 0


def test_a_list_that_was_cut_is_refused_whole(here: Importing, tmp_path: Path) -> None:
    """Also where it was cut between two rows."""
    text = json.dumps([[T + n * M, 100, 100, 100, 100, 7] for n in range(30)])
    for size in (text.index("],", 500) + 1, text.index("],", 500) + 9, len(text) - 1):
        path = file(tmp_path, text[:size], name="BTC_USDT-1m.json")
        with pytest.raises(InvalidInput, match=r"BTC_USDT-1m.json cannot be read as json"):
            here.result(path)
    assert here.result(file(tmp_path, text + "\n", name="BTC_USDT-1m.json"))["new"] == 30


@pytest.mark.parametrize(
    ("name", "text"),
    [("bars.csv", HEADER), ("bars.csv", ""), ("bars.json", "[]"), ("rates.csv", "ts,rate\n")],
)
def test_a_file_without_a_row_is_refused(
    here: Importing, tmp_path: Path, name: str, text: str
) -> None:
    empty = file(tmp_path, text, name=name)
    with pytest.raises(InvalidInput, match=f"^{name} has no rows$"):
        here.result(empty, "BTC/USDT", "1m", funding="rate" in name)


def test_a_file_without_a_row_is_told_of_among_others(here: Importing, tmp_path: Path) -> None:
    """A pair that was listed later than the folder's range, as freqtrade writes it."""
    folder = tmp_path / "data"
    rows = ",".join(f"[{text.strip()}]" for text in walk(range(5)))
    for name, text in (("AAA", "[]"), ("BTC", f"[{rows}]"), ("ZZZ", "[]")):
        file(folder, text, name=f"{name}_USDT-1m.json")
    result = here.result(folder)
    assert [(each["symbol"], each["new"]) for each in result["series"]] == [("BTC/USDT", 5)]
    assert result["skipped"] == [
        ["AAA_USDT-1m.json", "it has no rows"],
        ["ZZZ_USDT-1m.json", "it has no rows"],
    ]
