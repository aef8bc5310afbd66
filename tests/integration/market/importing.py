"""Importing as tests do it: an order, run to its end, and what the record holds then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from app.core.market.coverage import CoverageState
from app.core.market.klines import KlineRow
from app.core.ports import FileFetcher
from app.models import JobRow
from app.repositories.unit import Units
from app.services.importing import ImportJobs, ImportOrder
from tests.support.record import (
    START_MS,
    CountingIds,
    Events,
    Hints,
    ManualClock,
    ManualMarketClock,
    record,
    units_over,
)

MINUTE = 60_000
DAY = 86_400_000
# Real files end in April 2026.
NOW = START_MS + 90 * DAY


@dataclass
class Archive:
    """A fetcher over a table of files; ``calls`` is called before each."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    calls: Callable[[str], None] = lambda _: None

    def require_allowed(self, url: str) -> None:
        """See ``FileFetcher``."""

    def fetch(self, url: str, folder: Path, most_s: float) -> Path | None:
        """See ``FileFetcher``."""
        if (whole := folder / url.rsplit("/", 1)[-1]).is_file():
            return whole
        self.asked.append(url.rsplit("/", 1)[-1])
        self.calls(url)
        content = self.files.get(url)
        if content is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / url.rsplit("/", 1)[-1]
        path.write_bytes(content)
        return path


class Importing:
    """The import service over one database."""

    def __init__(
        self, engine: Engine, folder: Path, now: int = NOW, fetcher: FileFetcher | None = None
    ) -> None:
        self.clock = ManualClock(now)
        self.hints = Hints()
        self.events = Events()
        self.archive = Archive()
        self.ids = CountingIds()
        self.units: Units = units_over(engine, self.clock, self.hints, self.events)
        self.jobs = ImportJobs(
            self.units,
            ManualMarketClock(now),
            fetcher or self.archive,
            self.ids,
            self.clock,
            folder / "fetched",
        )

    def finished(self, order: ImportOrder) -> JobRow:
        """The job of an order at its end."""
        return self.driven(self.jobs.start(order).id)

    def driven(self, job_id: str) -> JobRow:
        """A job, worked on until it has ended."""
        state = "queued"
        while state == "queued":
            with self.units.read() as unit:
                self.clock.now = max(self.clock.now, unit.jobs.get(job_id).not_before)
            state = self.jobs.run(job_id)
        with self.units.read() as unit:
            return unit.jobs.get(job_id)

    def result(self, source: Path | str, symbol: str = "", interval: str = "", **more: Any) -> Any:
        """The account of an import that succeeds."""
        order = ImportOrder(str(source), more.pop("exchange", "binance"), symbol, interval, **more)
        job = self.finished(order)
        assert (job.state, job.error) == ("succeeded", None)
        return job.result

    def stored(
        self, symbol: str, interval: str = "1m", exchange: str = "binance"
    ) -> list[KlineRow]:
        """Every stored bar of a series."""
        with self.units.read() as unit:
            series = unit.klines.find_series(exchange, symbol, interval)
            return [] if series is None else unit.klines.read_exact(series.id, 0, 2**60)

    def spans(
        self, symbol: str, interval: str = "1m", exchange: str = "binance"
    ) -> list[tuple[int, int, CoverageState]]:
        """What is known of a series."""
        with self.units.read() as unit:
            series = unit.klines.find_series(exchange, symbol, interval)
            assert series is not None
            return [(each.start, each.end, each.state) for each in unit.coverage.spans(series.id)]


def line(ts: int, price: object = 100, volume: object = 7) -> str:
    """A bar of one price as CSV, with its line end."""
    return f"{ts},{price},{price},{price},{price},{volume}\n"


def bar(ts: int, price: object = 100, volume: object = 7) -> KlineRow:
    """The same as it is stored."""
    return KlineRow(ts, *[Decimal(str(price))] * 4, Decimal(str(volume)))


def file(folder: Path, *lines: str, name: str = "bars.csv") -> Path:
    """A file of lines below a folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))
    return path


def walk(minutes: Iterable[int], start: int = START_MS) -> list[str]:
    """Bars of prices that tell each from its neighbours."""
    return [line(start + n * MINUTE, f"{100 + n % 97}.{n % 89:02d}", n % 13 + 1) for n in minutes]


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[Importing]:
    """On both databases."""
    with record(database_url, local_infile=True) as engine:
        yield Importing(engine, tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Importing]:
    """On SQLite, for what no database decides."""
    with record(f"sqlite:///{tmp_path / 'tidemark.db'}") as engine:
        yield Importing(engine, tmp_path)
