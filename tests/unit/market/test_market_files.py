"""Files of market history as their makers write them, read exactly."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

from app.core.errors import InvalidInput
from app.core.market.files.columns import CHUNK, KlineColumns
from app.core.market.files.mapping import columns_of
from app.core.market.files.naming import what_name_says
from app.core.market.files.reading import (
    Reading,
    as_texts,
    read_bars,
    read_funding,
    reading_of,
    rows_of,
)
from app.core.market.files.tape import Tape
from app.core.market.files.times import TimeReader, utc_offset
from app.core.market.files.writing import format_of
from app.core.market.intervals import HOUR_MS, MINUTE_MS, interval

M = MINUTE_MS
T = 1_772_323_200_000
D = Decimal
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore\n"
)


def binance_line(ts: int, price: str = "0.00001234") -> str:
    """A bar as Binance's archive writes it."""
    prices = f"{price},0.00001300,0.00001200,0.00001250"
    return f"{ts},{prices},500.00000000,{ts + 59_999},0.00625000,7,1,1,0\n"


def read(path: Path, how: Reading | None = None, name: str = "1m") -> KlineColumns:
    """All bars of a file; it is read as its name says unless told otherwise."""
    wanted = how or reading_of(what_name_says(path), path)
    tape = Tape(interval(name), path.name)
    return KlineColumns.joined(list(read_bars(path, wanted, tape)))


def csv(folder: Path, text: str, name: str = "bars.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


# -- names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "facts"),
    [
        ("spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip", "bars BTCUSDT 1m trade"),
        ("um/daily/markPriceKlines/ETHUSDT/1h/ETHUSDT-1h-2024-01-31.zip", "bars ETHUSDT 1h mark"),
        ("indexPriceKlines/ETHUSDT/1mo/ETHUSDT-1mo-2024-01.zip", "bars ETHUSDT 1M index"),
        ("fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-01.zip", "funding BTCUSDT - trade"),
        ("aggTrades/币安人生USDT-aggTrades-2026-01.zip", "trades 币安人生USDT - trade"),
        ("BTC_USDT-1m.feather", "bars BTC/USDT 1m trade"),
        ("futures/XRP_USDT_USDT-5m-futures.feather", "bars XRP/USDT:USDT 5m trade"),
        ("futures/XRP_USDT_USDT-8h-mark.json.gz", "bars XRP/USDT:USDT 8h mark"),
        ("futures/XRP_USDT_USDT-8h-funding_rate.feather", "funding XRP/USDT:USDT 8h trade"),
        ("XRP_ETH-trades.json.gz", "trades XRP/ETH - trade"),
        ("BTC_USDT-1h-2017-2024.feather", "bars - - trade"),
        ("kraken.csv", "bars - - trade"),
    ],
)
def test_a_name_says_what_a_file_holds(path: str, facts: str) -> None:
    said = what_name_says(PurePath(path))
    name = said.native or said.symbol or "-"
    assert " ".join([said.holds, name, said.interval or "-", said.kind]) == facts


# -- Binance's archive --------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", HEADER])
@pytest.mark.parametrize(("unit", "many"), [("ms", 1), ("us", 1_000)])
def test_an_archive_of_any_year_reads_alike(
    tmp_path: Path, header: str, unit: str, many: int
) -> None:
    path = tmp_path / "BTCUSDT-1m-2025-01.zip"
    with zipfile.ZipFile(path, "w") as archive:
        lines = [binance_line((T + n * M) * many) for n in range(3)]
        archive.writestr("BTCUSDT-1m-2025-01.csv", header + "".join(lines))
    bars = read(path)
    assert bars.open_ts.tolist() == [T, T + M, T + 2 * M]
    assert bars.texts(0)[1:] == [
        "0.00001234", "0.00001300", "0.00001200", "0.00001250", "500.00000000", "0.00625000", 7,
    ]  # fmt: skip


def test_funding_rates_keep_their_own_times(tmp_path: Path) -> None:
    header = "calc_time,funding_interval_hours,last_funding_rate\n"
    text = f"{header}{T + 17},8,0.00010000\n{T + 8 * HOUR_MS},8,-0.00003\n"
    path = csv(tmp_path, text, "BTCUSDT-fundingRate-2024-01.csv")
    rates = list(read_funding(path, reading_of(what_name_says(path), path)))
    assert [(each.ts, each.rate) for each in rates] == [
        (T + 17, D("0.0001")),
        (T + 8 * HOUR_MS, D("-0.00003")),
    ]
    with pytest.raises(InvalidInput, match="holds funding rates, not bars"):
        read(path)


