"""The indicators that one strategy declared, and their values over a run's bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from app.core.indicators.definitions import IndicatorDefinition
from app.core.indicators.errors import BadIndicator
from app.core.indicators.lines import Indicator, Line, Present
from app.core.indicators.registry import INDICATORS, parameter_values
from app.core.market.klines import Floats, KlineFrame

COLUMNS: Final = ("open", "high", "low", "close", "volume")
Source = str | Line


@dataclass(frozen=True, slots=True)
class _Declaration:
    definition: IndicatorDefinition
    values: Mapping[str, Any]
    sources: tuple[Source, ...]
    indicator: Indicator
    lookback: int


@dataclass(slots=True)
class DeclaredIndicators:
    """What a strategy's ``setup`` declared, in order.

    Values are computed once over all bars of a run: the value at bar t is the function over
    [first bar, t], whatever comes after t.
    """

    _declared: list[_Declaration] = field(default_factory=list)
    _lookbacks: dict[int, int] = field(default_factory=dict)

    def declare(
        self, name: str, sources: Mapping[str, Source], parameters: Mapping[str, Any]
    ) -> Indicator:
        """Declare an indicator; see ``BaseStrategy.indicator``."""
        definition = INDICATORS.get(name)
        values = parameter_values(definition, parameters)
        chosen = self._sources(definition, sources)
        own = definition.lookback(values)
        before = max((self._lookbacks.get(id(source), 0) for source in chosen), default=0)
        words = ", ".join(f"{key}={value}" for key, value in parameters.items())
        indicator = Indicator(f"{name}({words})", definition.outputs)
        declaration = _Declaration(definition, values, chosen, indicator, own + before)
        self._declared.append(declaration)
        for line in (indicator, *indicator.lines):
            self._lookbacks[id(line)] = declaration.lookback
        return indicator

    def first_input(self, name: str) -> str:
        """Name of the input that ``source=`` stands for."""
        return next(iter(INDICATORS.get(name).inputs))

    def column(self, name: str) -> Line:
        """A price column as a line."""
        _check_column(name)
        indicator = Indicator(name, (name,))
        definition = IndicatorDefinition(
            name, {name: name}, (name,), {}, lambda inputs, _: inputs, lambda _: 0
        )
        self._declared.append(_Declaration(definition, {}, (name,), indicator, 0))
        self._lookbacks[id(indicator)] = 0
        return indicator

    @property
    def warm_up(self) -> int:
        """Bars before the first one on which every indicator has a value."""
        return max((declared.lookback for declared in self._declared), default=0)

    def lines(self) -> list[Line]:
        """Every declared line; the runner points them at the symbol being evaluated."""
        return [line for declared in self._declared for line in declared.indicator.lines]

    def compute(self, frame: KlineFrame, present: Present) -> None:
        """Compute every declared indicator over a frame and bind its lines.

        Raises:
            BadIndicator: a price is not finite, or the function refuses its parameters.
        """
        columns = dict(zip(COLUMNS, frame.columns(), strict=True))
        for name, column in columns.items():
            if not bool(np.isfinite(column).all()):
                at = int(frame.open_ts[int(np.argmin(np.isfinite(column)))])
                raise BadIndicator(f"{frame.symbol} {name} is not a finite number at {at}")
        arrays: dict[int, Floats] = {}
        for declared in self._declared:
            outputs = _values(declared, columns, arrays, self._lookbacks)
            for line, output in zip(declared.indicator.lines, outputs, strict=True):
                arrays[id(line)] = output
                line.bind(frame.symbol, output, present)

    def _sources(
        self, definition: IndicatorDefinition, given: Mapping[str, Source]
    ) -> tuple[Source, ...]:
        unknown = [name for name in given if name not in definition.inputs]
        if unknown:
            raise BadIndicator(
                f"{definition.name} has no input {', '.join(map(repr, unknown))}; it has: "
                f"{', '.join(definition.inputs)}"
            )
        chosen = tuple(given.get(role, default) for role, default in definition.inputs.items())
        for source in chosen:
            if isinstance(source, str):
                _check_column(source, definition.name)
            elif id(source) not in self._lookbacks:
                raise BadIndicator(
                    f"{definition.name} reads {getattr(source, 'label', source)!r}, which is "
                    "not a line declared by this strategy"
                )
            elif isinstance(source, Indicator) and len(source.outputs) > 1:
                raise BadIndicator(
                    f"{definition.name} reads {source.label}, which has several lines; name "
                    f"one of {', '.join(source.outputs)}"
                )
        return chosen


def _check_column(name: str, reader: str = "") -> None:
    if name not in COLUMNS:
        whose = f"{reader} reads {name!r}; a" if reader else f"{name!r} was asked for; a"
        raise BadIndicator(f"{whose} price column is one of {', '.join(COLUMNS)}")


def _values(
    declared: _Declaration,
    columns: Mapping[str, Floats],
    arrays: Mapping[int, Floats],
    lookbacks: Mapping[int, int],
) -> list[Floats]:
    """Outputs of one declaration. Leading bars without a source value are cut off first."""
    skip = max((lookbacks.get(id(source), 0) for source in declared.sources), default=0)
    inputs = [
        np.ascontiguousarray(
            (columns[source] if isinstance(source, str) else arrays[id(source)])[skip:]
        )
        for source in declared.sources
    ]
    length = len(columns["close"])
    if len(inputs[0]) <= declared.lookback - skip:
        return [np.full(length, np.nan) for _ in declared.definition.outputs]
    for source, array in zip(declared.sources, inputs, strict=True):
        if not bool(np.isfinite(array).all()):
            label = source if isinstance(source, str) else source.label
            raise BadIndicator(
                f"{declared.indicator.label} reads {label}, which has no value at some bars "
                "after its warm-up"
            )
    outputs = declared.definition.compute(inputs, declared.values)
    padding = np.full(skip, np.nan)
    return [_checked_output(declared, length - skip, output, padding) for output in outputs]


def _checked_output(declared: _Declaration, length: int, output: Floats, padding: Floats) -> Floats:
    array = np.ascontiguousarray(output, dtype=np.float64)
    if array.shape != (length,):
        raise BadIndicator(
            f"{declared.indicator.label} returned an array of shape {array.shape}; it must "
            f"have one value for each of {length} bars"
        )
    return np.concatenate([padding, array]) if len(padding) else array
