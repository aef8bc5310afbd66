"""TA-Lib's functions as indicator definitions.

Inputs, outputs, parameters and look-back come from TA-Lib's own abstract interface, so every
function of the installed version is there under its own name.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from app.core.indicators.definitions import IndicatorDefinition
from app.core.indicators.errors import BadIndicator
from app.core.market.klines import Floats

# TA-Lib's name of a chosen price; the author may give another series in its place.
_CHOSEN_PRICES = {"price": "close", "price0": "high", "price1": "low", "periods": "periods"}


def import_without_pandas() -> None:
    """Import TA-Lib in a quarter of its time by hiding pandas while it loads.

    TA-Lib imports pandas only to accept its Series, which Tidemark never passes: 0.3 s
    instead of 1.2 s. Only for a process that is still single-threaded, since another thread
    that imports pandas meanwhile would be told that there is none.
    """
    hidden = [name for name in ("pandas", "polars") if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        _library()
    finally:
        for name in hidden:
            del sys.modules[name]


@cache
def _library() -> ModuleType:
    import talib.abstract

    module: ModuleType = talib.abstract
    return module


@cache
def version() -> str:
    """TA-Lib's own version, stored with every strategy version."""
    import talib

    raw = talib.__ta_version__
    return raw.decode() if isinstance(raw, bytes) else str(raw)


@cache
def names() -> tuple[str, ...]:
    """Names of all functions of the installed TA-Lib."""
    import talib

    return tuple(talib.get_functions())


@cache
def definition(name: str) -> IndicatorDefinition | None:
    """Definition of TA-Lib's function ``name``, or None where there is none."""
    if name not in names():
        return None
    info = _library().Function(name).info
    return IndicatorDefinition(
        name=name,
        inputs=_input_names(info["input_names"]),
        outputs=tuple(info["output_names"]),
        parameters=dict(info["parameters"]),
        compute=lambda inputs, values: _compute(name, inputs, values),
        lookback=lambda values: _lookback(name, values),
        source=info["display_name"],
    )


def _input_names(described: Mapping[str, Any]) -> dict[str, str]:
    inputs: dict[str, str] = {}
    for role, wanted in described.items():
        if isinstance(wanted, str):
            inputs[role] = _CHOSEN_PRICES.get(role, wanted)
        else:
            inputs.update({column: column for column in wanted})
    return inputs


def _lookback(name: str, values: Mapping[str, Any]) -> int:
    # TA-Lib gives a look-back for parameters that it then refuses, so let it compute once.
    count = len(_input_names(_library().Function(name).info["input_names"]))
    _compute(name, [np.ones(2)] * count, values)
    try:
        return int(_library().Function(name, **values).lookback)
    except Exception as error:  # noqa: BLE001 - TA-Lib raises bare Exception
        raise BadIndicator(_refusal(name, values, error)) from None


def _compute(name: str, inputs: Sequence[Floats], values: Mapping[str, Any]) -> list[Floats]:
    function = _library().Function(name).func_object
    try:
        result = function(*inputs, **values)
    except Exception as error:  # noqa: BLE001 - TA-Lib raises bare Exception
        raise BadIndicator(_refusal(name, values, error)) from None
    outputs = result if isinstance(result, tuple) else (result,)
    return [np.ascontiguousarray(output, dtype=np.float64) for output in outputs]


def _refusal(name: str, values: Mapping[str, Any], error: Exception) -> str:
    given = ", ".join(f"{key}={value}" for key, value in values.items())
    return f"{name}({given}) was refused by TA-Lib: {str(error).strip() or type(error).__name__}"
