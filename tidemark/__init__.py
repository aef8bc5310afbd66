"""What authors of strategies and data sources import; ``app`` is private to them.

    from tidemark import BaseStrategy, IntParameter

    class Cross(BaseStrategy):
        fast = IntParameter(10, low=2, high=400)
        ...

Names load when they are first used, so that ``import tidemark`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from app.core.indicators.lines import Indicator, Line
    from app.core.market.klines import KlineData
    from app.core.orders.types import OrderStatus, OrderType, Side, TimeInForce
    from app.core.sources.base import DataSource, Observation
    from app.core.strategies.base import BaseStrategy
    from app.core.strategies.parameters import (
        BoolParameter,
        ChoiceParameter,
        DecimalParameter,
        FloatParameter,
        IntParameter,
        TextParameter,
    )
    from app.core.strategies.signal import Signal, SignalAction
    from app.core.strategies.updates import OrderUpdate, OwnOrder

__all__ = [
    "BaseStrategy",
    "BoolParameter",
    "ChoiceParameter",
    "DataSource",
    "DecimalParameter",
    "FloatParameter",
    "Indicator",
    "IntParameter",
    "KlineData",
    "Line",
    "Observation",
    "OrderStatus",
    "OrderType",
    "OrderUpdate",
    "OwnOrder",
    "Side",
    "Signal",
    "SignalAction",
    "TextParameter",
    "TimeInForce",
]

_HOMES: Final = {
    "app.core.indicators.lines": ("Indicator", "Line"),
    "app.core.market.klines": ("KlineData",),
    "app.core.orders.types": ("OrderStatus", "OrderType", "Side", "TimeInForce"),
    "app.core.sources.base": ("DataSource", "Observation"),
    "app.core.strategies.base": ("BaseStrategy",),
    "app.core.strategies.parameters": (
        "BoolParameter",
        "ChoiceParameter",
        "DecimalParameter",
        "FloatParameter",
        "IntParameter",
        "TextParameter",
    ),
    "app.core.strategies.signal": ("Signal", "SignalAction"),
    "app.core.strategies.updates": ("OrderUpdate", "OwnOrder"),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'tidemark' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
