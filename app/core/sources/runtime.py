"""Where source code runs: the port behind which the source host stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from app.core.sources.loader import SourceInfo, SourceRef

Take = Callable[[Sequence[Any]], None]
"""Takes rows as ``app.core.sources.rows`` describes them, as they come."""


class RunEnd(StrEnum):
    """How a run that did not fail came to its end."""

    WHOLE = "whole"  # the source had nothing more
    TIME = "time"  # its time was over; what comes later is the next run's
    FULL = "full"  # it gave as much as one run may


@dataclass(frozen=True, slots=True)
class SourceRun:
    """One run to be made.

    Attributes:
        label: the source's name in messages.
        params: values by name, as JSON.
        symbols: what it subscribes to.
        since: time of the newest stored observation, ms; 0 before the first.
        now_ms: wall time.
    """

    label: str
    params: Mapping[str, Any]
    symbols: Sequence[str]
    since: int
    now_ms: int


class SourceRuntime(Protocol):
    """Runs data sources, each run in a process of its own."""

    @property
    def longest_ms(self) -> int:
        """No run takes longer, ms."""
        ...

    def inspect(self, ref: SourceRef, params: Mapping[str, Any]) -> SourceInfo:
        """What a source is; judges the parameters as well.

        Raises:
            BadSourceFile, UnknownName, BadParameter: it cannot be run.
            SourceTimedOut, SourceCrashed: loading the file did not come to an end.
        """
        ...

    def observe(self, ref: SourceRef, run: SourceRun, take: Take) -> RunEnd:
        """Run a source once; however it ends, all rows it gave were taken when this ends.

        Raises:
            SourceError: it raised, hung or crashed; one sentence says how.
            Unavailable: the process is stopping.
            BadSourceFile, UnknownName, BadParameter: it cannot be run.
        """
        ...
