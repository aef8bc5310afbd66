"""The strategies that come with Tidemark: readable models, registered in one place."""

from __future__ import annotations

from app.core.strategies.builtin.bollinger_reversion import BollingerReversion
from app.core.strategies.builtin.moving_average_cross import MovingAverageCross
from app.core.strategies.registry import StrategyRegistry


def builtin_registry() -> StrategyRegistry:
    """A registry that holds every built-in strategy."""
    registry = StrategyRegistry()
    registry.register("moving_average_cross", MovingAverageCross)
    registry.register("bollinger_reversion", BollingerReversion)
    return registry


STRATEGIES = builtin_registry()
"""The built-ins of this process."""