# -- freqtrade ----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["json", "json.gz"])
def test_json_keeps_every_digit(tmp_path: Path, ending: str) -> None:
    text = json.dumps([[T, 0.1, 0.30000000000000004, 1e-05, 0.2, 7], [T + M, 1, 2, 1, 1.5, None]])
    path = tmp_path / f"BTC_USDT-1m.{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    bars = read(path)
    assert bars.texts(0)[1:6] == ["0.1", "0.30000000000000004", "1e-05", "0.2", "7"]
    assert bars.texts(1)[5] is None


@pytest.mark.parametrize("write", [feather.write_feather, parquet.write_table])
def test_binary_files_become_the_text_of_their_floats(
    tmp_path: Path, write: Callable[[pa.Table, str], None]
) -> None:
    values = [0.1, 69979.98, 1e-05, 123456789.12345678, 1482.0]
    columns: dict[str, Any] = dict.fromkeys(("open", "high", "low", "close", "volume"), values)
    date = pa.array([T + n * M for n in range(5)], pa.timestamp("ms", "UTC")).cast(
        pa.timestamp("ns", "UTC")
    )
    path = tmp_path / "BTC_USDT-1m.feather"
    write(pa.table({"date": date, **columns}), str(path))
    how = Reading("feather" if write is feather.write_feather else "parquet")
    bars = read(path, how)
    assert bars.open_ts.tolist() == [T + n * M for n in range(5)]
    assert [D(text) for text in bars.close.to_pylist()] == [D(repr(value)) for value in values]


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_a_float_is_stored_as_it_is_printed(values: list[float]) -> None:
    texts = as_texts(pa.array(values, pa.float64())).to_pylist()
    assert [D(text) for text in texts] == [D(repr(value)) for value in values]


# -- tables of anybody --------------------------------------------------------------------


def test_columns_go_by_name_or_by_position(tmp_path: Path) -> None:
    kraken = csv(tmp_path, f"{T // 1000},2,3,1,2.50,0.7,12\n")
    with pytest.raises(InvalidInput, match=r"has 7 columns and no header; say which is ts, open"):
        read(kraken)
    given = columns_of("ts=0,open=1,high=2,low=3,close=4,volume=5,trade_count=6")
    bars = read(kraken, Reading("csv", columns=given))
    assert (bars.open_ts.tolist(), bars.texts(0)[4:]) == ([T], ["2.50", "0.7", None, 12])
    named = csv(tmp_path, f"Zeit;O;H;L;C;V\n{T};2;3;1;2;5\n", "named.csv")
    given = columns_of("ts=Zeit,open=O,high=H,low=L,close=C,volume=V")
    assert read(named, Reading("csv", columns=given)).open_ts.tolist() == [T]
    with pytest.raises(InvalidInput, match=r"has no column 'Z'; it has Zeit, O"):
        read(named, Reading("csv", columns=given | {"ts": "Z"}))
    with pytest.raises(InvalidInput, match="--columns had 'nothing=1'"):
        columns_of("nothing=1")


