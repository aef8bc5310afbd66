"""Files that are not what they should be: each is refused in a sentence that says what to do."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from app.core.errors import InvalidInput
from app.core.market.files import tables
from app.core.market.files.members import require_member
from app.core.market.files.reading import Reading, read_bars, read_times
from app.core.market.files.tape import Tape
from app.core.market.files.times import TimeReader
from app.core.market.intervals import MINUTE_MS, interval

T = 1_772_323_200_000
LINE = ",100,101,99,100,7\n"


def read(path: Path, format_: str = "csv", holds: str = "bars") -> int:
    """How many bars a file has."""
    tape = Tape(interval("1m"), path.name)
    return sum(map(len, read_bars(path, Reading(format_, holds), tape)))


def of_text(folder: Path, text: str, name: str = "bars.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def many(count: int) -> str:
    return "".join(f"{T + n * MINUTE_MS}{LINE}" for n in range(count))


class Watched(io.BytesIO):
    """A file that knows which threads read in it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.threads: set[int] = set()

    def read(self, *options: Any) -> bytes:
        self.threads.add(threading.get_ident())
        return super().read(*options)


@pytest.mark.parametrize("text", [many(20) + "1,2,3\n", many(40_000) + "1,2,3\n" + many(40_000)])
def test_no_thread_of_arrows_reads_in_a_file_that_cannot_be_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """One that does goes on after the error, and aborts a process that ends meanwhile."""
    path = of_text(tmp_path, text)
    opened: list[Watched] = []

    def watched(_: Path) -> Watched:
        opened.append(Watched(text.encode()))
        return opened[-1]

    monkeypatch.setattr(tables, "_opened", watched)
    with pytest.raises(InvalidInput):
        read(path)
    assert {thread for each in opened for thread in each.threads} <= {threading.get_ident()}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ts,open,high,low,close,volume\n" + many(20) + "1,2,3\n", "line 22 of bars.csv has 3 "),
        (many(2) + "\n\n" + many(1) + f"{T},1,1,1,1,1,1\n", "line 6 of bars.csv has 7 "),
        (many(60_000) + "1\n" + many(5), "line 60,001 of bars.csv has 1 "),
    ],
)
def test_a_row_that_broke_is_named_by_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{sentence}columns instead of 6: .* fetch it again$"):
        read(of_text(tmp_path, text))


def test_a_row_of_a_list_that_broke_is_named_by_its_place(tmp_path: Path) -> None:
    path = of_text(tmp_path, f"[[{T},1,1,1,1,1],\n[{T},1,1]]", "bars.json")
    with pytest.raises(InvalidInput, match=r"^row 2 of bars\.json has 3 columns instead of 6"):
        read(path, "json")


def test_a_line_that_never_ends_is_no_row(tmp_path: Path) -> None:
    path = of_text(tmp_path, many(3) + "9" * 5_000_000 + "\n")
    with pytest.raises(InvalidInput, match="has a line of more than 1,048,576 bytes"):
        read(path)


def test_blocks_of_any_size_have_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.core.market.files import lines

    for ends in ("\n", "\r\n"):
        path = of_text(tmp_path, many(50).replace("\n", ends))
        for size in (40, 41, 97, 1_000):
            monkeypatch.setattr(lines, "BLOCK", size)
            assert [t for part in read_times(path, Reading("csv")) for t in part.tolist()] == [
                T + n * MINUTE_MS for n in range(50)
            ]


