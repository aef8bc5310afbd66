"""A record (database) for tests, with clocks that move by hand and no broker behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from app.repositories.database import open_engine
from app.repositories.unit import Units
from tests.support.schema import make_tables

ROOT = Path(__file__).resolve().parents[2]
# 2026-03-01T00:00Z, a Sunday.
START_MS = 1_772_323_200_000


def shared_data() -> Path | None:
    """The folder of real market data beside the checkout, or None where there is none."""
    for place in (ROOT.parent / "shared" / "data", ROOT.parent.parent / "shared" / "data"):
        if place.is_dir():
            return place
    return None


@dataclass
class ManualClock:
    """A wall clock that moves when told to; every look at the monotonic clock may cost time.

    Attributes:
        cost_s: seconds that each ``monotonic()`` takes, to end slices of time without waiting.
        stepped: how far the wall clock was set by hand, ms; the world's time is without it.
    """

    now: int = START_MS
    seconds: float = 0.0
    cost_s: float = 0.0
    stepped: int = 0

    def now_ms(self) -> int:
        """Wall time."""
        return self.now

    def monotonic(self) -> float:
        """Seconds since the test began."""
        self.seconds += self.cost_s
        return self.seconds

    def advance(self, ms: int) -> None:
        """Let time pass, on both clocks."""
        self.now += ms
        self.seconds += ms / 1000

    def step(self, ms: int) -> None:
        """Set the wall clock on, or back; no time passes."""
        self.now += ms
        self.stepped += ms

    @property
    def true_ms(self) -> int:
        """Wall time of a machine whose clock nobody set."""
        return self.now - self.stepped


class CountingIds:
    """Ids that ascend and can be read."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> str:
        """The next id."""
        self._last += 1
        return f"00000000-0000-7000-8000-{self._last:012d}"


@dataclass
class ManualMarketClock:
    """Market time of every venue, set by the test."""

    now: int = START_MS

    def now_ms(self, exchange: str) -> int:
        """Market time."""
        return self.now


@dataclass
class Hints:
    """A queue that keeps the hints it was given."""

    sent: list[tuple[str, ...]] = field(default_factory=list)

    def publish(self, task: str, *ids: str) -> bool:
        """Note ``(task, *ids)``."""
        self.sent.append((task, *ids))
        return True


@dataclass
class Events:
    """A publisher that keeps the events of committed units."""

    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def publish(self, rows: list[tuple[int, str, dict[str, Any]]]) -> None:
        """Note (topic, body) of each."""
        self.sent += [(topic, body) for _, topic, body in rows]

    def on(self, prefix: str) -> list[dict[str, Any]]:
        """Bodies of the events whose topic begins so."""
        return [body for topic, body in self.sent if topic.startswith(prefix)]


@contextmanager
def record(url: str, **options: Any) -> Iterator[Engine]:
    """An engine over a fresh database with every table in it."""
    engine = open_engine(url, **options)
    try:
        make_tables(engine)
        yield engine
    finally:
        engine.dispose()


def units_over(
    engine: Engine,
    clock: ManualClock,
    hints: Hints | None = None,
    events: Events | None = None,
) -> Units:
    """Units of work over an engine."""
    return Units(engine, clock, hints or Hints(), events or Events())
