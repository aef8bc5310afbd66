"""Numbers written by numpy are those that Python writes one by one."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.core.money import canonical
from simulator.dialects.table import Field, rows

COUNTS = st.lists(st.integers(0, 10**17), min_size=1, max_size=20)
DECIMALS = st.integers(0, 12)


def written(values: list[int], decimals: int, **how: object) -> list[str]:
    column = np.array(values, dtype=np.int64)
    field = Field(b',["', column, decimals, b'"]', **how)  # type: ignore[arg-type]
    return [text for (text,) in json.loads(rows([field], len(values)))]


@given(values=COUNTS, decimals=DECIMALS)
def test_trimmed_numbers_have_no_zero_at_their_end(values: list[int], decimals: int) -> None:
    exact = [Decimal(value).scaleb(-decimals) for value in values]
    assert written(values, decimals, trims=True) == [canonical(value) for value in exact]


@given(values=COUNTS, decimals=DECIMALS, more=st.integers(0, 6))
def test_padded_numbers_have_as_many_places_as_asked(
    values: list[int], decimals: int, more: int
) -> None:
    places = decimals + more
    exact = [Decimal(value).scaleb(-decimals) for value in values]
    assert written(values, decimals, places=places) == [f"{value:.{places}f}" for value in exact]


@given(values=st.lists(st.integers(0, 10**9), min_size=1), decimals=DECIMALS)
def test_a_number_on_a_coarser_tick_is_printed_with_the_tick_s_places(
    values: list[int], decimals: int
) -> None:
    finer = [value * 10**4 for value in values]
    exact = [Decimal(value).scaleb(-decimals) for value in values]
    assert written(finer, decimals + 4, places=decimals) == [
        f"{value:.{decimals}f}" for value in exact
    ]


@given(values=st.lists(st.integers(0, 10**9), min_size=1), shift=st.integers(1, 4))
def test_units_above_one_are_whole_numbers(values: list[int], shift: int) -> None:
    assert written(values, -shift, trims=True) == [str(value * 10**shift) for value in values]