@pytest.mark.parametrize(
    ("flags", "method", "sentence"),
    [
        (1, 8, "is encrypted; unpack it and import what is in it"),
        (0x40, 8, "is encrypted; unpack it and import what is in it"),
        (0, 98, "is packed in a way that is not known here; unpack it and import what is in it"),
    ],
)
def test_a_zip_that_cannot_be_opened_is_to_be_unpacked(
    tmp_path: Path, flags: int, method: int, sentence: str
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("BTCUSDT-1m-2026-03.csv", many(5))
    content = bytearray(packed.getvalue())
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(start) + offset
        content[at : at + 4] = struct.pack("<HH", flags, method)
    path = tmp_path / "BTCUSDT-1m-2026-03.zip"
    path.write_bytes(content)
    require_member(path)
    with pytest.raises(InvalidInput, match=rf"^BTCUSDT-1m-2026-03\.zip {sentence}$"):
        read(path)


@pytest.mark.parametrize("format_", ["parquet", "feather"])
@pytest.mark.parametrize("column", ["date", "open", "trades", "price"])
@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ([1], pa.list_(pa.int64())),
        ({"a": 1}, pa.struct([("a", pa.int64())])),
        (T * 1_000_000, pa.duration("ns")),
    ],
)
def test_a_column_that_is_no_number_is_refused_by_its_name(
    tmp_path: Path, format_: str, column: str, value: Any, type_: pa.DataType
) -> None:
    """A length of time since 1970 would read as a moment."""
    holds = "trades" if column == "price" else "bars"
    names = ["date", "open", "high", "low", "close", "volume", "trades"]
    if holds == "trades":
        names = ["ts", "price", "amount"]
    columns: dict[str, Any] = {name: [T if name in ("date", "ts") else 1] for name in names}
    table = pa.table({**columns, column: pa.array([value], type_)})
    path = tmp_path / f"BTC_USDT-1m.{format_}"
    if format_ == "parquet":
        parquet.write_table(table, path)
    else:
        feather.write_feather(table, str(path))
    with pytest.raises(InvalidInput, match=f"^the column '{column}' of BTC_USDT-1m.{format_} is "):
        read(path, format_, holds)


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "deflate.zip", "lzma.zip"])
def test_a_file_with_bytes_that_changed_is_read_or_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    names = ["date", "open", "high", "low", "close", "volume"]
    table = pa.table({each: [T + n * MINUTE_MS for n in range(50)] for each in names})
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA if "lzma" in name else 8) as archive:
            archive.writestr("a.csv", many(50))
    elif name.endswith("parquet"):
        parquet.write_table(table, path)
    else:
        feather.write_feather(table, str(path))
    whole, chance = path.read_bytes(), random.Random(7)
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        with contextlib.suppress(InvalidInput):
            require_member(path)
            read(path, "csv" if name.endswith(".zip") else path.suffix[1:])


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        (["-17340000", "-17280000"], "has the time -17340000, which lies before 1970; if that is"),
        (np.array([2**64 - 1], np.uint64), "has the time 18446744073709551615, which cannot be"),
    ],
)
def test_a_time_that_is_none_is_told_as_it_stands(times: Any, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=f"^a.csv {sentence}"):
        TimeReader("a.csv").milliseconds(pa.array(times))


def test_a_bar_before_1970_is_one_of_its_unit() -> None:
    texts = pa.array(["-60000", "0", "60000"])
    assert TimeReader("a.csv", "ms").milliseconds(texts).tolist() == [-60_000, 0, 60_000]


def test_a_header_in_the_middle_is_told_by_its_own_words(tmp_path: Path) -> None:
    """Of files that were joined by hand."""
    joined = of_text(tmp_path, many(3) + "timestamp,open,high,low,close,volume\n" + many(3))
    with pytest.raises(InvalidInput, match="has the time 'timestamp' among others"):
        read(joined)
    dated = of_text(tmp_path, "2026-03-01T00:00:00Z,1,1,1,1,1\n" * 3 + f"{T}{LINE}", "dated.csv")
    with pytest.raises(InvalidInput, match=f"has the time '{T}' among others"):
        read(dated)


def test_spaces_beside_a_delimiter_are_none_of_a_value(tmp_path: Path) -> None:
    spaced = of_text(tmp_path, many(3).replace(",", " , "), "spaced.csv")
    plain = of_text(tmp_path, many(3))
    tape = Tape(interval("1m"), "bars.csv")
    (one,), (other,) = (list(read_bars(path, Reading("csv"), tape)) for path in (spaced, plain))
    assert list(one.rows()) == list(other.rows())


def test_lines_that_end_with_a_carriage_return_alone_say_how_to_convert_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(many(3).replace("\n", "\r").encode())
    with pytest.raises(InvalidInput, match=r"end with a carriage return alone.*tr "):
        read(path)
