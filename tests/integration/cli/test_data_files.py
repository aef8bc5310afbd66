"""``tidemark data import`` and ``export``, as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.conftest import Tidemark

T = 1_767_225_600_000
M = 60_000
BACKWARDS = ("--start", "2026-01-02", "--end", "2026-01-01")


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """Three bars, one of them bad, with a hole."""
    path = tmp_path / "bars.csv"
    rows = [
        f"{T},2,3,1,2.5,7",
        f"{T + M},2,3,2,2,0",
        f"{T + 3 * M},2,1,3,2,7",
        f"{T + 4 * M},2,3,1,2,7",
    ]
    path.write_text("\n".join(["ts,open,high,low,close,volume", *rows]) + "\n")
    return path


def test_a_file_comes_in_and_goes_out_again(tidemark: Tidemark, csv: Path, tmp_path: Path) -> None:
    words = ("data", "import", str(csv), "-s", "BTC/USDT", "-i", "1m")
    first = tidemark(*words, "--json")
    assert first.code == 0, first.err
    assert (first.document["new"], first.document["bad"]) == (3, 1)
    assert first.document["series"][0]["gaps"]["bars"] == 2
    again = tidemark(*words)
    assert again.code == 0
    assert "Every bar was stored already: nothing has changed." in again.out
    assert "BTC/USDT is not in the catalogue of binance." in again.out
    assert "  refused: 1: open and close are not between low and high\n" in again.out
    target = tmp_path / "BTC_USDT-1m.feather"
    out = tidemark("data", "export", str(target), "-s", "BTC/USDT", "-i", "1m", "--json")
    assert out.code == 0, out.err
    assert (out.document["bars"], out.document["format"]) == (3, "feather")
    back = tidemark("data", "import", str(target), "--json")
    assert (back.document["unchanged"], back.document["new"]) == (3, 0)
    listed = tidemark("job", "list", "--kind", "import", "--json")
    assert [job["state"] for job in listed.document["data"]] == ["succeeded"] * 3


def test_the_account_of_all_series_holds_those_that_no_catalogue_has(
    tidemark: Tidemark, csv: Path
) -> None:
    """Files of two venues, and one of a mark price; neither venue was ever asked for anything."""
    for words in (("-e", "binance"), ("-e", "okx"), ("-e", "okx", "--kind", "mark")):
        assert tidemark("data", "import", str(csv), "-s", "OLD/USDT", "-i", "1m", *words).code == 0
    told = tidemark("data", "coverage")
    assert told.code == 0, told.err
    assert "1m mark" in told.out
    for column in ("expected", "present", "pending", "missing at venue", "not listed", "removed"):
        assert column in told.out
    one = ("data", "coverage", "-s", "OLD/USDT", "-e", "okx")
    assert "zero-volume runs" in tidemark(*one).out
    # A mark price has no volume, and nothing is traded at it.
    assert "zero-volume" not in tidemark(*one, "--kind", "mark").out

    def series(*words: str) -> list[tuple[str, str]]:
        found = tidemark("data", "coverage", "--json", *words).document
        return [(each["exchange"], each["kind"]) for each in found]

    assert series() == [("binance", "trade"), ("okx", "mark"), ("okx", "trade")]
    assert series("-e", "okx") == [("okx", "mark"), ("okx", "trade")]
    assert series("--kind", "trade", "-i", "1m") == [("binance", "trade"), ("okx", "trade")]
    assert series("-i", "1h") == []
    of_one = ("data", "coverage", "-s", "OLD/USDT", "-e", "okx", "--json", "--kind")
    assert tidemark(*of_one, "mark").document["counts"]["present"] == 3
    assert tidemark(*of_one, "index").code == 2, "nothing of it is known anywhere"


def test_the_account_of_gaps_says_how_many_it_does_not_list_and_how_to_see_them(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    """Every other minute of 1,200: 1,199 gaps, of which 500 are among the ranges listed."""
    path = tmp_path / "every-other.csv"
    rows = [f"{T + 2 * n * M},2,3,1,2,7" for n in range(1_200)]
    path.write_text("\n".join(["ts,open,high,low,close,volume", *rows]) + "\n")
    assert tidemark("data", "import", str(path), "-s", "BTC/USDT", "-i", "1m").code == 0
    told = tidemark("data", "coverage", "-s", "BTC/USDT")
    assert told.out.count(" pending ") == 1 + 500, "the head of the table, and the gaps"
    assert "699 more gaps of 1,199 are not listed" in told.out
    following = told.out.partition("--start ")[2].split()[0]
    more = tidemark("data", "coverage", "-s", "BTC/USDT", "--start", following)
    assert "199 more gaps of 699 are not listed" in more.out
    following = more.out.partition("--start ")[2].split()[0]
    last = tidemark("data", "coverage", "-s", "BTC/USDT", "--start", following)
    assert "not listed;" not in last.out


def test_what_was_found_in_a_file_is_told_in_lines(tidemark: Tidemark, tmp_path: Path) -> None:
    """A day and more of a market that fills: every third minute is flat without volume."""
    path = tmp_path / "fills.csv"
    rows = [f"{T + n * M},2,{3 if n % 3 else 2},2,2,{7 if n % 3 else 0}" for n in range(2_000)]
    rows[500] = rows[499]
    rows[600] = f"{T + 600 * M + 17},2,3,2,2,7"
    path.write_text("\n".join(["ts,open,high,low,close,volume", *rows]) + "\n")
    told = tidemark("data", "import", str(path), "-s", "BTC/USDT", "-i", "1m")
    assert told.code == 0, told.err
    for line in (
        "gaps: 2 of 2 bars, longest 1",
        "zero-volume runs: 666 of 666 bars, longest 1",
        "duplicates: 1 equal, 0 differing",
        "off-grid rows: 1",
        "a bar without a trade: fills (a flat bar of volume 0)",
    ):
        assert line in told.out
    shown = tidemark("data", "quality", "-s", "BTC/USDT", "-i", "1m")
    assert "fills (a flat bar of volume 0); 33.33 % of all bars" in shown.out
    found = tidemark("data", "quality", "-s", "BTC/USDT", "-i", "1m", "--json").document
    assert found["character"]["verdict"] == "fills"
    assert found["character"]["zero_volume"]["bars"] == 666
    assert found["character"]["gaps"] == {"count": 2, "bars": 2, "longest": 1, "proven": 0}


def test_funding_rates_come_in_and_go_out_as_they_were_stated(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    path = tmp_path / "BTC_USDT_USDT-8h-funding_rate.json"
    hour = 60 * M
    path.write_text(f"[[{T + 17},0.0001],[{T + 8 * hour},-0.00012345],[{T + 24 * hour + 3},0]]")
    told = tidemark("data", "import", str(path), "-e", "binanceusdm")
    assert told.code == 0, told.err
    assert "BTC/USDT:USDT funding: 3 new, 0 stored already" in told.out
    assert "every 12 h" in told.out
    words = ("data", "funding", "-s", "BTC/USDT:USDT", "-e", "binanceusdm")
    assert tidemark(*words).out.splitlines() == [
        "ts,rate,mark_price",
        f"{T + 17},0.0001,",
        f"{T + 8 * hour},-0.00012345,",
        f"{T + 24 * hour + 3},0,",
    ]
    found = tidemark(*words, "--start", str(T + 18), "--json").document
    assert [each["rate"] for each in found["data"]] == ["-0.00012345", "0"]
    again = tidemark("data", "import", str(path), "-e", "binanceusdm", "--json").document
    assert (again["new"], again["unchanged"], again["revised"]) == (0, 3, 0)
    nothing = tidemark("data", "funding", "-s", "ETH/USDT:USDT", "-e", "binanceusdm")
    assert nothing.code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import", "/nowhere"], "/nowhere does not exist"),
        (["import", "/dev/zero"], "/dev/zero is neither a file nor a directory"),
        (["klines", "-s", "A/B", "-i", "1m", "--kind", "nope"], "use one of trade, mark"),
        (["import", "{csv}"], "give --symbol and --interval"),
        (["import", "{csv}", "-s", "A/B", "-i", "1m", "--columns", "x"], "--columns had 'x'"),
        (["import", "{csv}", "-s", "A/B", "-i", "1m", "--utc-offset", "CET"], "UTC offset was"),
        (["import", "{csv}", "-s", "A/B", "-i", "1m", "--time-unit", "iso"], "bare numbers"),
        (["import", "{csv}", "-s", "A/B", "-i", "1m", "--format", "parquet"], "cannot be read as"),
        (["import", "{csv}", "-s", "A/B", "-i", "1m", "--kind", "nope"], "use one of trade, mark"),
        (["export", "a.csv", "-s", "A/B", "-i", "1m", "--kind", "nope"], "use one of trade, mark"),
        (["coverage", "--kind", "nope"], "use one of trade, mark"),
        (["coverage", "-i", "7m"], "'7m'"),
        (["collect", "-s", "A/B", "--since", "2026-01-01", "--kind", "nope"], "trade, mark"),
        (["verify", "-s", "A/B", "--kind", "nope"], "use one of trade, mark"),
        (["export", "a.doc", "-s", "A/B", "-i", "1m"], "say it with --format"),
        (["export", "a.csv", "-s", "NO/USDT", "-i", "1m"], "no klines of NO/USDT 1m are stored"),
        (["import", "{csv}", "-s", "A/B", "-i", "1m", "--end", "20260101"], "as 2026-01-01"),
        (["import", "{csv}", "-s", "A/B", "-i", "1m", *BACKWARDS], "must lie after --start"),
        (["export", "a.csv", "-s", "A/B", "-i", "1m", *BACKWARDS], "must lie after --start"),
        (["klines", "-s", "A/B", "-i", "1m", *BACKWARDS], "must lie after --start"),
        (["quality", "-s", "A/B", *BACKWARDS], "must lie after --start"),
        (["funding", "-s", "A/B", *BACKWARDS], "must lie after --start"),
        (["points", "mood", *BACKWARDS], "must lie after --start"),
        (["klines", "-s", "A/B", "-i", "1m", "--start", "soon"], "or as milliseconds since 1970"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    tidemark: Tidemark, csv: Path, words: list[str], said: str
) -> None:
    outcome = tidemark("data", *(word.replace("{csv}", str(csv)) for word in words))
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ts,open,high,low,close,volume\n", "bars.csv has no rows"),
        ("", "bars.csv has no rows"),
        (
            "2026-01-01T00:00:00Z,1,1,1,1,1\n2026-13-45T00:00:00Z,1,1,1,1,1\n",
            "bars.csv has the time '2026-13-45T00:00:00Z', which cannot be read; times are written "
            "as 2026-03-01T00:00:00Z or as whole numbers, all of them alike",
        ),
    ],
)
def test_a_file_that_holds_no_bars_is_one_whole_sentence_and_exit_2(
    tidemark: Tidemark, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(text)
    outcome = tidemark("data", "import", str(path), "-s", "BTC/USDT", "-i", "1m")
    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"tidemark: {said}\n")


def test_a_damaged_file_of_a_folder_is_bad_input_though_it_is_found_late(
    tidemark: Tidemark, csv: Path, tmp_path: Path
) -> None:
    """What came in before it is told of on stdout."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(csv.read_text())
    (folder / "b.csv.CHECKSUM").write_text(f"{'0' * 64}  b.csv\n")
    outcome = tidemark("data", "import", str(folder), "-s", "BTC/USDT", "-i", "1m", "--json")
    assert (outcome.code, outcome.document["new"]) == (2, 3)
    assert "b.csv is not what its checksum says" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_last_line_that_may_be_cut_is_named(
    tidemark: Tidemark, csv: Path, tmp_path: Path
) -> None:
    csv.write_text(csv.read_text().rstrip("\n"))
    words = ("data", "import", str(csv), "-s", "BTC/USDT", "-i", "1m")
    told = tidemark(*words)
    assert told.code == 0
    assert (
        "bars.csv: line 5, its last, has no line end and may be cut: it was not stored. If the "
        f"file is whole, import it again with --whole: {T + 4 * M},2,3,1,2,7"
    ) in told.out
    assert tidemark(*words, "--whole", "--json").document["new"] == 1


