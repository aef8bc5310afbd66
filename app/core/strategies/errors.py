"""What can go wrong with a strategy; each message names the strategy and says what to do.

InvalidInput
├── BadParameter        a parameter value outside its bounds, or an unknown name
└── BadStrategyFile     a file that does not hold exactly one usable strategy
StrategyError           a strategy that went wrong while it ran
├── StrategyFailed      it raised; the message holds file, line and exception
├── StrategyTimedOut    it did not answer in its wall-clock time
└── StrategyCrashed     its process ended: killed, out of memory, os._exit
"""

from __future__ import annotations

from app.core.errors import InvalidInput, TidemarkError


class BadParameter(InvalidInput):
    """A parameter value that the strategy does not accept."""

    code = "bad-parameter"


class BadStrategyFile(InvalidInput):
    """A file that does not hold exactly one usable strategy."""

    code = "bad-strategy-file"


class StrategyError(TidemarkError):
    """A strategy that went wrong while it ran. It concerns that strategy alone."""

    code = "strategy-error"

    def __init__(self, strategy: str, message: str) -> None:
        super().__init__(f"strategy {strategy!r} {message}")
        self.strategy = strategy
        self.detail = message


class StrategyFailed(StrategyError):
    """The strategy's own code raised an exception.

    Attributes:
        line: line in the author's file, or None where no frame of it was on the stack.
    """

    code = "strategy-failed"

    def __init__(self, strategy: str, message: str, *, line: int | None = None) -> None:
        super().__init__(strategy, message)
        self.line = line


class StrategyTimedOut(StrategyError):
    """The strategy did not answer in its wall-clock time and was killed."""

    code = "strategy-timed-out"


class StrategyCrashed(StrategyError):
    """The process in which the strategy ran has ended."""

    code = "strategy-crashed"
