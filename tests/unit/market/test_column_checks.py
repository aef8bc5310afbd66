"""Bars of files are judged as bars of venues are, whole columns at a time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.market.files.checking import NOT_ABOVE, CheckedColumns, check_columns
from app.core.market.files.columns import CHUNK, KlineColumns, made, rechunked
from app.core.market.intervals import MINUTE_MS, interval
from app.core.market.klines import KlineRow
from app.core.market.validation import check_klines
from app.core.money import canonical

M = MINUTE_MS
T = 1_772_323_200_000
AMOUNTS = st.one_of(
    st.sampled_from(
        [
            "0",
            "-0",
            "0.0",
            "-0.00",
            "1E+2",
            "1e-05",
            "1.23E-7",
            "NaN",
            "-Infinity",
            "1E+18",
            "1E-19",
            "999999999999999999.999999999999999999",
            "0.1000000000000000000000",
            "-3.5",
            "10",
            "10.0",
        ]
    ),
    st.decimals(min_value=-5, max_value=120, places=2).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
)
COUNTS = st.one_of(st.none(), st.integers(-1, 5))


@st.composite
def stated_rows(draw: st.DrawFn) -> list[KlineRow]:
    """Rows of a file: mostly sound, some broken in every way that a row can be."""
    rows = []
    minute = draw(st.integers(-2, 3))
    for _ in range(draw(st.integers(0, 12))):
        minute += draw(st.sampled_from([1, 1, 1, 1, 0, -1, 2]))
        shift = draw(st.sampled_from([0, 0, 0, 0, 1, 500]))
        texts: dict[str, Any] = {
            "open": "100", "high": "110.0", "low": "90", "close": "105", "volume": "7.50"
        }  # fmt: skip
        for name in draw(st.lists(st.sampled_from(list(texts)), max_size=2)):
            texts[name] = draw(AMOUNTS)
        quote = draw(st.one_of(st.none(), AMOUNTS))
        amounts = {name: Decimal(text) for name, text in texts.items()}
        quoted = None if quote is None else Decimal(quote)
        rows.append(
            KlineRow(
                T + minute * M + shift, **amounts, quote_volume=quoted, trade_count=draw(COUNTS)
            )
        )
    return rows


def as_stated(rows: list[KlineRow]) -> KlineColumns:
    """Columns as a reader would make them: every number as the text that stands there."""
    texts = [[None if row[i] is None else str(row[i]) for row in rows] for i in range(1, 7)]
    times = np.array([row.open_ts for row in rows], dtype=np.int64)
    return made(times, texts, [row.trade_count for row in rows])


def judged(columns: KlineColumns, name: str = "1m", **bounds: int) -> CheckedColumns:
    allowed = {"start": T, "end": T + 10 * M, "closed_by": T + 9 * M} | bounds
    return check_columns(columns, interval(name), **allowed)  # type: ignore[arg-type]


@settings(deadline=None)  # the first example imports pyarrow
@given(stated_rows())
@example([])
def test_columns_and_rows_come_to_the_same_verdicts(rows: list[KlineRow]) -> None:
    by_row = check_klines(rows, interval("1m"), start=T, end=T + 10 * M, closed_by=T + 9 * M)
    by_column = judged(as_stated(rows))
    assert list(by_column.good.rows()) == by_row.good
    assert by_column.bad == by_row.bad
    assert by_column.unfinished == by_row.unfinished


@settings(deadline=None)
@given(stated_rows(), st.integers(0, 12))
def test_a_file_is_judged_alike_however_it_is_cut(rows: list[KlineRow], cut: int) -> None:
    whole = judged(as_stated(rows))
    head = judged(as_stated(rows[:cut]))
    tail = judged(as_stated(rows[cut:]), after=head.last)
    assert [*head.good.rows(), *tail.good.rows()] == list(whole.good.rows())
    assert head.bad + tail.bad == whole.bad
    assert tail.last == whole.last


@settings(deadline=None)
@given(stated_rows())
def test_good_amounts_are_canonical(rows: list[KlineRow]) -> None:
    good = judged(as_stated(rows)).good
    for texts, row in zip(zip(*good.arrays()[:5], strict=True), good.rows(), strict=True):
        assert [each.as_py() for each in texts] == [canonical(each) for each in row[1:6]]


def test_months_have_their_own_grid() -> None:
    january, february = 1_767_225_600_000, 1_769_904_000_000
    rows = [KlineRow(ts, *map(Decimal, (2, 3, 1, 2, 5))) for ts in (january, february, T + M)]
    found = judged(as_stated(rows), "1M", start=0, end=T + 2 * M, closed_by=T + 40 * 86_400_000)
    assert found.good.open_ts.tolist() == [january, february]
    assert [each.reason for each in found.bad] == ["its open time is not on the grid of 1M"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a number is missing"),
        (None, "a number is missing"),
        ("abc", "'abc' is not a number"),
        ("1_000", "'1_000' is not a number"),
        (" 5", "' 5' is not a number"),
        ("1,5", "'1,5' is not a number"),
        ("nan", "amount was NaN, which is not a finite number"),
    ],
)
def test_a_text_that_is_no_number_goes_to_quarantine_as_it_stands(
    text: str | None, reason: str
) -> None:
    columns = made(
        np.array([T, T + M]),
        [[each, "7"] for each in ("7", "7", text, "7", "1")] + [[None, None]],
        [None, None],
    )
    found = judged(columns)
    assert [(each.row[3], each.reason) for each in found.bad] == [(text, reason)]
    assert found.good.open_ts.tolist() == [T + M]


def test_numbers_of_any_notation_that_fit_are_taken() -> None:
    texts = ["007.50", "+7.5", "7.500000000000000000000", "75e-1", ".75e1"]
    prices = [["7.5"] * 5, ["8"] * 5, ["7"] * 5, texts, ["0"] * 5, [None] * 5]
    found = judged(made(T + np.arange(5) * M, prices, [None] * 5))
    assert found.bad == []
    assert set(found.good.close.to_pylist()) == {"7.5"}


def test_the_second_of_two_bars_of_one_time_is_not_taken() -> None:
    columns = made(np.array([T, T]), [["7", "7"]] * 4 + [["1", "2"], [None, None]], [None, None])
    found = judged(columns)
    assert found.good.volume.to_pylist() == ["1"]
    assert [(each.row[5], each.reason) for each in found.bad] == [("2", NOT_ABOVE)]


def test_chunks_are_bounded_and_lose_nothing() -> None:
    one = KlineColumns.of_rows([KlineRow(T, *map(Decimal, (2, 3, 1, 2, 5)))])
    parts = list(rechunked([one] * 7, most=3))
    assert [len(part) for part in parts] == [3, 3, 1]
    assert CHUNK <= 100_000
