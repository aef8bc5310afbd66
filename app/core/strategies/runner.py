"""Drives one strategy instance over bars and order updates.

Backtest, second engine and live evaluation all stand on this runner: it moves the present
bar, calls the hooks, checks what they answer and gives each signal its identity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from app.core.errors import InvalidInput
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame, Times
from app.core.strategies.bar_view import BarView, Columns
from app.core.strategies.base import Answer, BaseStrategy
from app.core.strategies.desk import Desk
from app.core.strategies.errors import BadParameter, StrategyFailed
from app.core.strategies.registry import listens
from app.core.strategies.signal import EmittedSignal, Signal, SignalAction
from app.core.strategies.sizing import check_signal
from app.core.strategies.updates import OrderUpdate, OwnOrder

MAX_SIGNALS: Final = 1_000
"""Signals one hook call may return; more is a mistake of the strategy's loop."""


@dataclass(frozen=True, slots=True)
class Slices:
    """Bars of several symbols merged by open time.

    Attributes:
        times: the distinct open times, ascending.
        index: symbol → for each time, the position of its bar, or −1 where it has none.
    """

    times: Times
    index: Mapping[str, Times]

    @classmethod
    def merge(cls, frames: Mapping[str, KlineFrame]) -> Slices:
        """Merge frames; each must ascend by open time."""
        if len(frames) == 1:
            (symbol, frame), *_ = frames.items()
            return cls(frame.open_ts, {symbol: np.arange(len(frame), dtype=np.int64)})
        times = np.unique(np.concatenate([frame.open_ts for frame in frames.values()]))
        index = {}
        for symbol, frame in frames.items():
            positions = np.full(len(times), -1, dtype=np.int64)
            positions[np.searchsorted(times, frame.open_ts)] = np.arange(len(frame))
            index[symbol] = positions
        return cls(times, index)


class StrategyRunner:
    """One strategy at its desk.

    Args:
        frames: symbol → bars from the run's anchor on, for every instrument of the desk.

    Raises:
        StrategyFailed: ``setup`` raised.
        InvalidInput: frames and instruments do not fit together.
    """

    def __init__(
        self, strategy: BaseStrategy, desk: Desk, frames: Mapping[str, KlineFrame]
    ) -> None:
        self.strategy = strategy
        self.desk = desk
        self._interval = interval_of(desk.interval)
        declare(strategy, desk)
        _check_frames(desk, frames)
        desk.load(frames)
        self.columns = {symbol: Columns(frames[symbol]) for symbol in desk.instruments}
        self.slices = Slices.merge({symbol: frames[symbol] for symbol in desk.instruments})
        self._lines = desk.indicators.lines() if len(desk.instruments) > 1 else []
        self.ready_ts = _ready(desk)
        # Legs count over all hook calls of one cause: on one bar time, each of several
        # symbols may answer with an order for the same one.
        self._cause = ""
        self._legs: dict[str, int] = {}
        self.listens = listens(type(strategy))

    def stand_before(self, position: int) -> None:
        """Make the present the last bars before the slice at ``position``."""
        for symbol, bars in self.desk.bars.items():
            seen = self.slices.index[symbol][:position]
            bars.present.index = int(seen.max()) if len(seen) else -1

    def slice(self, position: int) -> list[EmittedSignal]:
        """Close the bars of one slice, then evaluate each of them in the run's symbol order."""
        desk, ts = self.desk, int(self.slices.times[position])
        closed = []
        for symbol, bars in desk.bars.items():
            index = int(self.slices.index[symbol][position])
            if index >= 0:
                bars.present.index = index
                closed.append((symbol, index))
        emitted: list[EmittedSignal] = []
        if ts < self.ready_ts:
            return emitted
        for symbol, index in closed:
            self._show(symbol)
            emitted += self.kline(self.columns[symbol], index)
        return emitted

    def kline(self, columns: Columns, index: int) -> Sequence[EmittedSignal]:
        """Evaluate one bar, which must be the present one of its symbol."""
        bar = BarView(columns, index)
        try:
            answer = self.strategy.on_kline(bar)
        except (Exception, SystemExit) as error:
            raise self._failed("on_kline", error) from error
        if answer is None:
            return ()
        ts = columns.open_ts[index]
        return self._emit(answer, f"bar:{ts}", ts, "on_kline")

    def update(self, update: OrderUpdate) -> list[EmittedSignal]:
        """Tell the strategy of one order event."""
        self._show(self.desk.chosen(update.symbol))
        try:
            answer = self.strategy.on_order_update(update)
        except (Exception, SystemExit) as error:
            raise self._failed("on_order_update", error) from error
        bars = self.desk.bars[update.symbol]
        latest = bars.present.index
        ts = int(bars.frame.open_ts[latest]) if latest >= 0 else update.timestamp
        return self._emit(answer, f"fill:{update.event_id}", ts, "on_order_update")

    def checked_state(self) -> dict[str, Any]:
        """The strategy's state, which must be what JSON gives back.

        Raises:
            StrategyFailed: it holds something else; the message names the first such key.
        """
        for key, value in self.desk.state.items():
            try:
                same = isinstance(key, str) and json.loads(json.dumps(value)) == value
            except (TypeError, ValueError):
                same = False
            if not same:
                raise StrategyFailed(
                    self.strategy.strategy_id,
                    f"keeps {type(value).__name__} in self.state[{key!r}], which a restart "
                    "cannot bring back; keep text, numbers, true/false, lists and dicts",
                )
        return self.desk.state

    def _show(self, symbol: str) -> None:
        self.desk.symbol = symbol
        for line in self._lines:
            line.show(symbol)

    def _emit(self, answer: Answer, cause: str, bar_ts: int, hook: str) -> list[EmittedSignal]:
        if not answer:
            return []
        signals = [answer] if isinstance(answer, Signal) else answer
        emitted: list[EmittedSignal] = []
        if cause != self._cause:
            self._cause, self._legs = cause, {}
        try:
            if len(signals) > MAX_SIGNALS:
                raise InvalidInput(f"{len(signals)} signals at once; at most {MAX_SIGNALS}")
            for signal in signals:
                if not isinstance(signal, Signal):
                    raise InvalidInput(
                        f"a {type(signal).__name__}; return a Signal, a list of them or None"
                    )
                check_signal(self.desk, signal)
                leg = self._legs.get(signal.symbol, 0)
                self._legs[signal.symbol] = leg + 1
                emitted.append(self._identify(signal, cause, leg, bar_ts))
        except (InvalidInput, TypeError) as error:
            raise StrategyFailed(
                self.strategy.strategy_id, f"returned from {hook}: {error}"
            ) from error
        for item in emitted:
            self._take(item)
        return emitted

    def _identify(self, signal: Signal, cause: str, leg: int, bar_ts: int) -> EmittedSignal:
        valid_until = signal.valid_until
        if valid_until is None:
            close = self._interval.next(bar_ts)
            valid_until = self._interval.next(close)
        return EmittedSignal(signal, self.desk.interval, cause, leg, bar_ts, valid_until)

    def _take(self, item: EmittedSignal) -> None:
        """Count what was emitted as working, and what was cancelled as gone."""
        signal = item.signal
        if signal.action is SignalAction.CANCEL:
            self.desk.working.pop(signal.cancels or "", None)
            return
        self.desk.working[item.key] = OwnOrder(
            key=item.key,
            symbol=signal.symbol,
            side=signal.side,
            type=signal.type,
            quantity=signal.quantity,
            limit_price=signal.limit_price,
            stop_price=signal.stop_price,
            tag=signal.tag,
        )

    def _failed(self, hook: str, error: BaseException) -> StrategyFailed:
        return failure(self.strategy, hook, error)


