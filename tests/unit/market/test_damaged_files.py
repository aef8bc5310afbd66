"""Files that are not what they should be: each is refused in a sentence that says what to do."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import InvalidInput
from app.core.market.files import tables
from app.core.market.files.reading import Reading, read_bars, read_times
from app.core.market.files.tape import Tape
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
