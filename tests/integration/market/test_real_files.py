"""Real market data, file by file: the record holds exactly what each file is known to hold."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import InvalidInput
from app.core.market.coverage import CoverageState
from app.core.market.files.naming import FUNDING
from app.core.market.files.reading import Reading, read_funding
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineRow
from app.core.market.resampling import resample_rows
from app.services.collection.points import Extra, PointKind
from app.services.importing import ImportOrder
from app.services.points import PointQueries
from tests.integration.market.importing import Importing
from tests.integration.market.truths import gaps_in, idle_in, rows_of
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


#: How each file is imported: symbol, interval, more; and what its venue does with a bar without a
#: trade, where the file is taken for whole.
FILES: Any = {
    "BTC_USDT-1m.feather": ("", "1m", {}, "trades_always"),
    "ETH_USDT-1m.feather": ("", "1m", {}, "trades_always"),
    "BTC_USDT-5m.feather": ("", "5m", {}, "trades_always"),
    "ETH_USDT-5m.feather": ("", "5m", {}, "trades_always"),
    "BTC_USDT-1h-2017-2024.feather": ("BTC/USDT", "1h", {}, "trades_always"),
    "binanceus_BTCUSDC-1m-2023-03.csv": ("BTC/USDC", "1m", {"exchange": "binanceus"}, "fills"),
    "kraken_BTCUSDC-1m-2023Q1.csv": (
        "BTC/USDC", "1m", {"exchange": "kraken", "columns": KRAKEN}, "omits",
    ),
    "XRP_ETH-1m-2019.feather": ("XRP/ETH", "1m", {}, "omits"),
    "XRP_USDT_USDT-5m.feather": ("", "5m", {}, "trades_always"),
    "ETH_BTC-1m-201801-shifted_minus_1h.csv.gz": ("ETH/BTC", "1m", {}, "trades_always"),
    "MEME_BTC-1m-201802-sparse.csv.gz": ("MEME/BTC", "1m", {}, "omits"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_report_is_the_truth_of_the_file(here: Importing, klines: Path, name: str) -> None:
    """Gaps, runs without volume, duplicates and rows off the grid, counted a row at a time."""
    symbol, interval, more, character = FILES[name]
    rows = rows_of(klines / name)
    length = interval_of(interval).length_ms
    found = series(here, klines / name, symbol, interval, **more)
    told = {each: found[each] for each in ("gaps", "zero_volume")}
    counts = {
        kind: {each: ranges[each] for each in ("count", "bars", "longest")}
        for kind, ranges in told.items()
    }
    assert counts["gaps"] == gaps_in(rows, length).told()
    assert counts["zero_volume"] == idle_in(rows, length).told()
    assert (found["new"], found["bad"], found["off_grid"]) == (len(rows), 0, 0)
    assert found["duplicates"] == {"same": 0, "differing": 0}
    assert (found["looks_like"], found["is_dead"]) == (character, False)
    # A file proves no gap: what leaves minutes out is known for it once the venue was asked.
    assert found["character"] == ("unknown" if character == "omits" else character)


def test_a_file_that_is_whole_says_what_its_venue_does(here: Importing, klines: Path) -> None:
    found = series(
        here, klines / "kraken_BTCUSDC-1m-2023Q1.csv", "BTC/USDC", "1m",
        exchange="kraken", columns=KRAKEN, complete=True,
    )  # fmt: skip
    assert (found["character"], found["gaps"]["bars"]) == ("omits", 72_883)
    assert found["gaps"]["longest"] == 87


@pytest.mark.parametrize("base", ["BTC", "ETH"])
def test_a_month_of_minutes_is_whole_and_yields_the_five_minute_bars(
    here: Importing, klines: Path, base: str
) -> None:
    minutes = series(here, klines / f"{base}_USDT-1m.feather")
    fives = series(here, klines / f"{base}_USDT-5m.feather")
    for found, bars in ((minutes, 43_199), (fives, 2_751)):
        assert (found["new"], found["bad"], found["gaps"]["count"]) == (bars, 0, 0)
    rows = here.stored(f"{base}/USDT")
    assert rows == rows_of(klines / f"{base}_USDT-1m.feather")
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
        new_exchange=True,
        trades=True,
    )
    # The tape begins and ends within a minute: of those two it does not hold every trade.
    assert (made["rows"], made["new"], len(made["ends"])) == (2_467, 2_467, 2)
    assert made["duplicates"] == {"same": 0, "differing": 0}
    told, found = here.stored("XRP/ETH")[1:-1], here.stored("XRP/ETH", exchange="trades")
    assert [row[:5] for row in found] == [row[:5] for row in told]
    assert max(abs(one.volume - other.volume) for one, other in zip(found, told, strict=True)) < D(
        "1e-6"
    )
    assert sum(row.trade_count or 0 for row in found) == 12_464  # of 12,477


def test_funding_rates_lie_off_the_grid_and_are_kept_at_their_own_times(
    here: Importing, klines: Path
) -> None:
    path = klines / "XRP_USDT_USDT-8h-funding.feather"
    rates = list(read_funding(path, Reading("feather", FUNDING)))
    assert any(0 < rate.ts % (8 * H) < 1_000 for rate in rates)
    result = here.result(path)
    assert result["series"] == []
    (found,) = result["funding"]
    assert (found["symbol"], found["rows"], found["new"]) == ("XRP/USDT:USDT", 91, 91)
    assert (found["hours_apart"], found["gaps"]["bars"], found["off_hour"]) == (8, 0, 59)
    points, following = PointQueries(here.units).page(
        "binance", "XRP/USDT:USDT", Extra(PointKind.FUNDING), None, None, 1_000
    )
    assert following is None
    assert [(point.ts, point.value) for point in points] == [(each.ts, each.rate) for each in rates]
    (event,) = here.events.on("market.funding.binance")
    assert (event["first"], event["last"], event["count"]) == (rates[0].ts, rates[-1].ts, 91)
    (again,) = here.result(path)["funding"]
    assert (again["new"], again["revised"], again["unchanged"]) == (0, 0, 91)
    # Bars of no interval: who says that they are is told.
    with pytest.raises(InvalidInput, match="which no funding rate is"):
        here.jobs.start(
            ImportOrder(
                str(klines / "BTC_USDT-5m.feather"), "binance", "BTC/USDT:USDT", funding=True
            )
        )
    swap = series(here, klines / "XRP_USDT_USDT-5m.feather")
    assert (swap["symbol"], swap["new"], swap["bad"]) == ("XRP/USDT:USDT", 1_999, 0)


def test_a_series_shifted_by_a_time_zone_is_told_from_the_right_one(
    here: Importing, klines: Path, tmp_path: Path
) -> None:
    """What was wrong in the file was its zone; read with it, its bars lie where they belong."""
    path = klines / "ETH_BTC-1m-201801-shifted_minus_1h.csv.gz"
    right = series(
        here, path, "ETH/BTC", "1m", exchange="bittrex", new_exchange=True, utc_offset_ms=-H
    )
    assert right["bad"] == 0
    before = here.stored("ETH/BTC", exchange="bittrex")
    with gzip.open(path, "rt") as file:
        first = int(file.readlines()[1].split(",")[0])
    assert before[0].open_ts == first + H
    job = here.finished(ImportOrder(str(path), "bittrex", "ETH/BTC", "1m"))
    assert (job.state, (job.error or {})["code"]) == ("failed", "shifted")
    assert "1 h behind the same bars" in (job.error or {})["message"]
    assert (job.result or {})["shifts"][0]["shift_ms"] == -H
    assert here.stored("ETH/BTC", exchange="bittrex") == before
    # Another program's rounding, or another venue's prices, do not hide it.
    rough = tmp_path / "rough.csv"
    lines = [
        ",".join(map(str, [row.open_ts - H, *(round(each, 6) for each in row[1:5]), row.volume]))
        for row in before
    ]
    rough.write_text("ts,open,high,low,close,volume\n" + "\n".join(lines) + "\n")
    job = here.finished(ImportOrder(str(rough), "bittrex", "ETH/BTC", "1m"))
    assert (job.error or {})["code"] == "shifted"
    # Told to, the file is kept as it is, and every bar of before is kept as a revision.
    told = series(here, path, "ETH/BTC", "1m", exchange="bittrex", despite_shift=True)
    assert told["revised"] > 14_000
    assert here.stored("ETH/BTC", exchange="bittrex")[0].open_ts == first


def test_a_sparse_series_is_stored_as_sparse_as_it_is(here: Importing, klines: Path) -> None:
    path = klines / "MEME_BTC-1m-201802-sparse.csv.gz"
    found = series(here, path, "MEME/BTC", "1m", exchange="bittrex", new_exchange=True)
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
