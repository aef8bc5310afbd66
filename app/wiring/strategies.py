"""Strategies: where their code runs, their instances, and backtests."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from app import __version__
from app.services.backtests import BacktestService
from app.services.frame_cache import FrameCache
from app.services.strategies.catalogue import StrategyCatalogue
from app.services.strategies.evaluation import Evaluator
from app.services.strategies.instances import InstanceService
from app.wiring.market import MarketParts

if TYPE_CHECKING:
    from app.adapters.strategy_runtime import HostedRuntime
    from app.core.strategies.registry import StrategyRegistry


class StrategyParts(MarketParts):
    """Parts that run strategies on market data; their signals are rows, and orders are not here."""

    @cached_property
    def runtime(self) -> HostedRuntime:
        """Where strategy code runs."""
        from app.adapters.strategy_runtime import HostedRuntime

        return HostedRuntime(
            self.registry,
            evaluate_timeout_s=self.settings.strategy_timeout_s,
            backtest_timeout_s=self.settings.backtest_timeout_s,
        )

    @cached_property
    def registry(self) -> StrategyRegistry:
        """Built-in strategies."""
        from app.core.strategies.builtin import STRATEGIES

        return STRATEGIES

    @cached_property
    def catalogue(self) -> StrategyCatalogue:
        """Strategies and versions."""
        return StrategyCatalogue(
            self.units, self.ids, self.registry, self.runtime, __version__, _talib_version()
        )

    @cached_property
    def instances(self) -> InstanceService:
        """Strategy instances."""
        return InstanceService(
            self.units, self.ids, self.market_clock, self.catalogue, self.runtime
        )

    @cached_property
    def evaluator(self) -> Evaluator:
        """Evaluation of instances."""
        return Evaluator(
            self.units,
            self.ids,
            self.market_clock,
            FrameCache(self.market_data),
            self.runtime,
            self.settings.max_signals_per_bar,
        )

    @cached_property
    def backtests(self) -> BacktestService:
        """Backtests."""
        return BacktestService(
            self.units,
            self.ids,
            self.clock,
            self.catalogue,
            self.market_data,
            self.runtime,
        )


def _talib_version() -> str:
    from importlib.metadata import version

    return version("ta-lib")
