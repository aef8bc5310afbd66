"""Where strategy code runs: the port behind which the strategy host stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from app.core.backtest.spec import BacktestSpec
from app.core.market.klines import KlineFrame
from app.core.strategies.evaluation import EvaluationRequest, EvaluationResult
from app.core.strategies.loader import StrategyRef
from app.core.strategies.registry import StrategyInfo


class StrategyRuntime(Protocol):
    """Runs strategy code. Users' code never runs in the caller's process."""

    def inspect(self, ref: StrategyRef) -> StrategyInfo:
        """What the strategy is.

        Raises:
            BadStrategyFile: the file holds no usable strategy; one sentence says why.
        """
        ...

    def warm_up(self, ref: StrategyRef, request: EvaluationRequest) -> int:
        """Bars needed before the first evaluated one."""
        ...

    def evaluate(self, ref: StrategyRef, request: EvaluationRequest, key: str) -> EvaluationResult:
        """Evaluate one instance; ``key`` names the process that is kept for it.

        Raises:
            StrategyError: the code failed, ran too long or crashed.
        """
        ...

    def backtest(
        self,
        ref: StrategyRef,
        spec: BacktestSpec,
        frames: Sequence[KlineFrame],
        progress: Callable[[int, int], None],
    ) -> dict[str, Any]:
        """Run a backtest in a child process; the result as JSON.

        Raises:
            StrategyError: the code failed, ran too long or crashed.
        """
        ...
