"""What every part of the platform runs on: ids, transactions, hints to workers, events, files."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

R = TypeVar("R")
UnitT_co = TypeVar("UnitT_co", covariant=True)


class Ids(Protocol):
    """Source of the ids that the API shows."""

    def new(self) -> str:
        """A new UUIDv7 as text; ids ascend with time."""
        ...


class UnitOfWork(Protocol[UnitT_co]):
    """Transactions. A unit commits when its block ends and rolls back when it raises."""

    def read(self) -> AbstractContextManager[UnitT_co]:
        """A read; nothing is written, and each question sees what is committed by then."""
        ...

    def snapshot(self) -> AbstractContextManager[UnitT_co]:
        """A read that sees one state of the whole record, whatever is written meanwhile."""
        ...

    def write(self) -> AbstractContextManager[UnitT_co]:
        """A transaction that writes."""
        ...

    def run(self, work: Callable[[Any], R]) -> R:
        """Run ``work(unit)`` in a writing transaction; again, whole, if it lost a lock race."""
        ...


class Queue(Protocol):
    """Hints to workers. A lost hint is made good by the sweeper: the row is the truth."""

    def publish(self, task: str, *ids: str) -> bool:
        """Ask for ``task(*ids)``; False if the broker did not take it. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A hint that no worker could take, or that came back too often.

    Attributes:
        id: names the message among the dead letters.
        task, ids: what was asked for; empty where the message does not say.
        queue: where it was.
        reason: ``rejected``, ``delivery_limit`` or another word of the broker.
        fault: what is wrong with the message itself, or None.
        deaths: how often it died.
        first_at: wall time of its first death, ms.
    """

    id: str
    task: str
    ids: tuple[str, ...]
    queue: str
    reason: str
    fault: str | None
    deaths: int
    first_at: int


class DeadLetters(Protocol):
    """What the broker keeps of refused and too often delivered hints."""

    def all(self) -> list[DeadLetter]:
        """Every dead letter, oldest first.

        Raises:
            Unavailable: the broker cannot be asked.
        """
        ...

    def requeue(self, ids: Container[str]) -> list[str]:
        """Put dead letters back into the queues they came from; the ids of those that went.

        Each is confirmed in its queue before it leaves the dead letters: it may be doubled by a
        crash, not lost.

        Raises:
            Unavailable: the broker cannot be asked.
        """
        ...

    def drop(self, ids: Container[str]) -> list[str]:
        """Delete dead letters; the ids of those that went.

        Raises:
            Unavailable: the broker cannot be asked.
        """
        ...


class Bus(Protocol):
    """Events to whoever listens, at least once."""

    def publish(self, topic: str, body: Mapping[str, Any]) -> None:
        """Send one event, and return when the bus has it.

        Raises:
            Unavailable: the bus did not take it.
        """
        ...

    def offer(self, topic: str, body: Mapping[str, Any], taken: Callable[[], None]) -> None:
        """Send one event without waiting; ``taken()`` is called once the bus has it, or never.

        Raises:
            Unavailable: it will not be sent.
            InvalidInput: the bus will never take it, as it is too large.
        """
        ...

    def subscribe(
        self, pattern: str, handler: Callable[[str, dict[str, Any]], None]
    ) -> Callable[[], None]:
        """Call ``handler(topic, body)`` for matching events; returns how to stop.

        ``*`` matches one part of a topic, ``#`` any number of parts.
        """
        ...


class FileFetcher(Protocol):
    """Gets files by URL."""

    def require_allowed(self, url: str) -> None:
        """Nothing, where a URL may be fetched; nothing is asked of its host.

        Raises:
            InvalidInput: it is none, or its host must not be reached so.
        """
        ...

    def fetch(self, url: str, folder: Path, most_s: float) -> Path | None:
        """The file below a folder, whole, by the URL's name; None where there is none of that URL.

        What an earlier call left half is gone on with, what it left whole is taken as it is.

        Args:
            most_s: seconds after which it gives up, and half of them again at most.

        Raises:
            NotYetWhole: it takes longer.
            InvalidInput: the URL is none, of a host that must not be reached, or of one that
                refuses it for good.
            NotFetched: the host cannot be reached, or does not answer as it should.
        """
        ...
