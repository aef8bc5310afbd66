"""Strategy classes by name, and what the platform shows of them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.core.errors import NameTaken, UnknownName
from app.core.strategies.base import BaseStrategy
from app.core.strategies.parameters import json_schema
from app.core.user_files import source_version


@dataclass(frozen=True, slots=True)
class StrategyInfo:
    """What a strategy is, as plain data.

    Attributes:
        title: first line of the class's documentation.
        schema: JSON schema of the parameters, with defaults and bounds.
        source: the whole text of the file that defines it.
        version: sha256 of that text, in hex.
        listens: whether it answers order events, and not bars alone.
    """

    name: str
    class_name: str
    title: str
    documentation: str
    schema: dict[str, Any]
    source: str
    version: str
    listens: bool


class StrategyRegistry:
    """Strategy classes by name."""

    def __init__(self) -> None:
        self._classes: dict[str, type[BaseStrategy]] = {}

    def register(self, name: str, strategy_class: type[BaseStrategy]) -> type[BaseStrategy]:
        """Add a class under a name.

        Raises:
            NameTaken: the name is taken by another class.
        """
        if self._classes.setdefault(name, strategy_class) is not strategy_class:
            raise NameTaken(f"strategy {name!r} is registered already; choose another name")
        return strategy_class

    def create_strategy(
        self, name: str, strategy_id: str, config: Mapping[str, Any] | None = None
    ) -> BaseStrategy:
        """A new instance of the strategy of that name.

        Raises:
            UnknownName: no strategy has that name.
            BadParameter: the configuration does not fit its parameters.
        """
        return self.get(name)(strategy_id, config)

    def get(self, name: str) -> type[BaseStrategy]:
        """The class of that name.

        Raises:
            UnknownName: there is none; the message lists the nearest names.
        """
        try:
            return self._classes[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._classes, n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else f"; use one of {self._list()}"
            raise UnknownName(f"strategy {name[:60]!r} is not known{hint}") from None

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._classes)

    def info(self, name: str) -> StrategyInfo:
        """What the strategy of that name is; see ``StrategyInfo``."""
        strategy_class = self.get(name)
        return describe(name, strategy_class, _source_of(strategy_class))

    def _list(self) -> str:
        return ", ".join(self.names()) or "none"


def describe(name: str, strategy_class: type[BaseStrategy], source: str) -> StrategyInfo:
    """Description of a strategy class whose file holds ``source``."""
    documentation = inspect.cleandoc(strategy_class.__doc__ or "")
    return StrategyInfo(
        name=name,
        class_name=strategy_class.__name__,
        title=documentation.partition("\n")[0],
        documentation=documentation,
        schema=json_schema(strategy_class.parameters),
        source=source,
        version=source_version(source),
        listens=listens(strategy_class),
    )


def listens(strategy_class: type[BaseStrategy]) -> bool:
    """Whether a strategy answers order events: whether it defines ``on_order_update``."""
    return strategy_class.on_order_update is not BaseStrategy.on_order_update


def _source_of(strategy_class: type[BaseStrategy]) -> str:
    module = inspect.getmodule(strategy_class)
    return inspect.getsource(module) if module is not None else ""
