"""Evaluation of one live instance: plain data in, plain data out.

``evaluate`` is what the backtest does between its fills, for a caller that keeps the
instance's cursor, state, position and orders in rows. It reads no clock and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from app.core.market.instruments import Instrument
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineFrame
from app.core.money import ZERO
from app.core.strategies.base import BaseStrategy
from app.core.strategies.desk import Desk
from app.core.strategies.runner import StrategyRunner, declare
from app.core.strategies.signal import EmittedSignal
from app.core.strategies.updates import OrderUpdate, OwnOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """One instance and what it may know.

    Attributes:
        strategy: name for messages, such as the version's name.
        strategy_id: the instance's id.
        params: parameter values by name, in their JSON form.
        instruments: the run's instruments, the primary one first; ``on_kline`` is called in
            this order for the bars of one time.
        frames: for each instrument, in the same order, its bars from the run's fixed anchor
            to the newest closed one.
        cursor_ts: open time of the last evaluated bar, ms; None evaluates every bar on which
            the indicators have values.
        state: what the last evaluation returned; empty at first.
        capital: quote units given to the instance.
        net_cash: quote units that own fills brought in less what they cost, fees included:
            the sum of the instance's quote postings.
        positions: symbol → own position now, base units, fees paid in base taken off.
        working_orders: own orders that are not final, first emitted first. One whose cancel
            is not yet confirmed is still working.
        updates: order events the instance has not seen, oldest first.
    """

    strategy: str
    strategy_id: str
    params: Mapping[str, Any]
    exchange: str
    interval: str
    instruments: tuple[Instrument, ...]
    frames: tuple[KlineFrame, ...]
    capital: Decimal
    compounding: bool = True
    cursor_ts: int | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    net_cash: Decimal = ZERO
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    working_orders: tuple[OwnOrder, ...] = ()
    updates: tuple[OrderUpdate, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What the instance answered.

    Attributes:
        signals: in the order they were emitted; the cause says which bar or update each
            answers.
        state: to be stored with the cursor in one transaction.
        cursor_ts: open time of the last evaluated bar, or the request's where none was new.
        bars: how many times ``on_kline`` was called.
        warm_up: bars the indicators need before the first evaluated one.
        updates_seen: event ids of the updates that were delivered.
        dropped: reason → orders that the instrument's filters left out.
    """

    signals: tuple[EmittedSignal, ...]
    state: dict[str, Any]
    cursor_ts: int | None
    bars: int
    warm_up: int
    updates_seen: tuple[str, ...]
    dropped: Mapping[str, int]


def evaluate(request: EvaluationRequest, strategy_class: type[BaseStrategy]) -> EvaluationResult:
    """Deliver the unseen updates and take every closed bar after the cursor, in order.

    An update is delivered before the first new bar that closed after it, as it is in a
    backtest. Signals count as working as soon as they are emitted.

    Raises:
        StrategyFailed: the strategy raised or answered with something else than signals.
        BadParameter, BadIndicator, InvalidInput: the request can never be evaluated.
    """
    desk = _desk(request)
    strategy = strategy_class(request.strategy_id, request.params)
    frames = {frame.symbol: frame for frame in request.frames}
    runner = StrategyRunner(strategy, desk, frames)
    times = runner.slices.times
    cursor = request.cursor_ts
    first = 0 if cursor is None else int(np.searchsorted(times, cursor, side="right"))
    runner.stand_before(first)
    interval = interval_of(request.interval)
    waiting = sorted(request.updates, key=lambda update: update.timestamp)
    signals: list[EmittedSignal] = []
    bars = 0
    for position in range(first, len(times)):
        cursor = int(times[position])
        while waiting and waiting[0].timestamp < interval.next(cursor):
            signals += runner.update(waiting.pop(0))
        signals += runner.slice(position)
        bars += cursor >= runner.ready_ts
    for update in waiting:
        signals += runner.update(update)
    return EvaluationResult(
        signals=tuple(signals),
        state=runner.checked_state(),
        cursor_ts=cursor,
        bars=bars,
        warm_up=desk.indicators.warm_up,
        updates_seen=tuple(update.event_id for update in request.updates),
        dropped=dict(desk.dropped),
    )


def warm_up_bars(
    strategy_class: type[BaseStrategy],
    params: Mapping[str, Any],
    exchange: str,
    interval: str,
    instruments: tuple[Instrument, ...],
) -> int:
    """Bars before the first one on which every indicator of the strategy has a value.

    The caller loads that many bars before the start of a run; their first one is the anchor.
    """
    desk = Desk(exchange, interval, instruments)
    declare(strategy_class(strategy_class.__name__, params), desk)
    return desk.indicators.warm_up


def _desk(request: EvaluationRequest) -> Desk:
    desk = Desk(
        request.exchange,
        request.interval,
        request.instruments,
        capital=request.capital,
        compounding=request.compounding,
    )
    desk.net_cash = request.net_cash
    for symbol, quantity in request.positions.items():
        desk.positions[desk.chosen(symbol)] = quantity
    desk.working = {order.key: order for order in request.working_orders}
    desk.state = deepcopy(dict(request.state))
    return desk
