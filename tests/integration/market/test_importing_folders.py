"""Folders of files, read by the names in them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from app.core.errors import InvalidInput
from app.services.importing import ImportOrder
from tests.integration.market.importing import Importing, file, line, walk
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


def test_a_bad_file_keeps_no_other_one_out(
    here: Importing, tmp_path: Path, small_chunks: int
) -> None:
    """The first cannot be read, the second breaks off in its second chunk, the third is of another
    market than what is stored, the last is good."""
    folder = tmp_path / "data"
    first = here.result(file(tmp_path, *walk(range(100))), "CCC/USDT", "1m")
    assert first["new"] == 100
    header = "ts,open,high,low,close,volume\n"
    file(folder, header, "yesterday,1,1,1,1,1\n", name="AAA_USDT-1m.csv")
    broken = [line(T + n * M, "abc") for n in range(100, 200)]
    file(folder, header, *walk(range(100)), *broken, name="BBB_USDT-1m.csv")
    file(folder, header, *[line(T + n * M, 3) for n in range(100)], name="CCC_USDT-1m.csv")
    file(folder, header, *walk(range(120)), name="DDD_USDT-1m.csv")
    job = here.finished(ImportOrder(str(folder), "binance"))
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["code"] == "files-left-out"
    assert (
        "3 of 4 files were left out, the first because AAA_USDT-1m.csv has"
        in (job.error["message"])
    )
    assert job.result is not None
    assert [(each["file"], each["code"], each["in_part"]) for each in job.result["left_out"]] == [
        ("AAA_USDT-1m.csv", "invalid-input", False),
        ("BBB_USDT-1m.csv", "invalid-input", True),
        ("CCC_USDT-1m.csv", "contradicted", False),
    ]
    assert len(here.stored("DDD/USDT")) == 120
    assert [row.close for row in here.stored("CCC/USDT")] != [3] * 100


def test_an_encrypted_zip_keeps_no_other_file_out(here: Importing, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("AAA", "ZZZ"):
        file(folder, *walk(range(5)), name=f"{name}_USDT-1m.csv")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("MMM_USDT-1m.csv", "".join(walk(range(5))))
    content = packed.getvalue()
    # Bit 0 of the flags of both of its headers.
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(start) + offset
        content = content[:at] + b"\x01" + content[at + 1 :]
    (folder / "MMM_USDT-1m.zip").write_bytes(content)
    job = here.finished(ImportOrder(str(folder), "binance"))
    assert (job.state, (job.error or {})["code"]) == ("failed", "files-left-out")
    (left,) = (job.result or {})["left_out"]
    assert (left["file"], left["reason"]) == (
        "MMM_USDT-1m.zip",
        "MMM_USDT-1m.zip is encrypted; unpack it and import what is in it",
    )
    assert [len(here.stored(f"{name}/USDT")) for name in ("AAA", "MMM", "ZZZ")] == [5, 0, 5]
