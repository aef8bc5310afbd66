"""Typed, bounded parameters, declared as class attributes of a strategy.

    class Cross(BaseStrategy):
        fast = IntParameter(10, low=2, high=400, help="bars of the fast average")

The declaration is the form, the check and the search space: ``Cross.parameters`` holds it,
``self.fast`` is the value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Generic, Self, TypeVar, overload

from app.core.errors import InvalidInput
from app.core.money import canonical, checked
from app.core.strategies.errors import BadParameter

Value = TypeVar("Value", int, Decimal, float, str, bool)


class Parameter(Generic[Value]):
    """One parameter: a default, what is accepted, and how it is described in a form.

    A value is looked up in the instance; on the class the attribute is the declaration.
    """

    kind: str = ""

    def __init__(self, default: Value, *, help: str = "") -> None:  # noqa: A002 - reads well
        self.name = ""
        self.default: Value = default
        self.help = help

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        try:
            self.default = self.parse(self.default)
        except BadParameter as error:
            raise BadParameter(f"the default of {error.message}") from None

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Value:
        # Without __set__ the value in the instance's own __dict__ wins, at plain speed.
        return self if instance is None else self.default

    def parse(self, value: Any) -> Value:
        """The value in its own type.

        Args:
            value: the type itself, or its JSON form (numbers and decimals may be text).

        Raises:
            BadParameter: names parameter, value and what is accepted.
        """
        raise NotImplementedError

    def to_json(self, value: Value) -> Any:
        """The value as it is stored: plain JSON from which ``parse`` makes the same value."""
        return value

    def schema(self) -> dict[str, Any]:
        """JSON schema of the value, with ``default`` and ``description``."""
        described = {"description": self.help} if self.help else {}
        return {**self._schema(), "default": self.to_json(self.default), **described}

    def _schema(self) -> dict[str, Any]:
        raise NotImplementedError

    def accepted(self) -> str:
        """What is accepted, in words."""
        raise NotImplementedError

    def _refuse(self, value: Any) -> BadParameter:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "…"
        return BadParameter(f"parameter {self.name!r} was {shown}; it must be {self.accepted()}")


class _Bounded(Parameter[Value]):
    """A number between ``low`` and ``high``, both included."""

    low: Value
    high: Value

    def __set_name__(self, owner: type, name: str) -> None:
        if self.low > self.high:
            raise BadParameter(
                f"parameter {name!r} has low {self.low} above high {self.high}; exchange them"
            )
        super().__set_name__(owner, name)

    def accepted(self) -> str:
        return f"{self.kind} from {self.low} to {self.high}"

    def _inside(self, given: Any, value: Value) -> Value:
        if not self.low <= value <= self.high:
            raise self._refuse(given)
        return value


class IntParameter(_Bounded[int]):
    """A whole number from ``low`` to ``high``."""

    kind = "a whole number"

    def __init__(self, default: int, *, low: int, high: int, help: str = "") -> None:  # noqa: A002
        super().__init__(default, help=help)
        self.low, self.high = low, high

    def parse(self, value: Any) -> int:
        if isinstance(value, str):
            try:
                value = int(value, 10)
            except ValueError:
                raise self._refuse(value) from None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._refuse(value)
        return self._inside(value, value)

    def _schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


class FloatParameter(_Bounded[float]):
    """A float64 from ``low`` to ``high``: for figures of indicators, not for money."""

    kind = "a number"

    def __init__(self, default: float, *, low: float, high: float, help: str = "") -> None:  # noqa: A002
        super().__init__(default, help=help)
        self.low, self.high = float(low), float(high)

    def parse(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise self._refuse(value)
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise self._refuse(value) from None
        if not math.isfinite(number):
            raise self._refuse(value)
        return self._inside(value, number)

    def _schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


class DecimalParameter(_Bounded[Decimal]):
    """An exact decimal from ``low`` to ``high``: for fractions of equity, quantities, prices.

    Values, default and bounds may be written as text (``"0.95"``), whole numbers or
    decimals; a float is refused, because 0.1 is not one tenth.
    """

    kind = "a decimal"

    def __init__(
        self,
        default: Decimal | str | int,
        *,
        low: Decimal | str | int,
        high: Decimal | str | int,
        help: str = "",  # noqa: A002
    ) -> None:
        super().__init__(Decimal(default), help=help)
        self.low, self.high = Decimal(low), Decimal(high)

    def parse(self, value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
            raise self._refuse(value)
        try:
            number = checked(Decimal(value))
        except (InvalidOperation, InvalidInput):
            raise self._refuse(value) from None
        return self._inside(value, number)

    def to_json(self, value: Decimal) -> str:
        return canonical(value)

    def _schema(self) -> dict[str, Any]:
        bounds = {"x-minimum": canonical(self.low), "x-maximum": canonical(self.high)}
        return {"type": "string", "format": "decimal", **bounds}

    def accepted(self) -> str:
        words = f"{self.kind} from {canonical(self.low)} to {canonical(self.high)}"
        return words + ', written as text such as "0.5"'


class ChoiceParameter(Parameter[str]):
    """One of a list of words."""

    def __init__(self, default: str, *, choices: Sequence[str], help: str = "") -> None:  # noqa: A002
        super().__init__(default, help=help)
        self.choices: Final = tuple(choices)

    def parse(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise self._refuse(value)
        return value

    def _schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.choices)}

    def accepted(self) -> str:
        return "one of " + ", ".join(repr(choice) for choice in self.choices)


class TextParameter(Parameter[str]):
    """A line of text, at most ``max_length`` characters: an address, a path, a word."""

    def __init__(self, default: str, *, max_length: int = 200, help: str = "") -> None:  # noqa: A002
        super().__init__(default, help=help)
        self.max_length: Final = max_length

    def parse(self, value: Any) -> str:
        if not isinstance(value, str) or len(value) > self.max_length or not value.isprintable():
            raise self._refuse(value)
        return value

    def _schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.max_length}

    def accepted(self) -> str:
        return f"text of at most {self.max_length} printable characters"


class BoolParameter(Parameter[bool]):
    """Yes or no."""

    _WORDS: Final = {"true": True, "false": False}

    def parse(self, value: Any) -> bool:
        if isinstance(value, str):
            value = self._WORDS.get(value.lower(), value)
        if not isinstance(value, bool):
            raise self._refuse(value)
        return value

    def _schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    def accepted(self) -> str:
        return "true or false"


def declared_in(owner: type) -> dict[str, Parameter[Any]]:
    """The parameters that a class and its bases declare, by name."""
    found: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        found.update(vars(base))
    return {name: item for name, item in found.items() if isinstance(item, Parameter)}


def resolve(
    owner: str,
    declared: Mapping[str, Parameter[Any]],
    given: Mapping[str, Any],
    noun: str = "strategy",
) -> dict[str, Any]:
    """Every parameter's value: what is given, checked, and the defaults of the rest.

    Args:
        owner, noun: the class and what it is, for messages.

    Raises:
        BadParameter: a value is not accepted, or a name is unknown; the message lists the
            names that exist.
    """
    unknown = sorted(str(name) for name in given if name not in declared)
    if unknown:
        known = ", ".join(declared) or "none"
        raise BadParameter(
            f"{noun} {owner!r} has no parameter {', '.join(map(repr, unknown))}; it has: {known}"
        )
    values = {}
    for name, parameter in declared.items():
        try:
            values[name] = parameter.parse(given[name]) if name in given else parameter.default
        except BadParameter as error:
            raise BadParameter(f"{noun} {owner!r}: {error.message}") from None
    return values


def to_json(declared: Mapping[str, Parameter[Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as plain JSON, as a result and an instance's row store them."""
    return {name: declared[name].to_json(value) for name, value in values.items()}


def json_schema(declared: Mapping[str, Parameter[Any]]) -> dict[str, Any]:
    """JSON schema of a strategy's parameters: an object with one property for each."""
    properties = {name: parameter.schema() for name, parameter in declared.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}
