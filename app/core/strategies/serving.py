"""What a strategy's process does with a message: operations by name, errors as data.

Pure of processes and pipes, so that it is tested without them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from app.core.errors import InvalidInput, TidemarkError, UnknownName
from app.core.indicators.errors import BadIndicator, LookAhead
from app.core.market.instruments import Instrument
from app.core.market.klines import KlineFrame
from app.core.strategies.base import BaseStrategy
from app.core.strategies.builtin import STRATEGIES
from app.core.strategies.errors import BadParameter, BadStrategyFile, StrategyFailed
from app.core.strategies.evaluation import EvaluationRequest, evaluate, warm_up_bars
from app.core.strategies.loader import StrategyRef, load_source
from app.core.strategies.plain import Blobs, from_plain, to_plain
from app.core.strategies.registry import StrategyInfo, describe
from app.core.strategies.wire import Message

Send = Callable[[Message], None]
_ERRORS: Final[dict[str, type[TidemarkError]]] = {
    kind.__name__: kind
    for kind in (BadIndicator, BadParameter, BadStrategyFile, InvalidInput, LookAhead, UnknownName)
}


def serve(message: Message, send: Send) -> None:
    """Do what a message asks and send the answer, after any progress.

    Every failure is an answer too: ``{"error": {...}}``.
    """
    try:
        send(_OPERATIONS[message.header["op"]](message, send))
    except TidemarkError as error:
        send(Message({"error": describe_error(error)}))


def describe_error(error: TidemarkError) -> dict[str, Any]:
    """A typed error as plain data; ``rebuild_error`` makes it again."""
    described = {"kind": type(error).__name__, "message": error.message}
    if isinstance(error, StrategyFailed):
        return {**described, "strategy": error.strategy, "detail": error.detail, "line": error.line}
    return described


def rebuild_error(data: dict[str, Any]) -> TidemarkError:
    """The error that the process met, with its type."""
    if data["kind"] == StrategyFailed.__name__:
        return StrategyFailed(data["strategy"], data["detail"], line=data["line"])
    return _ERRORS.get(data["kind"], InvalidInput)(data["message"])


def strategy_class(ref: StrategyRef) -> type[BaseStrategy]:
    """The class that a reference names.

    Raises:
        UnknownName, BadStrategyFile: there is no such built-in, or the file is unusable.
    """
    return STRATEGIES.get(ref.name) if ref.source is None else _loaded(ref.name, ref.source)


@lru_cache(maxsize=16)
def _loaded(name: str, source: str) -> type[BaseStrategy]:
    return load_source(name, source)


def _ref(message: Message) -> StrategyRef:
    return from_plain(StrategyRef, message.header["ref"], message.blobs)


def _answer(value: Any) -> Message:
    blobs: Blobs = []
    return Message({"result": to_plain(value, blobs)}, blobs)


def _inspect(message: Message, _: Send) -> Message:
    ref = _ref(message)
    if ref.source is None:
        return _answer(STRATEGIES.info(ref.name))
    info: StrategyInfo = describe(ref.name, strategy_class(ref), ref.source)
    return _answer(info)


def _warm_up(message: Message, _: Send) -> Message:
    header = message.header
    instruments = from_plain(tuple[Instrument, ...], header["instruments"], message.blobs)
    return _answer(
        warm_up_bars(
            strategy_class(_ref(message)),
            header["params"],
            header["exchange"],
            header["interval"],
            instruments,
        )
    )


def _evaluate(message: Message, _: Send) -> Message:
    request = from_plain(EvaluationRequest, message.header["request"], message.blobs)
    return _answer(evaluate(request, strategy_class(_ref(message))))


def _backtest(message: Message, send: Send) -> Message:
    # Here and not above: live evaluation needs none of it.
    from app.core.backtest.engine import run_backtest
    from app.core.backtest.spec import BacktestSpec

    spec = from_plain(BacktestSpec, message.header["spec"], message.blobs)
    frames = from_plain(tuple[KlineFrame, ...], message.header["frames"], message.blobs)
    result = run_backtest(
        spec,
        frames,
        strategy_class(_ref(message)),
        lambda done, total: send(Message({"progress": [done, total]})),
    )
    return _answer(result)


_OPERATIONS: Final[dict[str, Callable[[Message, Send], Message]]] = {
    "inspect": _inspect,
    "warm_up": _warm_up,
    "evaluate": _evaluate,
    "backtest": _backtest,
}
