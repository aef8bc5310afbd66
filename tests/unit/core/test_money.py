"""Amounts: exact in, exact out, or an error."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.core.money import canonical, checked, from_float, parse_amount

AMOUNTS = st.decimals(
    min_value=Decimal(-999999999999999999),
    max_value=Decimal(999999999999999999),
    places=18,
    allow_nan=False,
    allow_infinity=False,
)


@given(AMOUNTS)
def test_text_and_amount_are_the_same_thing(amount: Decimal) -> None:
    text = canonical(amount)
    assert Decimal(text) == amount
    assert canonical(parse_amount(text)) == text
    assert "E" not in text


@given(AMOUNTS, AMOUNTS)
def test_equal_amounts_have_equal_texts(left: Decimal, right: Decimal) -> None:
    assert (canonical(left) == canonical(right)) is (left == right)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1E+3", "1000"),
        ("-0.000", "0"),
        ("1.500", "1.5"),
        ("1E-18", "0.000000000000000001"),
        ("0.10000000000000000000", "0.1"),
    ],
)
def test_canonical_text(amount: str, text: str) -> None:
    assert canonical(Decimal(amount)) == text


@pytest.mark.parametrize(
    "amount", ["NaN", "Infinity", "1E+18", "-1E+18", "1E-19", "0.1234567890123456789"]
)
def test_what_does_not_fit_is_an_error_and_never_a_rounding(amount: str) -> None:
    with pytest.raises(InvalidInput):
        checked(Decimal(amount))


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "1_000", "1,5", "1e3", "+1", ".5", "5.", "01", "NaN", "١٢", "0x1", "--1"],
)
def test_only_plain_digits_are_an_amount(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_amount(text)


def test_research_figures_become_amounts_at_eight_digits() -> None:
    assert from_float(0.1 + 0.2) == Decimal("0.3")
    for bad in (float("nan"), float("inf")):
        with pytest.raises(InvalidInput):
            from_float(bad)
