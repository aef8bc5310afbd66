"""From the text of a strategy file to its class.

Loading runs the author's code, so it happens in the strategy host and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.core.strategies.base import BaseStrategy
from app.core.strategies.errors import BadStrategyFile
from app.core.user_files import own_classes, run_file


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
    found = own_classes(run_file(name, source, "strategy", BadStrategyFile), BaseStrategy)
    if not found:
        raise BadStrategyFile(
            f"{name} defines no strategy; write a class that inherits from tidemark.BaseStrategy"
        )
    if len(found) > 1:
        names = ", ".join(item.__name__ for item in found)
        raise BadStrategyFile(f"{name} defines {len(found)} strategies ({names}); keep one")
    if found[0].on_kline is BaseStrategy.on_kline:
        raise BadStrategyFile(f"{name}: {found[0].__name__} has no on_kline method")
    return found[0]
