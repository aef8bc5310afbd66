"""The one place where indicators are found by name: TA-Lib's and the user's own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from app.core.errors import UnknownName
from app.core.indicators import talib_library
from app.core.indicators.definitions import IndicatorDefinition
from app.core.indicators.errors import BadIndicator


class IndicatorRegistry:
    """Definitions by upper-case name; the user's own come before TA-Lib's."""

    def __init__(self) -> None:
        self._own: dict[str, IndicatorDefinition] = {}

    def register(self, definition: IndicatorDefinition) -> IndicatorDefinition:
        """Add an indicator under its name.

        Raises:
            BadIndicator: TA-Lib or another user indicator has that name.
        """
        name = definition.name
        if name != name.upper() or not name.isidentifier():
            raise BadIndicator(f"indicator name {name!r} must be an upper-case identifier")
        if name in self._own or talib_library.definition(name) is not None:
            raise BadIndicator(f"indicator {name} exists already; choose another name")
        self._own[name] = definition
        return definition

    def get(self, name: str) -> IndicatorDefinition:
        """The definition of that name.

        Raises:
            UnknownName: there is none; the message lists the nearest names.
        """
        found = self._own.get(name) or talib_library.definition(name)
        if found is None:
            near = difflib.get_close_matches(name.upper(), self.names(), n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise UnknownName(f"indicator {name[:40]!r} is not known{hint}")
        return found

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*self._own, *talib_library.names()})


def parameter_values(definition: IndicatorDefinition, given: Mapping[str, Any]) -> dict[str, Any]:
    """The definition's defaults with what is given in their place.

    Raises:
        BadIndicator: an unknown parameter; the message lists those that exist.
    """
    unknown = [name for name in given if name not in definition.parameters]
    if unknown:
        raise BadIndicator(
            f"{definition.name} has no parameter {', '.join(map(repr, unknown))}; it has: "
            f"{', '.join(definition.parameters) or 'none'}"
        )
    return {**definition.parameters, **given}


INDICATORS = IndicatorRegistry()
"""The registry of this process."""
