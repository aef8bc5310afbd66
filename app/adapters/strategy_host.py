"""Runs strategies in child processes, so that none of them can harm the platform.

One ``StrategyHost`` is one child, started when it is first needed and reused; a
``StrategyHosts`` keeps one for each instance. Whatever a strategy does, the caller gets a
result or a typed error that names the strategy:

==================================== ======================================================
it raises, or calls ``sys.exit``     StrategyFailed with the line; the child lives on
it does not answer in time           StrategyTimedOut; the child is killed
it uses too much CPU or memory       StrategyCrashed, or StrategyFailed with MemoryError
it ends its process                  StrategyCrashed with the exit code
==================================== ======================================================
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Self

from app.adapters.strategy_child import Child, HostLimits, Progress
from app.core.backtest.result import BacktestResult
from app.core.backtest.spec import BacktestSpec
from app.core.market.instruments import Instrument
from app.core.market.klines import KlineFrame
from app.core.strategies.errors import StrategyCrashed, StrategyTimedOut
from app.core.strategies.evaluation import EvaluationRequest, EvaluationResult
from app.core.strategies.loader import StrategyRef
from app.core.strategies.plain import Blobs, from_plain, to_plain
from app.core.strategies.registry import StrategyInfo
from app.core.strategies.serving import rebuild_error
from app.core.strategies.wire import Message

__all__ = ["HostLimits", "StrategyHost", "StrategyHosts"]


class StrategyHost:
    """One child process; requests are served one after the other.

    Safe to call from several threads: they wait for each other.
    """

    def __init__(self, limits: HostLimits | None = None) -> None:
        self._limits = limits or HostLimits()
        self._lock = threading.Lock()
        # Held for moments only, so that kill() never waits for a request.
        self._changing = threading.Lock()
        self._child: Child | None = None
        self._is_killed = False

    def inspect(self, ref: StrategyRef) -> StrategyInfo:
        """What a strategy is: parameters, documentation, version.

        Raises:
            UnknownName, BadStrategyFile: there is no such built-in, or the file is unusable.
            StrategyTimedOut, StrategyCrashed: loading the file did not come to an end.
        """
        answer = self._ask(ref, {"op": "inspect"}, [], self._limits.evaluate_seconds)
        return from_plain(StrategyInfo, answer.header["result"], answer.blobs)

    def warm_up(
        self,
        ref: StrategyRef,
        params: Mapping[str, Any],
        exchange: str,
        interval: str,
        instruments: Sequence[Instrument],
    ) -> int:
        """Bars that the strategy's indicators need before the first evaluated one.

        It runs ``setup``, so it also tells whether these parameters can be run at all.
        """
        blobs: Blobs = []
        header = {
            "op": "warm_up",
            "params": dict(params),
            "exchange": exchange,
            "interval": interval,
            "instruments": to_plain(tuple(instruments), blobs),
        }
        answer = self._ask(ref, header, blobs, self._limits.evaluate_seconds)
        return int(answer.header["result"])

    def evaluate(self, ref: StrategyRef, request: EvaluationRequest) -> EvaluationResult:
        """``app.core.strategies.evaluation.evaluate`` in the child.

        Raises:
            StrategyFailed, StrategyTimedOut, StrategyCrashed: see the module.
            InvalidInput: the request can never be evaluated.
        """
        blobs: Blobs = []
        header = {"op": "evaluate", "request": to_plain(request, blobs)}
        answer = self._ask(ref, header, blobs, self._limits.evaluate_seconds)
        return from_plain(EvaluationResult, answer.header["result"], answer.blobs)

    def backtest(
        self,
        ref: StrategyRef,
        spec: BacktestSpec,
        frames: Sequence[KlineFrame],
        progress: Progress | None = None,
    ) -> BacktestResult:
        """``app.core.backtest.engine.run_backtest`` in the child.

        Args:
            progress: called with (bars done, bars in all). If it raises, the child is ended
                and the exception goes on to the caller: this is how a run is cancelled.
        """
        blobs: Blobs = []
        header = {
            "op": "backtest",
            "spec": to_plain(spec, blobs),
            "frames": to_plain(tuple(frames), blobs),
        }
        answer = self._ask(ref, header, blobs, self._limits.backtest_seconds, progress)
        return from_plain(BacktestResult, answer.header["result"], answer.blobs)

    def output(self) -> str:
        """The last of what the strategy printed during the latest request, at most 64 KB."""
        return "" if self._child is None else self._child.output()

    def kill(self) -> None:
        """End the child in the middle of whatever it does, and start no other.

        The request that waits fails, and so does one whose child has yet to start.
        """
        with self._changing:
            self._is_killed = True
            if self._child is not None:
                self._child.strike()

    def close(self) -> None:
        """End the child, if there is one; the next request starts another."""
        with self._lock:
            if self._child is not None:
                self._child.shut_down()
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self,
        ref: StrategyRef,
        header: dict[str, Any],
        blobs: Blobs,
        seconds: float,
        progress: Progress | None = None,
    ) -> Message:
        named = {**header, "ref": to_plain(ref, []), "cpu_seconds": int(seconds) + 1}
        request = Message(named, blobs)
        with self._lock:
            child = self._child
            if child is None or not child.is_alive:
                self._end()
                child = self._started(ref)
                seconds += self._limits.start_seconds
            try:
                answer = child.ask(request, seconds, progress)
            except TimeoutError:
                self._end()
                raise StrategyTimedOut(
                    ref.name, f"did not answer within {seconds:g} s and was stopped"
                ) from None
            except EOFError:
                reason = child.epitaph()
                self._end()
                raise StrategyCrashed(ref.name, reason) from None
            except BaseException:
                # The caller gave up half-way; what the child still says is nobody's answer.
                self._end()
                raise
        error = answer.header.get("error")
        if error is not None:
            raise rebuild_error(error)
        return answer

    def _started(self, ref: StrategyRef) -> Child:
        with self._changing:
            if self._is_killed:
                raise StrategyCrashed(ref.name, "was ended before it began")
            self._child = Child(self._limits)
            return self._child

    def _end(self) -> None:
        with self._changing:
            child, self._child = self._child, None
        if child is not None:
            child.kill()


class StrategyHosts:
    """One host for each instance; the least recently used is ended when there are too many."""

    def __init__(self, limits: HostLimits | None = None, *, size: int = 32) -> None:
        self._limits = limits
        self._size = size
        self._lock = threading.Lock()
        self._hosts: OrderedDict[str, StrategyHost] = OrderedDict()

    def host(self, instance_id: str) -> StrategyHost:
        """The instance's host, made if it has none."""
        with self._lock:
            found = self._hosts.setdefault(instance_id, StrategyHost(self._limits))
            self._hosts.move_to_end(instance_id)
            surplus = [] if len(self._hosts) <= self._size else [self._hosts.popitem(last=False)[1]]
        for host in surplus:
            host.close()
        return found

    def drop(self, instance_id: str) -> None:
        """End the instance's host."""
        with self._lock:
            host = self._hosts.pop(instance_id, None)
        if host is not None:
            host.close()

    def close(self) -> None:
        """End every host."""
        for instance_id in list(self._hosts):
            self.drop(instance_id)
