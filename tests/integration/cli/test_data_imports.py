"""What ``tidemark data import`` keeps out, and how it says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Tidemark

T = 1_767_225_600_000
M = 60_000
HEADER = "ts,open,high,low,close,volume"


def bars(folder: Path, name: str, price: int, count: int = 30) -> Path:
    """Minutes of one price."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{T + n * M},{price},{price},{price},{price},7" for n in range(count)]
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_a_file_of_another_market_is_refused_in_one_sentence(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    words = ("-s", "BTC/USDT", "-i", "1m")
    assert tidemark("data", "import", str(bars(tmp_path, "btc.csv", 60_000)), *words).code == 0
    other = str(bars(tmp_path, "eth.csv", 3_000, count=40))
    told = tidemark("data", "import", other, *words)
    assert told.code == 2
    (sentence,) = [each for each in told.err.splitlines() if "contradicts" in each]
    assert "30 of the 30 bars of BTC/USDT 1m" in sentence
    assert "their closes by 95.000%" in sentence
    assert "--revise" in sentence
    assert "Traceback" not in told.err
    assert "No bar was stored." in told.out
    assert "eth.csv" not in told.out, "what the last line says is said once"
    insisted = tidemark("data", "import", other, *words, "--revise", "--json")
    assert (insisted.code, insisted.document["revised"]) == (0, 30)


def test_a_script_notices_that_a_file_of_a_folder_was_left_out(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    bars(tmp_path / "data", "BTC_USDT-1m.csv", 60_000)
    (tmp_path / "data" / "ADA_USDT-1m.csv").write_text(f"{HEADER}\nyesterday,1,1,1,1,1\n")
    told = tidemark("data", "import", str(tmp_path / "data"))
    assert told.code == 2
    assert "ADA_USDT-1m.csv was left out: it has the time 'yesterday'" in told.out
    assert told.out.count("ADA_USDT-1m.csv") == 1
    assert "1 of 2 files were left out; the account says of each why" in told.err
    assert "yesterday" not in told.err
    found = tidemark("data", "import", str(tmp_path / "data"), "--json")
    assert found.document["unchanged"] == 30
    assert [each["file"] for each in found.document["left_out"]] == ["ADA_USDT-1m.csv"]


def test_a_file_without_one_good_row_is_no_success(tidemark: Tidemark, tmp_path: Path) -> None:
    """Ten rows whose high lies below their low, which are too few for a wrong reading."""
    path = tmp_path / "bars.csv"
    rows = [f"{T + n * M},2,1,3,2,7" for n in range(10)]
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    told = tidemark("data", "import", str(path), "-s", "BTC/USDT", "-i", "1m")
    assert told.code == 1
    assert (
        "not one of the 10 rows of bars.csv can be a bar of 1m, the first because open" in told.err
    )
    assert "refused: 10:" in told.out
    path.write_text("\n".join([HEADER, *rows, f"{T + 20 * M},2,3,1,2,7"]) + "\n")
    assert tidemark("data", "import", str(path), "-s", "BTC/USDT", "-i", "1m").code == 0


def test_the_report_names_bars_that_are_not_whole_and_trades_that_came_twice(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    path = tmp_path / "trades.csv"
    rows = [f"{n},{T + 5_000 + n * 10_000},100,1" for n in range(60)]
    path.write_text("\n".join(["id,time,price,qty", *rows, *rows[-3:]]) + "\n")
    told = tidemark("data", "import", str(path), "-s", "BTC/USDT", "-i", "1m", "--trades")
    assert told.code == 0, told.err
    assert "ends: 2 bars that are not whole" in told.out
    assert "duplicates: 3 equal, 0 differing" in told.out
    # What was read, and how fast, is told of trades.
    last = told.out.splitlines()[-1]
    assert re.fullmatch(r"63 trades, [\d,]+ a second, of which 8 bars came\.", last), last
    assert "63 trades · 8 rows · " in tidemark("job", "list").out


@pytest.mark.parametrize("source", ["", " "])
def test_no_source_is_not_the_directory_one_is_in(
    tidemark: Tidemark, tmp_path: Path, source: str
) -> None:
    """As a script gives it whose variable is not set."""
    bars(tmp_path, "BTC_USDT-1m.csv", 60_000)
    told = tidemark("data", "import", source)
    assert (told.code, told.out) == (2, "")
    assert "PATH|URL is empty; give a file, a directory or a URL" in told.err
    assert tidemark("job", "list", "--json").document["data"] == []


def test_rows_are_not_trades_and_funding_rates_at_once(tidemark: Tidemark, tmp_path: Path) -> None:
    path = str(bars(tmp_path, "bars.csv", 60_000))
    words = ("-s", "BTC/USDT", "-i", "1m", "--trades", "--funding")
    told = tidemark("data", "import", path, *words)
    assert told.code == 2
    assert "give --trades or --funding alone" in told.err


def test_an_exchange_that_nobody_knows_is_taken_for_misspelt(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    path = str(bars(tmp_path, "AAA_USDT-1m.csv", 60_000))
    told = tidemark("data", "import", path, "-e", "krakenn")
    assert (told.code, told.out) == (2, "")
    assert "exchange 'krakenn' is not known; did you mean kraken" in told.err
    assert "say --new-exchange" in told.err
    assert tidemark("data", "symbols", "-e", "krakenn").code == 2
    new = tidemark("data", "import", path, "-e", "bittrex", "--new-exchange", "--json")
    assert (new.code, new.document["new"]) == (0, 30)
    # What the record holds is known from then on.
    again = tidemark("data", "import", path, "-e", "bittrex", "--json")
    assert (again.code, again.document["unchanged"]) == (0, 30)


def test_what_stored_bars_lacked_is_told_apart_from_revisions(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    """A file of prices alone, then one with counts of trades, of which one bar differs too."""
    words = ("-s", "BTC/USDT", "-i", "1m")
    assert tidemark("data", "import", str(bars(tmp_path, "a.csv", 100)), *words).code == 0
    rows = [f"{T + n * M},100,100,100,100,{7 + (n == 3)},700,5" for n in range(30)]
    path = tmp_path / "b.csv"
    path.write_text("\n".join([f"{HEADER},quote_volume,trade_count", *rows]) + "\n")
    found = tidemark("data", "import", str(path), *words, "--json").document
    assert [found[name] for name in ("new", "unchanged", "revised", "filled")] == [0, 0, 1, 29]
    bars(tmp_path, "c.csv", 100)
    path = tmp_path / "d.csv"
    rows = [f"{T + n * M},100,100,100,100,7,700,5" for n in range(30)]
    path.write_text("\n".join([f"{HEADER},quote_volume,trade_count", *rows]) + "\n")
    other = ("-s", "ETH/USDT", "-i", "1m")
    assert tidemark("data", "import", str(tmp_path / "c.csv"), *other).code == 0
    told = tidemark("data", "import", str(path), *other)
    assert "30 stored bars got what they lacked of quote volume or trade count" in told.out
    assert "nothing has changed" not in told.out