@pytest.mark.parametrize(
    ("stated", "unit", "offset", "expected"),
    [
        (str(T // 1000), "", None, T),
        (str(T), "", None, T),
        (str(T * 1000), "", None, T),
        (str(T * 1_000_000), "", None, T),
        ("2026-03-01 00:00:00+00:00", "", None, T),
        ("2026-03-01T08:00:00+08:00", "", None, T),
        ("2026-03-01T00:00:00Z", "", None, T),
        ("2026-03-01 08:00:00", "", 8 * HOUR_MS, T),
        ("2026-03-01", "", 0, T),
        (str(T + 8 * HOUR_MS), "", 8 * HOUR_MS, T),
        ("86400", "s", None, 86_400_000),
    ],
)
def test_a_time_is_understood_where_it_can_mean_one_thing(
    stated: str, unit: str, offset: int | None, expected: int
) -> None:
    reader = TimeReader("bars.csv", unit, offset)
    assert reader.milliseconds(pa.array([stated])).tolist() == [expected]


@pytest.mark.parametrize(
    ("stated", "unit", "offset", "sentence"),
    [
        ("86400", "", None, "may be of any unit; say which with --time-unit"),
        ("2026-03-01 08:00:00", "", None, "state no zone; say how far they are ahead of UTC"),
        ("2026-03-01T08:00:00Z", "", HOUR_MS, "state their zone; leave --utc-offset away"),
        ("yesterday", "", 0, "has the time 'yesterday', which cannot be read"),
        (None, "", None, "has no time in row 1"),
        (str(T * 1000 + 1), "", None, "which is no whole millisecond"),
        (str(T), "iso", None, "bare numbers, not ISO 8601"),
        ("1", "fortnight", None, "time unit 'fortnight' is not known"),
    ],
)  # fmt: skip
def test_a_time_that_could_mean_two_things_is_refused(
    stated: str | None, unit: str, offset: int | None, sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        TimeReader("bars.csv", unit, offset).milliseconds(pa.array([stated], pa.string()))


def test_offsets_are_written_as_people_write_them() -> None:
    assert [utc_offset(each) for each in ("+08:00", "-5", "0", "+0530")] == [
        8 * HOUR_MS,
        -5 * HOUR_MS,
        0,
        5 * HOUR_MS + 30 * M,
    ]
    for wrong in ("", "CET", "+15", "1:75"):
        with pytest.raises(InvalidInput, match="write it as"):
            utc_offset(wrong)


def test_chunks_are_bounded(tmp_path: Path) -> None:
    lines = "".join(f"{T + n * M},2,3,1,2,5\n" for n in range(CHUNK + 10))
    parts = list(read_bars(csv(tmp_path, lines), Reading("csv"), Tape(interval("1m"), "")))
    assert [len(part) for part in parts] == [CHUNK, 10]
    assert np.all(np.diff(np.concatenate([part.open_ts for part in parts])) == M)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", "", "has no rows"),
        ("a.csv", f"{T},2,3,1,2,5\n{T},2,3\n", "line 2 of a.csv has 3 columns instead of 6"),
        ("a.csv", "alpha,beta\n1,2\n", "has columns alpha, beta; say which is ts"),
        ("BTC_USDT-1m.json", "{}", "it is no list of lists"),
        ("BTC_USDT-1m.json", f'[[{T},1,1,1,1,1], "x"]', "it is no list of lists"),
        ("BTC_USDT-1m.feather", "no feather", "cannot be read as feather"),
        ("BTCUSDT-1m-2024-01.zip", "no zip", "is no whole zip file: it was cut or is"),
        ("a.csv.gz", "no gzip", "cannot be unpacked: it was cut or is something else"),
        ("a.xlsx", "x", "has a name that does not say its format"),
    ],
)
def test_a_broken_file_is_refused_in_one_sentence(
    tmp_path: Path, name: str, content: str, sentence: str
) -> None:
    path = csv(tmp_path, content, name)
    with pytest.raises(InvalidInput, match=sentence) as refused:
        read(path)
    assert "\n" not in refused.value.message
    with pytest.raises(InvalidInput, match="does not exist"):
        read(tmp_path / "absent", Reading("csv"))


WHOLE_JSON = f"[[{T},1,1,1,1,1],[{T + M},1,1,1,1,1]]"


@pytest.mark.parametrize("length", range(1, len(WHOLE_JSON)))
def test_a_json_that_was_cut_anywhere_is_said_to_be(tmp_path: Path, length: int) -> None:
    path = csv(tmp_path, WHOLE_JSON[:length], "BTC_USDT-1m.json")
    with pytest.raises(InvalidInput, match="it ends before its list does; fetch it again"):
        read(path)


BARS = "ts,open,high,low,close,volume,note\n" + "".join(
    f"{T + n * M},2,3,1,2,5,caf\u00e9\n" for n in range(3)
)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a b.csv", BARS.encode("utf-16"), "is UTF-16 text; .* iconv -f UTF-16 -t UTF-8 'a b.csv'"),
        ("a.csv", BARS.encode("utf-16-le"), "is no text, and cannot be read as csv; say with"),
        ("a.csv", b"\x93\x00\x01", "is no text, and cannot be read as csv; say with --format"),
        ("a.csv", BARS.replace("note", "caf\u00e9").encode("latin-1"), "is not UTF-8 text; conv"),
        ("a.csv", BARS.replace("5,", "5\u00e9,").encode("latin-1"), "is not UTF-8 text; convert"),
        ("BTC_USDT-1m.json", WHOLE_JSON.encode("utf-16"), "is UTF-16 text; convert it"),
        ("a.parquet", b"PAR1", "cannot be read as parquet: it was cut, or is of another format"),
    ],
)
def test_a_file_of_another_encoding_says_how_to_convert_it(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=sentence) as refused:
        read(path)
    assert "\n" not in refused.value.message
    assert "codec" not in refused.value.message


