"""Arrow's arrays as numpy's and back, without pandas."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.market.files.arrays import (
    arrow_of,
    mask_of,
    number_scalar,
    numbers_of,
    text_scalar,
    texts_of,
    whole_of,
)

WHOLE = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40)
TRUTHS = st.lists(st.sampled_from([True, False, None]), max_size=40)
CUT = st.tuples(st.integers(0, 40), st.integers(0, 40))


# Arrow's own way imports pandas at the first example.
@settings(deadline=None)
@given(WHOLE, CUT)
def test_whole_numbers_come_and_go_unchanged(values: list[int], cut: tuple[int, int]) -> None:
    """Also those of a slice, whose buffer is that of the whole."""
    array = pa.array(values, pa.int64())
    assert numbers_of(array).tolist() == values
    assert numbers_of(array.slice(*cut)).tolist() == array.slice(*cut).to_pylist()
    assert arrow_of(np.array(values, np.int64)).equals(array)


@settings(deadline=None)
@given(st.lists(st.floats(), max_size=40))
def test_floats_come_and_go_bit_by_bit(values: list[float]) -> None:
    array = pa.array(values, pa.float64())
    assert numbers_of(array).tobytes() == np.array(values, np.float64).tobytes()
    assert numbers_of(arrow_of(np.array(values, np.float64))).tobytes() == (
        np.array(values, np.float64).tobytes()
    )


@settings(deadline=None)
@given(TRUTHS, CUT)
def test_truths_are_true_where_they_are_and_null_is_not(
    values: list[bool | None], cut: tuple[int, int]
) -> None:
    array = pa.array(values, pa.bool_())
    assert mask_of(array).tolist() == [value is True for value in values]
    assert mask_of(array.slice(*cut)).tolist() == [
        value is True for value in array.slice(*cut).to_pylist()
    ]
    assert arrow_of(mask_of(array)).to_pylist() == [value is True for value in values]


@given(st.lists(st.none() | st.text(max_size=12), max_size=40))
def test_texts_are_what_arrow_makes_of_them(values: list[str | None]) -> None:
    """Of any script, empty and missing ones among them."""
    assert texts_of(values).to_pylist() == values
    assert texts_of(tuple(values)).null_count == values.count(None)


def test_half_a_character_is_no_text_and_spoils_no_other() -> None:
    r"""A venue's JSON may say "\ud800"."""
    assert texts_of(["1.5", "\ud800", "漢"]).to_pylist() == ["1.5", "?", "漢"]


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=40))
def test_whole_numbers_may_be_missing(values: list[int | None]) -> None:
    assert whole_of(values).to_pylist() == values


def test_a_number_of_more_than_64_bits_is_refused() -> None:
    with pytest.raises(OverflowError):
        whole_of([2**63])


def test_of_every_second_value_an_array_is_made_too() -> None:
    assert arrow_of(np.arange(10)[::2]).to_pylist() == [0, 2, 4, 6, 8]


def test_null_is_no_number() -> None:
    with pytest.raises(ValueError, match="1 of 2 numbers are null"):
        numbers_of(pa.array([1, None]))
    with pytest.raises(ValueError, match="string is no type of numbers"):
        numbers_of(pa.array(["1"]))


def test_scalars_are_what_arrow_makes_itself() -> None:
    assert text_scalar("\\N").equals(pa.scalar("\\N"))
    assert text_scalar("").equals(pa.scalar(""))
    assert number_scalar(0, pa.array([1], pa.int64())).equals(pa.scalar(0, pa.int64()))
    assert number_scalar(0.5, pa.array([1.0])).equals(pa.scalar(0.5))


_WITHOUT_PANDAS = """
import sys
from pathlib import Path
from app.core.market.intervals import interval
from app.models import Base
from app.repositories.database import open_engine
from app.repositories.unit import Units
from app.services.importing import chunks
from app.services.importing.order import ImportOrder, plan_of
from tests.support.record import ManualClock, units_over

folder = Path(sys.argv[1])
order = ImportOrder(str(folder / "BTCUSDT-1m-2021-01.csv"), "binance", "BTC/USDT")
(file,) = plan_of(order, lambda native: [], 1 << 41).files
engine = open_engine(f"sqlite:///{folder / 'tidemark.db'}")
Base.metadata.create_all(engine)
units = units_over(engine, ManualClock())
with units.write() as unit:
    series = unit.klines.locked("binance", "BTC/USDT", "1m", unit.now_ms)
    chunks.MOST = 100
    for chunk in chunks.checked_chunks(Path(file.place), file, order, 1 << 41, folder):
        unit.klines.store_columns(
            series.id, chunk.good, covered=False, source="file", now_ms=unit.now_ms
        )
with units.read() as unit:
    series = unit.klines.find_series("binance", "BTC/USDT", "1m", "trade")
    assert len(unit.klines.read(series, 0, 1 << 60)) == 500
    assert len(unit.klines.read_exact_columns(series.id, 0, 1 << 60)) == 500
print("pandas" in sys.modules)
"""


@pytest.mark.parametrize("is_sorted", [True, False])
def test_a_file_is_stored_and_read_without_pandas(tmp_path: Path, *, is_sorted: bool) -> None:
    """0.7 s of every process that serves its first page, and 45 MB for as long as it lives."""
    start = 1_609_459_200_000
    lines = [
        f"{ts},1.0,2.0,0.5,1.5,3.0,{ts + 59_999},4.5,7,1.5,2.0,0"
        for ts in range(start, start + 500 * 60_000, 60_000)
    ]
    if not is_sorted:
        # Another row of a time as well, and a last line that may be cut.
        lines = [*lines[250:], *lines[:250], lines[7].replace(",1.0,", ",1.00,")]
    end = "\n" if is_sorted else f"\n{lines[-1]}"
    (tmp_path / "BTCUSDT-1m-2021-01.csv").write_text("\n".join(lines) + end)
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_PANDAS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr
