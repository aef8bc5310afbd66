"""Where strategy code runs: built-ins in the worker, users' files and all backtests in a host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from app.adapters.strategy_host import HostLimits, StrategyHost, StrategyHosts
from app.core.backtest.spec import BacktestSpec
from app.core.errors import Unavailable
from app.core.market.klines import KlineFrame
from app.core.strategies.errors import StrategyError
from app.core.strategies.evaluation import EvaluationRequest, EvaluationResult, warm_up_bars
from app.core.strategies.evaluation import evaluate as evaluate_here
from app.core.strategies.loader import StrategyRef
from app.core.strategies.registry import StrategyInfo, StrategyRegistry


class HostedRuntime:
    """A ``StrategyRuntime``."""

    def __init__(
        self, registry: StrategyRegistry, evaluate_timeout_s: float, backtest_timeout_s: float
    ) -> None:
        self._registry = registry
        self._limits = HostLimits(
            evaluate_seconds=evaluate_timeout_s, backtest_seconds=backtest_timeout_s
        )
        self._hosts = StrategyHosts(self._limits)
        self._lock = threading.Lock()
        self._backtests: set[StrategyHost] = set()
        self._interrupted = False

    def inspect(self, ref: StrategyRef) -> StrategyInfo:
        """What a strategy is."""
        if ref.source is None:
            return self._registry.info(ref.name)
        with StrategyHost(self._limits) as host:
            return host.inspect(ref)

    def warm_up(self, ref: StrategyRef, request: EvaluationRequest) -> int:
        """Bars needed before the first evaluated one; judges the parameters as well."""
        if ref.source is None:
            return warm_up_bars(
                self._registry.get(ref.name),
                request.params,
                request.exchange,
                request.interval,
                request.instruments,
            )
        with StrategyHost(self._limits) as host:
            return host.warm_up(
                ref, request.params, request.exchange, request.interval, request.instruments
            )

    def evaluate(self, ref: StrategyRef, request: EvaluationRequest, key: str) -> EvaluationResult:
        """Evaluate one instance; ``key`` names the host that is kept for it."""
        if ref.source is None:
            return evaluate_here(request, self._registry.get(ref.name))
        return self._hosts.host(key).evaluate(ref, request)

    def backtest(
        self,
        ref: StrategyRef,
        spec: BacktestSpec,
        frames: Sequence[KlineFrame],
        progress: Callable[[int, int], None],
    ) -> dict[str, Any]:
        """Run a backtest in a child of its own; the result as JSON, with its printed report."""
        from app.core.backtest.report import report_text

        host = StrategyHost(self._limits)
        with self._lock:
            if self._interrupted:
                raise _interruption()
            self._backtests.add(host)
        try:
            result = host.backtest(ref, spec, frames, self._watched(progress))
        except StrategyError:
            if self._interrupted:
                raise _interruption() from None
            raise
        finally:
            with self._lock:
                self._backtests.discard(host)
            host.close()
        return {**result.to_json(), "report": report_text(result)}

    def interrupt(self) -> None:
        """End every backtest that runs or is about to; its caller gets ``interrupted``."""
        with self._lock:
            self._interrupted = True
            running = list(self._backtests)
        for host in running:
            host.kill()

    def _watched(self, progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
        def watched(done: int, total: int) -> None:
            if self._interrupted:
                raise _interruption()
            progress(done, total)

        return watched

    def close(self) -> None:
        """End every host."""
        self._hosts.close()


def _interruption() -> Unavailable:
    return Unavailable("the process is stopping; the backtest starts again", code="interrupted")
