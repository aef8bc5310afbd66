"""Collection on an installation while something goes wrong: a back-fill, and live bars behind it.

Market and wall move on together, a minute at a time, and each minute does what is periodic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final

from app.core.market.coverage import CoverageState, Span, account
from app.models import JobRow
from app.services.jobs import LIVE
from tests.support.data_world import DataWorld
from tests.support.installation import MINUTE, SYMBOL, Installation
from tests.support.parts import EXCHANGE, Heard
from tests.support.world import World

KLINES: Final = "/api/v3/klines"
#: Bars of one page at Binance.
PAGE: Final = 1_000
# The longest pause of a job that waits for its venue is a quarter of an hour.
_PATIENCE: Final = 40
# A look reads the whole store.
_EACH: Final = 6
_PERIODIC: Final = ("maintenance.sweep", "maintenance.follow_plans")
_serial = count(1)

#: Fault → (rule of the simulator, code that the job shows meanwhile).
TROUBLE: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "429": ({"action": "status", "status": 429, "retry_after": 7}, "rate-limited"),
    "418": ({"action": "status", "status": 418, "retry_after": 120}, "venue-banned"),
    "403 with a page": ({"action": "body", "body": "html", "status": 403}, "venue-unknown"),
    "500": ({"action": "error_before", "status": 500}, "venue-unknown"),
    "502 with a page": ({"action": "body", "body": "html", "status": 502}, "venue-unknown"),
    "503 afterwards": ({"action": "error_after", "status": 503}, "venue-unknown"),
    "no connection": ({"action": "refuse"}, "venue-unreachable"),
    "no reply": ({"action": "lose_reply"}, "venue-unreachable"),
    "timeout": ({"action": "delay", "ms": 2_500}, "venue-unreachable"),
    "a page in place of JSON": ({"action": "body", "body": "html"}, "bad-venue-answer"),
    "truncated JSON": ({"action": "body", "body": "truncated"}, "bad-venue-answer"),
    "nothing": ({"action": "body", "body": "empty"}, "bad-venue-answer"),
    "a key twice": ({"action": "body", "body": "duplicate_key"}, "bad-venue-answer"),
}
#: Body of an answer → what its first refused row is refused for.
ROWS: Final[dict[str, str]] = {
    "nan": "NaN",
    "doubled": "not above the one before",
    "shuffled": "not above the one before",
    "overlapping": "not above the one before",
}


class KilledError(BaseException):
    """The process is gone; nothing of it runs after this."""


class MidJob(Heard):
    """A bus by which something happens as soon as so many pages of bars are committed."""

    def __init__(self) -> None:
        super().__init__()
        self._left = 0
        self._strike: Callable[[], object] = lambda: None

    def after_pages(self, pages: int, strike: Callable[[], object]) -> None:
        """Let something happen then, once."""
        self._left, self._strike = pages, strike

    def publish(self, topic: str, body: Mapping[str, Any]) -> None:
        """Keep (topic, body), and strike if this was the page."""
        super().publish(topic, body)
        if self._left and topic.startswith("market.kline."):
            self._left -= 1
            if not self._left:
                self._strike()


class DataRehearsal:
    """One plan whose past is being filled.

    Args:
        here: an installation whose bus is a ``MidJob``.
        pages: of bars that its past has.

    Attributes:
        world: the checker; it has looked before anything went wrong.
        since: open time of the first bar that the plan wants.
        plan_id: of the plan.
        job_id: of the back-fill.
    """

    def __init__(
        self,
        here: Installation,
        symbol: str = SYMBOL,
        *,
        exchange: str = EXCHANGE,
        pages: int = 3,
    ) -> None:
        self.here, self.symbol, self.exchange = here, symbol, exchange
        here.parts.market_clock.refresh(exchange)
        self._ahead_ms = here.market_ms - here.clock.true_ms
        self.world = DataWorld(here.parts.units, here.venue, wall_ms=here.clock.true_ms)
        self.since = here.market_ms // MINUTE * MINUTE - pages * PAGE * MINUTE
        collection = here.parts.collection
        plan = collection.plans.create(
            f"rehearsal {next(_serial)}", exchange, [symbol], ["1m"], self.since
        )
        (job,) = collection.start(plan.id)
        self.plan_id, self.job_id = plan.id, job.id
        self.world.look()

    # -- time --------------------------------------------------------------------------------

    def strike(self, strike: Callable[[], object], *, after: int = 1) -> None:
        """Work on the back-fill; something happens once so many pages are stored."""
        assert isinstance(self.here.bus, MidJob)
        self.here.bus.after_pages(after, strike)
        self.here.settle()
        self.world.look()

    def minutes(self, number: int = 1, *, look: bool = True) -> None:
        """Let minutes pass, each up to the close of its bar and through what is periodic.

        Args:
            look: whether the checker looks, each of the first minutes and then now and then.
        """
        for minute in range(number):
            self.pass_minute(self.here.market_ms)
            for task in _PERIODIC:
                self.here.run(task)
            if look and (minute < _EACH or minute % _EACH == 0):
                self.world.look()

    def pass_minute(self, now: int) -> None:
        """Move both clocks to the close of the present bar; nothing is run by that."""
        self.here.market(by_ms=MINUTE - now % MINUTE)
        self.here.parts.market_clock.refresh(self.exchange)
        # Pauses that the budget made passed on the wall alone; the market catches up with them.
        behind = self.here.market_ms - self._ahead_ms - self.here.clock.true_ms
        self.here.clock.advance(max(0, behind))

    def until_done(self) -> JobRow:
        """Minutes until the back-fill has ended; the job."""
        for _ in range(_PATIENCE):
            if self.job().state not in LIVE:
                return self.job()
            self.minutes()
        raise AssertionError(f"the back-fill did not end: {self.job().error}")

    def restart(self) -> None:
        """All processes end and new ones start."""
        self.here.restart()
        self.world.units = self.here.parts.units

    # -- what is known -----------------------------------------------------------------------

    def job(self) -> JobRow:
        """The back-fill as it is in the record."""
        return self.here.parts.jobs.get(self.job_id)

    def spans(self) -> list[Span]:
        """What is known of each bar from the first wanted one to the last closed one."""
        with self.here.parts.units.read() as unit:
            series = unit.klines.find_series(self.exchange, self.symbol, "1m")
            spans = unit.coverage.spans(series.id) if series else []
        return account(spans, self.since, self.here.market_ms // MINUTE * MINUTE)

    def state_of(self, open_ts: int) -> CoverageState:
        """What is known of one bar."""
        (found,) = [span for span in self.spans() if span.start <= open_ts < span.end]
        return found.state

    def states(self) -> list[CoverageState]:
        """The states of the ranges, in their order; neighbours of one state are one."""
        found: list[CoverageState] = []
        for span in self.spans():
            if not found or found[-1] is not span.state:
                found.append(span.state)
        return found

    def assert_holds(self, *alarms: str) -> None:
        """D1 to D6 against the venue's record, and the world of the venue that is traded at.

        Args:
            alarms: kinds of those that the rehearsal had to raise.
        """
        self.world.look()
        found = self.world.breaches()
        if self.exchange == EXCHANGE:
            world = World(self.here.parts, self.here.venue, carried=True)
            found += world.breaches(expected=alarms)
        assert not found, "\n".join(map(str, found))