def test_rows_outside_of_the_range_are_told(tidemark: Tidemark, csv: Path) -> None:
    words = ("data", "import", str(csv), "-s", "BTC/USDT", "-i", "1m")
    told = tidemark(*words, "--end", "2026-01-01T00:02:00Z")
    assert told.code == 0
    assert "2 rows lie outside of --start and --end: not stored." in told.out


def test_klines_of_the_mark_price_are_read_apart_from_those_of_trades(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    for kind, price in (("trade", 3), ("mark", 4)):
        path = tmp_path / f"{kind}.csv"
        path.write_text(f"ts,open,high,low,close,volume\n1767225600000,2,{price},1,2,0\n")
        given = ("-e", "binanceusdm", "-s", "BTC/USDT:USDT", "-i", "1m", "--kind", kind)
        stored = tidemark("data", "import", str(path), *given)
        assert stored.code == 0, stored.err
        shown = tidemark("data", "klines", *given, "--json")
        assert shown.code == 0, shown.err
        assert shown.document["kind"] == kind
        assert shown.document["columns"]["high"] == [str(price)]
    index = tidemark("data", "klines", *given[:-1], "index")
    assert (index.code, "no index klines of BTC/USDT:USDT 1m" in index.err) == (2, True)


def test_what_is_derived_is_no_series_to_export_and_says_what_is(
    tidemark: Tidemark, csv: Path, tmp_path: Path
) -> None:
    of = ("-s", "BTC/USDT", "-i")
    assert tidemark("data", "import", str(csv), *of, "1m").code == 0
    refused = tidemark("data", "export", str(tmp_path / "a.csv"), *of, "1h")
    assert refused.code == 2
    assert "no klines of BTC/USDT 1h are stored: they are derived of 1m" in refused.err
    account = tidemark("data", "coverage", *of, "1h")
    assert "it is derived of 1m as it is read, so look at --interval 1m." in account.out
    assert "No gap." not in account.out
    later = tidemark("data", "coverage", *of, "1m", "--start", "2030-01-01")
    assert "No bar of it is expected in that range." in later.out


def test_a_file_of_a_folder_whose_name_says_nothing_does_not_keep_the_others_out(
    tidemark: Tidemark, csv: Path, tmp_path: Path
) -> None:
    """One sorts before those that say what they hold and one after; one lacks its symbol alone."""
    folder = tmp_path / "my data"
    (folder / "deep").mkdir(parents=True)
    for name in ("BTC_USDT-1m.csv", "ETH_USDT-1m.csv", "a.csv", "deep/z.csv"):
        (folder / name).write_text(csv.read_text())
    binance = f"{T},100,101,99,100,7,{T + M - 1},700,3,1,1,0\n"
    (folder / "NEWUSDT-1m-2026-03.csv").write_text(binance)
    told = tidemark("data", "import", str(folder))
    assert told.code == 2, told.err
    assert "2 of 5 files went in" in told.err
    assert "NEWUSDT-1m-2026-03.csv, a.csv, deep/z.csv" in told.err
    lines = "".join(told.out.split())
    for name, options in {
        "NEWUSDT-1m-2026-03.csv": "--symbol NEW/USDT",
        "a.csv": "--symbol SYMBOL --interval INTERVAL",
        "deep/z.csv": "--symbol SYMBOL --interval INTERVAL",
    }.items():
        command = f"tidemark data import '{folder / name}' {options}"
        assert f"{name} was not imported: ".replace(" ", "") in lines
        assert command.replace(" ", "") in lines
    again = tidemark("data", "import", str(folder), "--json")
    assert (again.code, again.document["files"], again.document["unchanged"]) == (2, 2, 6)
    assert [name for name, _ in again.document["unplaced"]] == [
        "NEWUSDT-1m-2026-03.csv",
        "a.csv",
        "deep/z.csv",
    ]


def test_what_a_bar_tells_beside_its_prices_is_had_and_comes_back(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    path = tmp_path / "BTC_USDT-1m.csv"
    head = "open_ts,open,high,low,close,volume,quote_volume,trade_count"
    lines = [head, f"{T},2,3,1,2.5,7,17.5,3", f"{T + M},2,3,1,2.5,7,,"]
    path.write_text("\n".join(lines) + "\n")
    assert tidemark("data", "import", str(path)).code == 0
    asked = ("data", "klines", "-s", "BTC/USDT", "-i", "1m")
    assert tidemark(*asked).out.splitlines()[0] == head.removesuffix(",quote_volume,trade_count")
    told = tidemark(*asked, "--extra", "quote_volume,trade_count")
    assert told.out.splitlines() == lines
    found = tidemark(*asked, "--extra", "trade_count", "--json").document["columns"]
    assert (found["trade_count"], "quote_volume" in found) == ([3, None], False)
    for name in ("a.csv", "a.parquet"):
        out = tmp_path / name
        assert tidemark("data", "export", str(out), "-s", "BTC/USDT", "-i", "1m").code == 0
        back = ("data", "import", str(out), "-s", "BTC/USDT", "-i", "1m", "-e", name[2:])
        assert tidemark(*back, "--new-exchange").code == 0
        asked_back = (*asked, "-e", name[2:], "--extra", "quote_volume,trade_count")
        assert tidemark(*asked_back).out.splitlines() == lines
    refused = tidemark(*asked, "--extra", "vwap")
    assert (refused.code, refused.out) == (2, "")
    assert "no extra column is named 'vwap'" in refused.err
