"""From the text of a strategy file to its class.

Loading runs the author's code, so it happens in the strategy host and nowhere else.
"""

from __future__ import annotations

import linecache
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.strategies.base import BaseStrategy
from app.core.strategies.errors import BadStrategyFile
from app.core.strategies.registry import source_version

MAX_SOURCE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StrategyRef:
    """A strategy by name: a built-in, or the text of a user's file.

    Attributes:
        name: the built-in's name, or the file's name for messages.
        source: the file's text; None for a built-in.
    """

    name: str
    source: str | None = None

    @classmethod
    def from_file(cls, path: Path) -> StrategyRef:
        """The strategy in a ``.py`` file; its code is read, not run.

        Raises:
            BadStrategyFile: the file cannot be read as Python text.
        """
        if path.suffix != ".py":
            raise BadStrategyFile(f"{path.name} is not a .py file")
        try:
            source = path.read_text(encoding="utf-8")
        except OSError as error:
            raise BadStrategyFile(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise BadStrategyFile(f"{path.name} is not UTF-8 text") from None
        return cls(path.name, source)


def load_source(name: str, source: str) -> type[BaseStrategy]:
    """The one strategy class that a file defines.

    Args:
        name: the file's name, for messages.

    Raises:
        BadStrategyFile: the text is not Python, fails when it runs, or does not define
            exactly one usable strategy. The message is one sentence with the line.
    """
    if len(source) > MAX_SOURCE:
        raise BadStrategyFile(f"{name} is larger than 1 MB, which no strategy needs to be")
    try:
        code = compile(source, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise BadStrategyFile(f"{name}, line {error.lineno}: {error.msg}") from None
    except ValueError as error:
        raise BadStrategyFile(f"{name} is not Python text: {error}") from None
    module = types.ModuleType(f"user_strategy_{source_version(source)[:16]}")
    module.__file__ = name
    # So that a traceback shows the author's own lines.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        exec(code, module.__dict__)  # noqa: S102 - this is what the strategy host is for
    except (Exception, SystemExit) as error:
        raise BadStrategyFile(_explain(name, error)) from error
    return _only_strategy(name, module)


def _only_strategy(name: str, module: types.ModuleType) -> type[BaseStrategy]:
    found = [
        item
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, BaseStrategy)
        and item.__module__ == module.__name__
    ]
    # A base of another class in the file is a means, not the strategy.
    leaves = [
        item for item in found if not any(o is not item and issubclass(o, item) for o in found)
    ]
    leaves = list(dict.fromkeys(leaves))
    if not leaves:
        raise BadStrategyFile(
            f"{name} defines no strategy; write a class that inherits from tidemark.BaseStrategy"
        )
    if len(leaves) > 1:
        names = ", ".join(item.__name__ for item in leaves)
        raise BadStrategyFile(f"{name} defines {len(leaves)} strategies ({names}); keep one")
    if leaves[0].on_kline is BaseStrategy.on_kline:
        raise BadStrategyFile(f"{name}: {leaves[0].__name__} has no on_kline method")
    return leaves[0]


def _explain(name: str, error: BaseException) -> str:
    """One sentence: file, line, and what was wrong."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    # Before Python 3.12 an error of a parameter's declaration arrives in a RuntimeError.
    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    where = f"{name}, line {line}" if line else name
    text = " ".join(str(error).split())[:400]
    return (
        f"{where}: {type(error).__name__}: {text}" if text else f"{where}: {type(error).__name__}"
    )
