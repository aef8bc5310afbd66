"""What the rehearsals of the full stack share: their marks, one stack for a file, a back-fill."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, groupby
from typing import Any, Final

import pytest

from app.core.market.coverage import CoverageState, Span, account
from app.models import JobRow
from tests.support.data_rehearsal import PAGE
from tests.support.faults import Stack, standing
from tests.support.installation import MINUTE, SYMBOL
from tests.support.parts import EXCHANGE
from tests.support.trader import BACK_S
from tests.support.waiting import until

MARKS: Final = [
    pytest.mark.faults,
    pytest.mark.broker,
    pytest.mark.mysql,
    pytest.mark.redis,
    pytest.mark.xdist_group("full-stack"),
    pytest.mark.timeout(600),
]
# A job whose worker or transaction died is taken over when its lease of 90 s has run out.
WHOLE_S: Final = 240.0
# A bar closes each minute; whoever brings it may have been started again.
BAR_S: Final = 150.0
#: Requests of bars, in every venue's dialect.
BARS: Final = "*/kline*"
#: Alarms of a venue, or a record, that was away.
AWAY: Final = ("account-not-comparable", "instrument-not-trading", "instrument-trading")
#: Pages that take longer than a second are stored one by one, so that there is a middle.
SLOW_MS: Final = 1_500
_serial = count(1)
Said = Callable[[str], None]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The processes and servers, standing; one stack for each file of rehearsals."""
    with standing(tmp_path_factory.mktemp("stack")) as made:
        yield made


def collecting(stack: Stack) -> list[str]:
    """Jobs of a back-fill that has begun."""
    jobs = stack.collect()
    until(lambda: stack.states_of(jobs) != {"queued"}, BACK_S, "the back-fill has begun")
    return jobs


def until_whole(stack: Stack, jobs: list[str]) -> None:
    """Wait until every job of a back-fill has succeeded; none may fail."""

    def done() -> bool:
        states = stack.states_of(jobs)
        assert "failed" not in states
        return states == {"succeeded"}

    until(done, WHOLE_S, "the back-fill is whole")


def newest(stack: Stack, symbol: str = SYMBOL) -> int:
    """Open time of the last bar that is stored."""
    with stack.parts.units.read() as unit:
        series = unit.klines.find_series(EXCHANGE, symbol, "1m")
        bounds = unit.klines.bounds(series.id) if series is not None else None
    return 0 if bounds is None else bounds[1]


def next_bar(stack: Stack, symbol: str = SYMBOL) -> float:
    """Wait until one more bar is stored; seconds."""
    last, begun = newest(stack, symbol), time.monotonic()
    until(lambda: newest(stack, symbol) > last, BAR_S, f"the next bar of {symbol} is stored")
    return time.monotonic() - begun


class BackFill:
    """A back-fill of one symbol at a slow venue, in whose middle something happens.

    It is in its middle when it is made: one page is stored, and others are to come.

    Args:
        pages: of bars that its past has.

    Attributes:
        since: open time of the first bar that is wanted.
        job_id: of the back-fill.
    """

    def __init__(
        self, stack: Stack, symbol: str, *, exchange: str = EXCHANGE, pages: int = 4
    ) -> None:
        self.stack, self.symbol, self.exchange = stack, symbol, exchange
        self._alarms_after = stack.last_alarm()
        stack.control.clear_faults()  # of one that failed
        stack.control.add_fault(action="delay", path=BARS, ms=SLOW_MS)
        self.since = self.market_minute() - pages * PAGE * MINUTE
        collection = stack.parts.collection
        plan = collection.plans.create(
            f"rehearsal {next(_serial)}", exchange, [symbol], ["1m"], self.since
        )
        (job,) = collection.start(plan.id)
        self.job_id = job.id
        self.one_more_page()
        stack.data.look()

    # -- meanwhile ---------------------------------------------------------------------------

    def market_minute(self) -> int:
        """Open time of the venue's present bar."""
        return self.stack.control.market_ms // MINUTE * MINUTE

    @contextmanager
    def fault(self, **rule: Any) -> Iterator[None]:
        """Requests of bars go wrong in the block."""
        rule_id = self.stack.control.add_fault(path=BARS, **rule)
        try:
            yield
        finally:
            self.stack.control.remove_fault(rule_id)

    def one_more_page(self) -> None:
        """Wait until one more page is stored; some must be left then."""
        known = self.pages()
        until(lambda: self.pages() > known, BACK_S, "one more page is stored")
        assert self.job().state in ("running", "queued"), "the fault comes in mid-job"

    def until_put_off(self, *codes: str) -> None:
        """Wait until the job waits for one of these reasons."""
        until(lambda: (self.job().error or {}).get("code") in codes, BACK_S, f"it waits: {codes}")

    def finish(self) -> JobRow:
        """The venue is well; wait for the end of the job."""
        self.stack.control.clear_faults()
        until_whole(self.stack, [self.job_id])
        return self.job()

    def assert_holds(self, *alarms: str) -> None:
        """D1 to D6, and the rest of the world.

        Args:
            alarms: kinds of those that the rehearsal had to raise.
        """
        self.stack.check_world(since=self._alarms_after, expected=alarms)

    # -- what is known -----------------------------------------------------------------------

    def job(self) -> JobRow:
        """The back-fill as it is in the record."""
        return self.stack.parts.jobs.get(self.job_id)

    def pages(self) -> int:
        """How many pages are stored."""
        return int((self.job().progress or {}).get("slices_done", 0))

    def next_bar(self) -> float:
        """Wait until the bar that is open now has closed and is stored; seconds."""
        live, begun = self.market_minute(), time.monotonic()
        until(
            lambda: self.span_of(live).state is CoverageState.PRESENT,
            BAR_S,
            f"the live bar of {self.symbol} is stored",
        )
        return time.monotonic() - begun

    def spans(self) -> list[Span]:
        """What is known of each bar from the first wanted one to the last closed one."""
        return self._known(self.since, self.market_minute())

    def states(self) -> list[CoverageState]:
        """The states of the ranges, in their order; neighbours of one state are one."""
        return [state for state, _ in groupby(span.state for span in self.spans())]

    def until_states(self, *states: CoverageState) -> None:
        """Wait until these are the states of the ranges."""
        until(lambda: self.states() == [*states], BAR_S, f"it is {', '.join(states)}")

    def span_of(self, open_ts: int) -> Span:
        """What is known of one bar."""
        (found,) = self._known(open_ts, open_ts + MINUTE)
        return found

    def until_seen_as(self, state: CoverageState, *open_times: int) -> None:
        """Wait until somebody has looked at bars, and found them so."""

        def seen(open_ts: int) -> bool:
            span = self.span_of(open_ts)
            return span.state is state and bool(span.proof or state is CoverageState.PRESENT)

        # That a bar which is still open was left out shows when it and the next one have closed.
        until(lambda: all(map(seen, open_times)), 2 * BAR_S, f"bars of {open_times} are {state}")

    def _known(self, start: int, end: int) -> list[Span]:
        with self.stack.parts.units.read() as unit:
            series = unit.klines.find_series(self.exchange, self.symbol, "1m")
            spans = unit.coverage.spans(series.id) if series else []
        return account(spans, start, end)
