"""Stored bars into files: whole, exact as far as the format is, and readable by others."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from app.core.errors import InvalidInput, NotFound
from app.core.market.files.columns import KlineColumns
from app.core.market.klines import KlineRow
from app.repositories.unit import Unit
from app.services import exporting
from app.services.exporting import Exporter
from tests.integration.market.importing import Importing
from tests.support.record import START_MS, record

M = 60_000
T = START_MS
D = Decimal
BTC = ("binance", "BTC/USDT", "1m")
HUGE = D("123456789012345678.000000000000000001")
ROWS = [
    KlineRow(T, D("0.1"), HUGE, D("0.00000001"), D("0.2"), D(0)),
    KlineRow(T + M, D("2"), D("3"), D("1"), D("2.5"), D("0.30"), D("0.75"), 7),
    KlineRow(T + 5 * M, D("69979.98"), D("70000"), D("69979.98"), D("69980.1"), D("12.5"), None, 3),
]


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[Importing]:
    with record(database_url, local_infile=True) as engine:
        made = Importing(engine, tmp_path)

        def work(unit: Unit) -> None:
            series = unit.klines.series(*BTC, T)
            unit.klines.lock_series(series.id)
            unit.klines.store_columns(
                series.id, KlineColumns.of_rows(ROWS), covered=False, source="test", now_ms=T
            )

        made.units.run(work)
        yield made


@pytest.mark.parametrize("name", ["bars.csv", "bars.csv.gz", "bars.parquet"])
def test_what_was_exported_comes_back_to_the_last_digit(
    world: Importing, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    found = Exporter(world.units).export(path, *BTC)
    assert (found.bars, found.first, found.last) == (3, T, T + 5 * M)
    assert found.amounts.startswith("exact")
    (series,) = world.result(path, "BTC/USDT", "1m")["series"]
    assert (series["unchanged"], series["new"], series["revised"]) == (3, 0, 0)
    world.result(path, "BTC/USDT", "1m", exchange="other", new_exchange=True)
    assert world.stored("BTC/USDT", exchange="other") == ROWS


def test_a_csv_that_is_named_like_its_series_needs_no_more_words(
    world: Importing, tmp_path: Path
) -> None:
    path = tmp_path / "BTC_USDT-1m.csv"
    Exporter(world.units).export(path, *BTC)
    (series,) = world.result(path)["series"]
    assert (series["symbol"], series["interval"], series["unchanged"]) == ("BTC/USDT", "1m", 3)


def test_feather_is_what_freqtrade_reads(world: Importing, tmp_path: Path) -> None:
    path = tmp_path / "BTC_USDT-1m.feather"
    found = Exporter(world.units).export(path, *BTC)
    assert found.amounts == "float64, as freqtrade keeps them"
    table = feather.read_table(path)
    assert table.column_names == ["date", "open", "high", "low", "close", "volume"]
    frame = feather.read_feather(path)
    assert str(frame["date"].dtype) == "datetime64[ms, UTC]"
    assert frame["close"].tolist() == [float(row.close) for row in ROWS]
    assert frame["date"].astype("int64").tolist() == [row.open_ts for row in ROWS]


def test_parquet_keeps_decimals(world: Importing, tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    Exporter(world.units).export(path, *BTC)
    table = parquet.read_table(path)
    assert table.schema.field("high").type == pa.decimal128(36, 18)
    assert table["high"].to_pylist() == [row.high for row in ROWS]


def test_any_range_can_be_had(world: Importing, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    Exporter(world.units).export(path, *BTC, start=T + M, end=T + 5 * M)
    assert path.read_text().splitlines() == [
        "open_ts,open,high,low,close,volume,quote_volume,trade_count",
        f"{T + M},2,3,1,2.5,0.3,0.75,7",
    ]
    with pytest.raises(NotFound, match="in that range"):
        Exporter(world.units).export(tmp_path / "none.csv", *BTC, start=T + 2 * M, end=T + 3 * M)
    assert not (tmp_path / "none.csv").exists()


def test_a_file_is_there_whole_or_not_at_all(
    world: Importing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out" / "bars.csv"
    path.parent.mkdir()
    path.write_text("the file before")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "write_bars", full)
    with pytest.raises(InvalidInput, match="cannot be written: No space left on device"):
        Exporter(world.units).export(path, *BTC)
    assert [each.name for each in path.parent.iterdir()] == ["bars.csv"]
    assert path.read_text() == "the file before"


@pytest.mark.parametrize(
    ("name", "symbol", "sentence"),
    [
        ("bars.xlsx", "BTC/USDT", "say it with --format, one of csv, parquet, feather"),
        ("absent/bars.csv", "BTC/USDT", "cannot be written: No such file or directory"),
        ("bars.csv", "ETH/USDT", "no klines of ETH/USDT 1m are stored; collect them"),
    ],
)
def test_what_cannot_be_written_is_told_in_one_sentence(
    world: Importing, tmp_path: Path, name: str, symbol: str, sentence: str
) -> None:
    with pytest.raises((InvalidInput, NotFound), match=sentence):
        Exporter(world.units).export(tmp_path / name, "binance", symbol, "1m")
