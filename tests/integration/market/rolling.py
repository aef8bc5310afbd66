"""The collection's world with roll-ups in it, and someone who reads."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from app.core.market.intervals import DAY_MS
from app.core.market.klines import KlineRow
from app.core.market.resampling import resample_rows
from app.core.market.rolling import ROLLED
from app.models import KlineSeriesRow
from app.repositories.kline_store import KlineStore
from app.services.collection.rolling import TASK, RollUps
from app.services.invariants.market import check_market
from app.services.market_data import MarketDataService
from tests.integration.market.collecting import SYMBOL, Collecting
from tests.support.record import START_MS

T = START_MS
NAMES = ("1h", "1d")


class Rolling(Collecting):
    """The collection's world with roll-ups and a reader in it."""

    def __init__(self, engine: Engine, minutes: Any = ()) -> None:
        super().__init__(engine, minutes)
        self.engine = engine
        self.rolls = RollUps(self.units, self.hints, self.clock)

    def collect(self) -> None:
        """Everything that the venue has, as a job brings it."""
        for job in self.service.start(self.plan().id):
            assert self.finish(job.id) == "succeeded"

    def heal(self, *minutes: int) -> None:
        """The venue has bars that it had not, and the next round that counts asks for them."""
        self.list_bars(minutes)
        self.clock.advance(30_000)
        self.service.follow_all()
        self.finish(self.live_job("collection").id)

    def roll_up(self) -> int:
        """What a worker does that takes the sweep's hints."""
        self.hints.sent.clear()
        self.rolls.sweep()
        return sum(self.rolls.roll_up(int(each[1])) for each in self.hinted())

    def hinted(self) -> list[tuple[str, ...]]:
        """Hints for roll-ups."""
        return [each for each in self.hints.sent if each[0] == TASK]

    def minutes(self) -> KlineSeriesRow:
        """The series of minutes, as it is now."""
        with self.units.read() as unit:
            found = unit.klines.find_series("binance", SYMBOL, "1m")
            assert found is not None
            return found

    def kept(self, name: str) -> list[KlineRow]:
        """What is rolled up, whether or not anyone would read it."""
        with self.units.read() as unit:
            series = unit.klines.find_series("binance", SYMBOL, name, ROLLED)
            return [] if series is None else unit.klines.read_exact(series.id, 0, 2**60)

    def market(self) -> MarketDataService:
        """A reader."""
        store = KlineStore(self.units, None)
        venue, clock = (lambda _: self.venue), self.market_clock
        return MarketDataService(self.units, store, venue, clock, None, self.ids)  # type: ignore[arg-type]

    def read(self, name: str) -> list[KlineRow]:
        """Every bar of an interval, as anyone reads it."""
        return self.market().rows("binance", SYMBOL, name, T - 9 * DAY_MS, T + 90 * DAY_MS)

    def breaches(self) -> list[str]:
        """What the checkers find."""
        with self.units.snapshot() as unit:
            return [each.invariant for each in check_market(unit, self.market_clock.now_ms)]

    def check(self) -> None:
        """What is kept is what all minutes make, up to the end of the last whole day."""
        stored = self.stored()
        rolled_to = self.minutes().rolled_to
        assert rolled_to is not None
        for name in NAMES:
            made = resample_rows(stored, "1m", name).bars
            assert self.kept(name) == [row for row in made if row.open_ts < rolled_to]
            assert self.read(name) == made
        assert self.breaches() == []
