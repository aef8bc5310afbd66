"""Folders of files, read by the names in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.errors import InvalidInput
from tests.integration.market.importing import Importing, file, walk
from tests.support.catalogue import instrument
from tests.support.record import START_MS, CountingIds

M = 60_000
T = START_MS
H = 60 * M


def test_a_directory_is_read_by_the_names_in_it(here: Importing, tmp_path: Path) -> None:
    rows = ",".join(f"[{text.strip()}]" for text in walk(range(5)))
    for name in (
        "BTC_USDT-1m.json",
        "ETH_USDT-5m.json",
        "futures/XRP_USDT_USDT-8h-funding_rate.json",
    ):
        texts = {"5m": f"[[{T},1,1,1,1,1]]", "8h": f"[[{T + 7},0.0001],[{T + 8 * H},-0.0003]]"}
        text = next((texts[part] for part in texts if part in name), f"[{rows}]")
        file(tmp_path / "data", text, name=name)
    file(tmp_path / "data", "notes", name="README.md")
    result = here.result(tmp_path / "data")
    assert [(each["symbol"], each["interval"], each["new"]) for each in result["series"]] == [
        ("BTC/USDT", "1m", 5),
        ("ETH/USDT", "5m", 1),
    ]
    assert result["skipped"] == [["README.md", "its name is not that of market data"]]
    (funding,) = result["funding"]
    assert (funding["symbol"], funding["rows"], funding["new"]) == ("XRP/USDT:USDT", 2, 2)
    assert result["new"] == 5 + 1 + 2
    assert result["series"][0]["in_catalogue"] is False


def test_a_folder_of_many_markets_gives_the_one_that_is_asked_for(
    here: Importing, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "spot" / "monthly" / "klines"
    for native in ("BTCUSDT", "ETHUSDT"):
        text = f"{T},100,101,99,100,7,{T + M - 1},700,3,1,1,0\n"
        file(folder / native / "1m", text, name=f"{native}-1m-2026-03.csv")
    result = here.result(tmp_path / "data", "ETH/USDT")
    assert [each["symbol"] for each in result["series"]] == ["ETH/USDT"]
    assert result["skipped"] == [["BTCUSDT-1m-2026-03.csv", "it is of another series"]]
    with pytest.raises(InvalidInput, match=r"BTCUSDT-1m-2026-03.csv, .* --symbol BTC/USDT") as no:
        here.result(tmp_path / "data")
    assert no.value.error_code == "unplaced-files"
    here.units.run(
        lambda unit: unit.instruments.refresh(
            "binance", [instrument("BTC/USDT"), instrument("ETH/USDT")], CountingIds().new, T
        )
    )
    both = here.result(tmp_path / "data")
    assert [each["symbol"] for each in both["series"]] == ["BTC/USDT", "ETH/USDT"]
    assert both["series"][0]["in_catalogue"] is True