def declare(strategy: BaseStrategy, desk: Desk) -> None:
    """Run ``setup`` at a desk.

    Raises:
        StrategyFailed: it raised.
    """
    try:
        strategy.declare(desk)
    except (Exception, SystemExit) as error:
        raise failure(strategy, "setup", error) from error


def failure(strategy: BaseStrategy, hook: str, error: BaseException) -> StrategyFailed:
    """The typed error of an exception in an author's code, with the line it came from."""
    if isinstance(error, StrategyFailed):
        return error
    name, line, trace = "", None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == type(strategy).__module__:
            name, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, BadParameter):
        return StrategyFailed(
            strategy.strategy_id, f"refuses its parameters: {error.message}", line=line
        )
    where = f" ({name.rsplit('/', 1)[-1]}, line {line})" if line else ""
    text = " ".join(str(error).split())[:400]
    words = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return StrategyFailed(strategy.strategy_id, f"failed in {hook}{where}: {words}", line=line)


def _ready(desk: Desk) -> float:
    """Open time of the first slice on which every indicator of every symbol has a value."""
    ready = 0.0
    for bars in desk.bars.values():
        warm_up = desk.indicators.warm_up
        if len(bars.frame) <= warm_up:
            return float("inf")
        ready = max(ready, float(bars.frame.open_ts[warm_up]))
    return ready


def _check_frames(desk: Desk, frames: Mapping[str, KlineFrame]) -> None:
    missing = [symbol for symbol in desk.instruments if symbol not in frames]
    if missing:
        raise InvalidInput(f"no klines were given for {', '.join(missing)}")
    for symbol in desk.instruments:
        frame = frames[symbol]
        if frame.interval != desk.interval or frame.symbol != symbol:
            raise InvalidInput(
                f"klines of {frame.symbol} {frame.interval} were given for {symbol} {desk.interval}"
            )
        if len(frame) > 1 and not bool(np.all(np.diff(frame.open_ts) > 0)):
            raise InvalidInput(f"klines of {symbol} did not ascend by open time")
