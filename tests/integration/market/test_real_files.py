"""Real market data, file by file: the record holds exactly what each file is known to hold."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import feather

from app.core.errors import InvalidInput
from app.core.market.coverage import CoverageState
from app.core.market.files.naming import FUNDING
from app.core.market.files.reading import Reading, read_funding
from app.core.market.klines import KlineRow
from app.core.market.resampling import resample_rows
from app.services.importing import ImportOrder
from tests.integration.market.importing import Importing
from tests.support.record import record, shared_data

D = Decimal
M = 60_000
H = 60 * M
KRAKEN = {
    "ts": "0",
    "open": "1",
    "high": "2",
    "low": "3",
    "close": "4",
    "volume": "5",
    "trade_count": "6",
}

pytestmark = pytest.mark.skipif(shared_data() is None, reason="no ../shared/data with real klines")


@pytest.fixture
def klines() -> Path:
    found = shared_data()
    assert found is not None
    return found / "klines"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Importing]:
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        yield Importing(engine, tmp_path)


def series(here: Importing, path: Path, symbol: str = "", name: str = "", **more: Any) -> Any:
    """The account of the one series of a file."""
    result = here.result(path, symbol, name, **more)
    (found,) = result["series"]
    return found


def stated(path: Path) -> list[KlineRow]:
    """The bars of a feather file by another way: a float at a time, as it is printed."""
    table = feather.read_table(path).to_pydict()
    times = [int(date.timestamp() * 1000) for date in table["date"]]
    columns = [
        [D(repr(each)) for each in table[name]]
        for name in ("open", "high", "low", "close", "volume")
    ]
    return [KlineRow(*row) for row in zip(times, *columns, strict=True)]


@pytest.mark.parametrize("base", ["BTC", "ETH"])
def test_a_month_of_minutes_is_whole_and_yields_the_five_minute_bars(
    here: Importing, klines: Path, base: str
) -> None:
    minutes = series(here, klines / f"{base}_USDT-1m.feather")
    fives = series(here, klines / f"{base}_USDT-5m.feather")
    for found, bars in ((minutes, 43_199), (fives, 2_751)):
        assert (found["new"], found["bad"], found["gaps"]["count"]) == (bars, 0, 0)
    rows = here.stored(f"{base}/USDT")
    assert rows == stated(klines / f"{base}_USDT-1m.feather")
    assert here.spans(f"{base}/USDT") == [
        (rows[0].open_ts, rows[-1].open_ts + M, CoverageState.PRESENT)
    ]
    made = {row.open_ts: row for row in resample_rows(rows, "1m", "5m").bars}
    told = {row.open_ts: row for row in here.stored(f"{base}/USDT", "5m")}
    both = made.keys() & told.keys()
    assert len(both) == 2_161  # the last of them ends with the minutes' file
    # The sum of floats as another program printed it may end in other digits than the exact one.
    for ts in both:
        assert made[ts][:5] == told[ts][:5]
        assert abs(made[ts].volume - told[ts].volume) < D("1e-9") * told[ts].volume


def test_every_outage_of_seven_years_is_found(here: Importing, klines: Path) -> None:
    found = series(here, klines / "BTC_USDT-1h-2017-2024.feather", "BTC/USDT", "1h")
    assert (found["new"], found["bad"]) == (58_419, 0)
    assert (found["gaps"]["count"], found["gaps"]["bars"]) == (28, 128)
    longest = max(found["gaps"]["ranges"], key=lambda each: each[2])
    assert longest[2] == 33
    assert 1_518_048_000_000 <= longest[0] < 1_518_048_000_000 + 86_400_000  # 2018-02-08
    assert found["zero_volume"]["bars"] == 4
    closes = {end for _, end, _ in found["gaps"]["ranges"]}
    opens = {start for start, _, _ in found["gaps"]["ranges"]}
    alone = [
        start
        for start, end, _ in found["zero_volume"]["ranges"]
        if start not in closes and end not in opens
    ]
    assert alone == [1_559_941_200_000]  # 2019-06-07 21:00; the other three lie beside outages
    # A gap in the file is not taken for the venue's word.
    states = {state for *_, state in here.spans("BTC/USDT", "1h")}
    assert states == {CoverageState.PRESENT}


def test_minutes_without_trades_are_filled_by_one_venue_and_left_out_by_another(
    here: Importing, klines: Path
) -> None:
    filled = series(
        here, klines / "binanceus_BTCUSDC-1m-2023-03.csv", "BTC/USDC", "1m", exchange="binanceus"
    )
    assert (filled["new"], filled["gaps"]["count"], filled["bad"]) == (30_240, 0, 0)
    assert filled["zero_volume"]["bars"] == 12_971
    sparse = series(
        here, klines / "kraken_BTCUSDC-1m-2023Q1.csv", "BTC/USDC", "1m",
        exchange="kraken", columns=KRAKEN,
    )  # fmt: skip
    assert (sparse["new"], sparse["bad"]) == (56_717, 0)
    assert sparse["gaps"]["bars"] == 72_883
    assert max(bars for *_, bars in sparse["gaps"]["ranges"]) == 87
    rows = here.stored("BTC/USDC", exchange="kraken")
    with (klines / "kraken_BTCUSDC-1m-2023Q1.csv").open() as file:
        told = [
            KlineRow(int(row[0]) * 1000, *map(D, row[1:6]), None, int(row[6]))
            for row in csv.reader(file)
        ]
    assert rows == told


def test_kraken_without_a_header_is_not_guessed_at(here: Importing, klines: Path) -> None:
    path = klines / "kraken_BTCUSDC-1m-2023Q1.csv"
    with pytest.raises(InvalidInput, match="7 columns and no header; say which is ts"):
        here.jobs.start(ImportOrder(str(path), "kraken", "BTC/USDC", "1m"))


def test_bars_made_of_trades_equal_the_bars_of_the_file(here: Importing, klines: Path) -> None:
    bars = series(here, klines / "XRP_ETH-1m-2019.feather", "XRP/ETH", "1m")
    assert (bars["new"], bars["gaps"]["bars"], bars["bad"]) == (2_469, 1_091, 0)
    made = series(
        here,
        klines / "XRP_ETH-trades-2019.feather",
        "XRP/ETH",
        "1m",
        exchange="trades",
        trades=True,
    )
    assert (made["rows"], made["new"]) == (2_469, 2_469)
    told, found = here.stored("XRP/ETH"), here.stored("XRP/ETH", exchange="trades")
    assert [row[:5] for row in found] == [row[:5] for row in told]
    assert max(abs(one.volume - other.volume) for one, other in zip(found, told, strict=True)) < D(
        "1e-6"
    )
    assert sum(row.trade_count or 0 for row in found) == 12_477


def test_funding_rates_lie_off_the_grid_and_are_not_taken_for_bars(
    here: Importing, klines: Path
) -> None:
    path = klines / "XRP_USDT_USDT-8h-funding.feather"
    rates = list(read_funding(path, Reading("feather", FUNDING)))
    assert len(rates) == 91
    assert rates[0].rate == D("0.0001")
    assert any(0 < rate.ts % (8 * H) < 1_000 for rate in rates)
    with pytest.raises(InvalidInput, match="cannot be bars of this interval"):
        here.jobs.start(ImportOrder(str(path), "binance", "XRP/USDT:USDT", "8h"))
    swap = series(here, klines / "XRP_USDT_USDT-5m.feather")
    assert (swap["symbol"], swap["new"], swap["bad"]) == ("XRP/USDT:USDT", 1_999, 0)


def test_a_series_shifted_by_a_time_zone_is_told_from_the_right_one(
    here: Importing, klines: Path, tmp_path: Path
) -> None:
    """What was wrong in the file was its zone; read with it, its bars lie where they belong."""
    path = klines / "ETH_BTC-1m-201801-shifted_minus_1h.csv.gz"
    right = series(here, path, "ETH/BTC", "1m", exchange="bittrex", utc_offset_ms=-H)
    assert right["bad"] == 0
    before = here.stored("ETH/BTC", exchange="bittrex")
    with gzip.open(path, "rt") as file:
        first = int(file.readlines()[1].split(",")[0])
    assert before[0].open_ts == first + H
    job = here.finished(ImportOrder(str(path), "bittrex", "ETH/BTC", "1m"))
    assert (job.state, (job.error or {})["code"]) == ("failed", "shifted")
    assert "1 h behind the same bars" in (job.error or {})["message"]
    assert here.stored("ETH/BTC", exchange="bittrex") == before


def test_a_sparse_series_is_stored_as_sparse_as_it_is(here: Importing, klines: Path) -> None:
    path = klines / "MEME_BTC-1m-201802-sparse.csv.gz"
    found = series(here, path, "MEME/BTC", "1m", exchange="bittrex")
    with gzip.open(path, "rt") as file:
        told = list(csv.reader(file))[1:]
    assert (found["new"], found["bad"]) == (len(told), 0)
    assert [row[:6] for row in here.stored("MEME/BTC", exchange="bittrex")] == [
        (int(row[0]), *map(D, row[1:])) for row in told
    ]
    times = [int(row[0]) for row in told]
    assert found["gaps"]["bars"] == (times[-1] - times[0]) // M + 1 - len(times)


def test_every_file_twice_changes_nothing(here: Importing, klines: Path) -> None:
    for name in ("BTC_USDT-1m.feather", "ETH_USDT-5m.feather"):
        series(here, klines / name)
        again = series(here, klines / name)
        assert (again["new"], again["revised"], again["unchanged"]) == (0, 0, again["rows"])
