"""What an indicator is, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.market.klines import Floats

Compute = Callable[[Sequence[Floats], Mapping[str, Any]], Sequence[Floats]]


@dataclass(frozen=True, slots=True)
class IndicatorDefinition:
    """One function from price columns to lines of the same length.

    The value at bar t may depend on bars up to t only; where fewer than ``lookback`` bars
    precede it, it is NaN.

    Attributes:
        inputs: the function's input → the price column it reads unless the author chooses
            another (open, high, low, close, volume); in the order ``compute`` takes them.
        outputs: names of the lines.
        parameters: names and defaults.
        compute: (input arrays, parameter values) → one float64 array for each output.
        lookback: parameter values → bars before the first value.
        source: where the formula stands, for the documentation.
    """

    name: str
    inputs: Mapping[str, str]
    outputs: tuple[str, ...]
    parameters: Mapping[str, Any]
    compute: Compute
    lookback: Callable[[Mapping[str, Any]], int]
    source: str = ""
