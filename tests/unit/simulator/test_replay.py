"""Files of candles as tapes: exact numbers, kept gaps, clear refusals."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.core.errors import InvalidInput
from app.core.market.intervals import HOUR_MS, INTERVALS, MINUTE_MS
from simulator.build import build_venue
from simulator.instruments import replayed_spec
from simulator.market import Market
from simulator.options import parse
from simulator.payments import read_payments
from simulator.replay import read_replay
from simulator.trades import bar_trades
from tests.support.simulator import DATA

KLINES = DATA / "klines"
needs_data = pytest.mark.skipif(not KLINES.is_dir(), reason=f"no real candles at {KLINES}")
START = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS


def candles(rows: int = 4) -> pd.DataFrame:
    times = pd.to_datetime([START + MINUTE_MS * i for i in range(rows)], unit="ms", utc=True)
    return pd.DataFrame(
        {
            "date": times,
            "open": [100.1 + i for i in range(rows)],
            "high": [101.7 + i for i in range(rows)],
            "low": [99.3 + i for i in range(rows)],
            "close": [101.1 + i for i in range(rows)],
            "volume": [0.1 * (i + 1) for i in range(rows)],
        }
    )


def as_market(path: Path, symbol: str = "BTC/USDT") -> Market:
    replay = read_replay(path)
    digits = (replay.price_digits, replay.volume_digits)
    spec = replayed_spec(symbol, *digits, replay.tape.first_ts)
    return Market(1, spec, replay.tape, 0.0)


@pytest.mark.parametrize("suffix", [".feather", ".parquet", ".csv", ".csv.gz"])
def test_every_format_gives_the_same_exact_numbers(tmp_path: Path, suffix: str) -> None:
    frame, path = candles(), tmp_path / ("candles" + suffix)
    if suffix == ".feather":
        frame.to_feather(path)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    bars = read_replay(path).tape.between(INTERVALS["1m"], 0, 1 << 60)
    assert bars.open_ts.tolist() == [START + MINUTE_MS * i for i in range(4)]
    for name in ("open", "high", "low", "close"):
        shown = [bars.price(int(units)) for units in getattr(bars, name)]
        assert shown == [Decimal(repr(value)) for value in frame[name].tolist()]
    volumes = [Decimal(int(v)).scaleb(-bars.volume_decimals) for v in bars.volume]
    assert volumes == [Decimal(repr(value)) for value in frame["volume"].tolist()]
    assert "0.30000000000000004" in map(str, volumes)


def test_seconds_without_a_header_as_kraken_exports_them(tmp_path: Path) -> None:
    path = tmp_path / "kraken.csv"
    path.write_text("1672531200,10,12,9,11,1.5,2\n1672531320,11,11,11,11,0.5,1\n")
    bars = read_replay(path).tape.between(INTERVALS["3m"], 0, 1 << 60)
    assert len(bars) == 1
    assert bars.bar(0).trades == 3


def test_gaps_stay_gaps_and_the_market_is_closed_in_them(tmp_path: Path) -> None:
    path = tmp_path / "gap.feather"
    candles(6).drop(index=[2, 3]).reset_index(drop=True).to_feather(path)
    market = as_market(path)
    now = START + 6 * MINUTE_MS
    minutes = market.klines(INTERVALS["1m"], 0, None, 100, now)
    assert [(int(ts) - START) // MINUTE_MS for ts in minutes.open_ts] == [0, 1, 4, 5]
    inside = START + 2 * MINUTE_MS
    assert not market.is_open(inside)
    assert market.price(inside) == Decimal("102.1")
    assert market.is_open(START + 4 * MINUTE_MS)
    assert not market.is_open(now)
    assert market.price(START - 1) is None


def test_intervals_finer_than_the_file_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "hours.csv"
    frame = candles(3)
    frame["date"] = pd.to_datetime([0, HOUR_MS, 3 * HOUR_MS], unit="ms", utc=True)
    frame.to_csv(path, index=False)
    market = as_market(path)
    now = 4 * HOUR_MS
    assert len(market.klines(INTERVALS["1m"], 0, None, 10, now)) == 0
    assert len(market.klines(INTERVALS["1h"], 0, None, 10, now)) == 3
    assert len(market.klines(INTERVALS["4h"], 0, None, 10, now)) == 1


def test_public_trades_of_a_replayed_bar_add_up(tmp_path: Path) -> None:
    path = tmp_path / "candles.feather"
    candles().to_feather(path)
    market = as_market(path)
    assert sum(t.quantity for t in bar_trades(market, START)) == Decimal("0.1")


Change = Callable[[pd.DataFrame], pd.DataFrame]
ZIPPED = gzip.compress(candles(100).to_csv(index=False).encode())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.iloc[::-1].reset_index(drop=True), "row 2 goes back"),
        (lambda f: pd.concat([f, f.iloc[[-1]]], ignore_index=True), "row 5 repeats the time"),
        (lambda f: f.assign(close=[1.0, np.nan, 1.0, 1.0]), "row 2 has no finite close"),
        (lambda f: f.assign(volume=[1.0, np.inf, 1.0, 1.0]), "row 2 has no finite volume"),
        (lambda f: f.assign(colour=1.0), "an unknown column 'colour'"),
        (lambda f: f.drop(columns="low"), "no column 'low'"),
        (lambda f: f.drop(columns="date"), "no time column"),
        (lambda f: f.iloc[:0], "no rows"),
        (lambda f: f.iloc[:1], "has one row"),
        (lambda f: f.assign(high=[1.0] * 4), "row 1 has a high below"),
        (lambda f: f.assign(low=[200.0] * 4), "row 1 has a low above"),
        (lambda f: f.assign(low=[-1.0] * 4), "row 1 has a price that is not above 0"),
        (lambda f: f.assign(volume=[1.0, 1.0, -1.0, 1.0]), "row 3 has a negative volume"),
        (lambda f: f.assign(volume=["a"] * 4), "'volume' holds more than numbers"),
        (lambda f: f.assign(volume=[1e300] * 4), "numbers too large"),
        (
            lambda f: f.assign(date=f["date"] + pd.to_timedelta([0, 0, 500, 0], unit="ms")),
            "row 3 is off the 1m grid",
        ),
        (lambda f: f.assign(date=f["date"] + pd.Timedelta("7s")), "row 1 is off the 1m grid"),
    ],
)
def test_bad_files_are_refused_with_the_reason(tmp_path: Path, change: Change, words: str) -> None:
    path = tmp_path / "bad.parquet"
    change(candles()).to_parquet(path)
    with pytest.raises(InvalidInput) as caught:
        read_replay(path)
    assert words in caught.value.message
    assert "bad.parquet" in caught.value.message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.csv", None, "does not exist"),
        ("broken.feather", b"not a feather", "cannot be read"),
        ("broken.parquet", b"PAR1nonsense", "cannot be read"),
        ("candles.xlsx", b"x", "is not .feather"),
        ("ragged.csv", b"date,open\n1,2,3,4,5\n1\n", "column"),
        ("empty.csv", b"", "cannot be read"),
        ("binary.csv", b"\xff\xfe\x00\x01", "cannot be read"),
        ("narrow.csv", b"1,2,3\n4,5,6\n", "without a header"),
        ("plain.csv.gz", b"date,open\n", "cannot be read"),
        ("cut.csv.gz", ZIPPED[:-20], "cannot be read"),
        ("damaged.csv.gz", ZIPPED[:40] + bytes(40) + ZIPPED[80:], "cannot be read"),
        ("words.csv", b"date,open,high,low,close,volume\nnoon,1,1,1,1,1\n", "neither dates"),
    ],
)
def test_files_that_are_no_candles_are_refused(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=words):
        read_replay(path)


@needs_data
def test_seven_years_of_hours_replay_with_their_28_gaps() -> None:
    market = as_market(KLINES / "BTC_USDT-1h-2017-2024.feather")
    end = market.tape.end_ts
    assert end is not None
    seen: list[int] = []
    start = 0
    while True:
        bars = market.klines(INTERVALS["1h"], start, None, 1000, end)
        if len(bars) == 0:
            break
        seen += bars.open_ts.tolist()
        start = seen[-1] + 1
    steps = np.diff(seen) // HOUR_MS
    assert len(seen) == 58_419
    assert int((steps > 1).sum()) == 28
    assert int((steps - 1).sum()) == 128


@needs_data
def test_minutes_of_a_real_file_come_back_row_by_row() -> None:
    path = KLINES / "BTC_USDT-1m.feather"
    frame = pd.read_feather(path)
    market = as_market(path)
    bars = market.tape.between(INTERVALS["1m"], 0, 1 << 60)
    assert len(bars) == len(frame) == 43_199
    for name in ("open", "high", "low", "close"):
        exact = [int(Decimal(repr(value)).scaleb(8)) for value in frame[name].tolist()]
        assert getattr(bars, name).tolist() == exact


@needs_data
@pytest.mark.parametrize(
    "name",
    [
        "ETH_USDT-5m.feather",
        "XRP_ETH-1m-2019.feather",
        "XRP_USDT_USDT-5m.feather",
        "binanceus_BTCUSDC-1m-2023-03.csv",
        "kraken_BTCUSDC-1m-2023Q1.csv",
        "MEME_BTC-1m-201802-sparse.csv.gz",
        "ETH_BTC-1m-201801-shifted_minus_1h.csv.gz",
    ],
)
def test_other_real_files_replay(name: str) -> None:
    market = as_market(KLINES / name, "XRP/ETH")
    first = market.tape.first_ts
    assert market.price(first) is not None
    assert market.book(first) is not None


# -- funding ------------------------------------------------------------------------------


def rates(tmp_path: Path, **columns: list[object]) -> Path:
    path = tmp_path / "funding.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_payments_keep_the_files_times_and_eight_decimals(tmp_path: Path) -> None:
    """freqtrade keeps the rate in the column of the opens."""
    hour = START // HOUR_MS * HOUR_MS
    stamps: list[object] = [hour + 17, hour + 8 * HOUR_MS, hour + 16 * HOUR_MS + 6]
    path = rates(tmp_path, timestamp_ms=stamps, open=[0.0001, -0.0021933400000000002, 0.0])
    found = read_payments(path)
    assert found.rates == [Decimal("0.0001"), Decimal("-0.00219334"), Decimal(0)]
    assert found.between(hour + 17, hour + 8 * HOUR_MS) == [
        (hour, hour + 17, Decimal("0.0001")),
        (hour + 8 * HOUR_MS, hour + 8 * HOUR_MS, Decimal("-0.00219334")),
    ]
    assert found.between(hour + 18, hour + 8 * HOUR_MS - 1) == []


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"rate": [0.0001]}, "has no time column"),
        ({"time": [START], "close": [0.0001]}, "has no rate; one of rate, fundingRate, open"),
        ({"time": [START, START], "rate": [0.1, 0.1]}, "row 2 repeats the time"),
        ({"time": [START // HOUR_MS * HOUR_MS + 90_000], "rate": [0.1]}, "row 1 is no payment"),
        ({"time": [START // HOUR_MS * HOUR_MS], "rate": [1.5]}, "row 1 is no payment"),
    ],
)
def test_what_is_no_payment_is_refused(
    tmp_path: Path, columns: dict[str, list[object]], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        read_payments(rates(tmp_path, **columns))


def test_only_a_perpetual_pays_funding(tmp_path: Path) -> None:
    path = rates(tmp_path, time=[START // HOUR_MS * HOUR_MS], rate=[0.0001])
    options = parse(["--replay-funding", str(path), "--replay-funding-symbol", "BTC/USDT"])
    with pytest.raises(InvalidInput, match="perpetuals are BTC/USDT:USDT, ETH/USDT:USDT"):
        build_venue(options)
    with pytest.raises(InvalidInput, match="one --replay-symbol for each"):
        parse(["--replay-funding", str(path)])