@pytest.mark.parametrize("name", ["BTCUSDT-1m-2024-01.zip", "a.csv.gz"])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_packed_file_that_was_cut_is_to_be_fetched_again(
    tmp_path: Path, name: str, part: float
) -> None:
    path, text = tmp_path / name, "".join(binance_line(T + n * M) for n in range(3_000))
    if name.endswith("zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", text)
    else:
        path.write_bytes(gzip.compress(text.encode()))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(InvalidInput, match="it was cut or is something else; fetch it again"):
        read(path)


def test_a_format_that_is_none_is_named(tmp_path: Path) -> None:
    path = csv(tmp_path, BARS)
    with pytest.raises(InvalidInput, match="--format was 'xls'; use one of csv, json, feather"):
        reading_of(what_name_says(path), path, "xls")
    with pytest.raises(InvalidInput, match="--format was 'xls'; use one of csv, parquet, feather"):
        format_of(path, "xls")


def test_trades_that_are_read_as_bars_are_known_for_such(tmp_path: Path) -> None:
    path = csv(tmp_path, f"id,Price,qty,time\n1,2,3,{T}\n")
    with pytest.raises(InvalidInput, match="as of trades; if it holds trades, import it with --tr"):
        read(path)


@pytest.mark.parametrize(
    ("holds", "words"), [("trades", "ts=0,price=1,amount=2"), ("funding", "ts=0,rate=1")]
)
def test_the_columns_of_an_example_are_those_of_what_is_read(
    tmp_path: Path, holds: str, words: str
) -> None:
    path = csv(tmp_path, f"alpha,beta\n{T},2\n")
    with pytest.raises(InvalidInput, match=f"with --columns, as in {words}$"):
        list(read_funding(path, Reading("csv", holds))) if holds == "funding" else read(
            path, Reading("csv", holds)
        )
    assert set(columns_of(words)) == {each.split("=")[0] for each in words.split(",")}


# -- trades -------------------------------------------------------------------------------


def test_trades_of_one_time_keep_the_order_of_the_file(tmp_path: Path) -> None:
    header = "timestamp,id,type,side,price,amount,cost\n"
    trades = [(T, "2", "0.1"), (T + 5, "9", "0.2"), (T + 5, "3", "0.3"), (T + 3 * M, "4", "1")]
    trades.append((T + 9 * M, "1", "1"))  # of the minute that is still open nothing is told
    lines = "".join(
        f"{ts},{number},,sell,{price},{amount},0\n"
        for number, (ts, price, amount) in enumerate(trades)
    )
    bars = read(csv(tmp_path, header + lines), Reading("csv", "trades"))
    ordered = [[D(text) for text in bars.texts(n)[1:6]] for n in range(len(bars))]  # type: ignore[arg-type]
    assert ordered == [[D(each) for each in ("2", "9", "2", "3", "0.6")], [D(4)] * 4 + [D(1)]]
    assert (bars.open_ts.tolist(), bars.trade_count.to_pylist()) == ([T, T + 3 * M], [3, 1])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (f"{T},0,1\n", "trade 2 of bars.csv has the price 0"),
        (f"{T},1,-1\n", "which no trade can have"),
        (f"{T},nan,1\n", "which no trade can have"),
    ],
)
def test_a_trade_that_cannot_be_is_refused(tmp_path: Path, line: str, sentence: str) -> None:
    path = csv(tmp_path, f"ts,price,amount\n{T},1,1\n{line}")
    with pytest.raises(InvalidInput, match=sentence):
        read(path, Reading("csv", "trades"))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.zip", "a.json", "a.feather", "a.parquet"])
def test_how_many_rows_a_file_has_is_known_about_before_it_is_read(
    tmp_path: Path, name: str
) -> None:
    """30,000 bars, of which a text tells by its first 64 KiB and its unpacked size."""
    lines = [binance_line(T + n * M, f"{100 + n % 900}.5") for n in range(30_000)]
    path, format_ = tmp_path / name, name.split(".")[1].replace("zip", "csv")
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", "".join(lines))
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress("".join(lines).encode()))
    elif format_ == "csv":
        path.write_text("".join(lines))
    elif format_ == "json":
        path.write_text(f"[{','.join(f'[{line.strip()}]' for line in lines)}]")
    else:
        table = pa.table({"ts": range(30_000), "close": range(30_000)})
        write = feather.write_feather if format_ == "feather" else parquet.write_table
        write(table, str(path))
    assert rows_of(path, Reading(format_)) == pytest.approx(30_000, rel=0.05)
