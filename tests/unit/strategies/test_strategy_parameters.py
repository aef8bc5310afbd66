"""Parameters are typed, bounded and refuse with a sentence that says what is accepted."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from app.core.strategies.base import BaseStrategy
from app.core.strategies.errors import BadParameter
from app.core.strategies.parameters import (
    BoolParameter,
    ChoiceParameter,
    DecimalParameter,
    FloatParameter,
    IntParameter,
    json_schema,
    resolve,
    to_json,
)


class Shaped(BaseStrategy):
    bars = IntParameter(10, low=2, high=400, help="length")
    width = FloatParameter(2, low=0.5, high=4)
    part = DecimalParameter("0.95", low="0.01", high=1)
    mode = ChoiceParameter("fast", choices=["fast", "slow"])
    loud = BoolParameter(False)


class Narrower(Shaped):
    bars = IntParameter(20, low=10, high=30)
    width = 3.0  # type: ignore[assignment]


def test_defaults_stand_where_nothing_is_given() -> None:
    made = Shaped("s1")
    assert (made.bars, made.width, made.part) == (10, 2.0, Decimal("0.95"))
    assert (made.mode, made.loud) == ("fast", False)
    assert type(made.width) is float


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("bars", 400, 400),
        ("bars", "12", 12),
        ("width", 1, 1.0),
        ("width", "1.5", 1.5),
        ("part", "0.5", Decimal("0.5")),
        ("part", 1, Decimal(1)),
        ("mode", "slow", "slow"),
        ("loud", True, True),
        ("loud", "true", True),
    ],
)
def test_values_and_their_json_forms_are_accepted(name: str, given: Any, value: Any) -> None:
    made = Shaped("s1", {name: given})
    assert getattr(made, name) == value
    assert type(getattr(made, name)) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("bars", 1, "parameter 'bars' was 1; it must be a whole number from 2 to 400"),
        ("bars", 2.5, "parameter 'bars' was 2.5"),
        ("bars", True, "parameter 'bars' was True"),
        ("bars", "ten", "parameter 'bars' was 'ten'"),
        ("width", float("nan"), "parameter 'width' was nan; it must be a number from 0.5 to 4.0"),
        ("width", "wide", "was 'wide'"),
        ("width", None, "was None"),
        (
            "part",
            0.5,
            'was 0.5; it must be a decimal from 0.01 to 1, written as text such as "0.5"',
        ),
        ("part", "much", "was 'much'"),
        ("part", "NaN", "was 'NaN'"),
        ("part", "2", "was '2'"),
        ("mode", "medium", "must be one of 'fast', 'slow'"),
        ("loud", 1, "must be true or false"),
        ("bars", "9" * 100, "…; it must be"),
    ],
)
def test_a_refusal_names_parameter_value_and_bounds(name: str, given: Any, words: str) -> None:
    with pytest.raises(BadParameter) as caught:
        Shaped("s1", {name: given})
    assert words in caught.value.message
    assert "strategy 'Shaped'" in caught.value.message


def test_an_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(BadParameter, match="no parameter 'bar'; it has: bars, width, part, mode"):
        Shaped("s1", {"bar": 3})


def test_a_strategy_without_parameters_says_so() -> None:
    with pytest.raises(BadParameter, match="it has: none"):
        resolve("plain", {}, {"x": 1})


def test_a_subclass_may_narrow_or_fix_what_it_inherits() -> None:
    assert Narrower.parameters["bars"].default == 20
    assert list(Narrower.parameters) == ["bars", "part", "mode", "loud"]
    assert Narrower("n").width == 3.0


def test_values_survive_json() -> None:
    values = resolve("s", Shaped.parameters, {"part": "0.125", "bars": 33})
    stored = json.loads(json.dumps(to_json(Shaped.parameters, values)))
    assert resolve("s", Shaped.parameters, stored) == values


def test_the_schema_describes_a_form() -> None:
    schema = json_schema(Shaped.parameters)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["bars"] == {
        "type": "integer",
        "minimum": 2,
        "maximum": 400,
        "default": 10,
        "description": "length",
    }
    assert schema["properties"]["part"]["x-maximum"] == "1"
    assert schema["properties"]["mode"]["enum"] == ["fast", "slow"]
    json.dumps(schema)
