"""Options of the command line, read strictly."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.cli.arguments import amount_of, pairs_of, params_of, time_of
from app.core.errors import InvalidInput


def test_parameters_are_json_where_they_are_json() -> None:
    given = ["fast=5", "on=true", "fraction=0.5", "name=close", "list=[1, 2]", "text=a=b"]
    assert params_of(given) == {
        "fast": 5,
        "on": True,
        "fraction": 0.5,
        "name": "close",
        "list": [1, 2],
        "text": "a=b",
    }


@pytest.mark.parametrize("given", [["fast"], ["=5"], ["fast="], ["a=1", "a=2"]])
def test_a_pair_is_a_name_and_a_value(given: list[str]) -> None:
    with pytest.raises(InvalidInput, match="--param"):
        pairs_of("--param", given)


def test_a_parameter_is_finite() -> None:
    with pytest.raises(InvalidInput, match="finite"):
        params_of(["x=NaN"])


def test_an_amount_is_above_zero_and_the_message_names_its_option() -> None:
    assert amount_of("--cash", "10.50") == Decimal("10.50")
    for text in ("0", "-1", "1e5", "nan", "", "1,000"):
        with pytest.raises(InvalidInput, match="--cash"):
            amount_of("--cash", text)


def test_a_time_that_is_none_names_its_option() -> None:
    assert time_of("--start", "") is None
    assert time_of("--start", "2026-03-01") == 1_772_323_200_000
    with pytest.raises(InvalidInput, match="--start"):
        time_of("--start", "tomorrow")
