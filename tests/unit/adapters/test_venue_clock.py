"""A venue's wall clock: measured now and then, and carried on whatever happens to ours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.adapters.market_clock import WallTime
from app.adapters.venue_clock import MeasuredClock
from app.core.errors import TidemarkError, Unavailable
from app.core.exchanges.errors import VenueUnreachable
from tests.support.record import ManualClock

HOUR_MS = 3_600_000


class Venue:
    """Answers the time; each answer takes a while, and it reads its clock half way.

    Attributes:
        ahead_ms: its clock less ours.
        answer_ms: how long an answer takes.
        away: it does not answer.
    """

    def __init__(self) -> None:
        self.ours = ManualClock()
        self.ahead_ms = 0
        self.answer_ms = 0
        self.away = False
        self.asked = 0
        self.clock = MeasuredClock("binance", self.ours, self._ask)

    def _ask(self) -> int:
        self.asked += 1
        if self.away:
            raise VenueUnreachable("binance", "no whole answer came")
        self.ours.advance(self.answer_ms)
        return self.time - self.answer_ms // 2

    @property
    def time(self) -> int:
        """What its clock shows."""
        return self.ours.true_ms + self.ahead_ms


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.mark.parametrize("ahead_ms", [5_000, -5_000])
def test_its_time_is_known_to_half_of_what_an_answer_takes(venue: Venue, ahead_ms: int) -> None:
    venue.ahead_ms, venue.answer_ms = ahead_ms, 200
    venue.clock.synchronise(1_000)
    assert venue.clock.now_ms() == venue.time
    skew = venue.clock.skew()
    assert skew is not None
    assert (skew.ms, skew.error_ms) == (ahead_ms, 100)


@pytest.mark.parametrize("step_ms", [-HOUR_MS, HOUR_MS, -700])
def test_a_step_of_our_clock_moves_nothing_and_is_followed_by_a_question(
    venue: Venue, step_ms: int
) -> None:
    venue.clock.synchronise(100)
    venue.ours.step(step_ms)
    venue.ours.advance(3_000)
    assert venue.clock.now_ms() == venue.time
    venue.clock.synchronise(100)
    assert venue.asked == 2
    skew = venue.clock.skew()
    assert skew is not None
    assert skew.ms == -step_ms


def test_after_our_machine_slept_its_clock_is_not_believed_until_it_was_asked(
    venue: Venue,
) -> None:
    venue.clock.synchronise(100)
    venue.ours.now += HOUR_MS  # the monotonic clock of a sleeping machine stands still
    venue.away = True
    with pytest.raises(VenueUnreachable):
        venue.clock.synchronise(100)
    venue.away = False
    venue.ours.advance(1_000)
    venue.clock.synchronise(100)
    assert venue.clock.now_ms() == venue.time


def test_it_is_asked_every_ten_minutes_and_a_failure_then_changes_nothing(venue: Venue) -> None:
    venue.clock.synchronise(1_000)
    venue.ours.advance(599_000)
    venue.clock.synchronise(1_000)
    assert venue.asked == 1
    venue.away = True
    venue.ours.advance(2_000)
    venue.clock.synchronise(1_000)
    assert venue.asked == 2
    assert venue.clock.now_ms() == venue.time
    # An hour and three quarters later the quartz may have drifted by too much.
    venue.ours.advance(10_000_000)
    with pytest.raises(VenueUnreachable):
        venue.clock.synchronise(1_000)


def test_answers_that_take_too_long_tell_the_time_too_badly_to_sign_by(venue: Venue) -> None:
    venue.answer_ms = 3_000
    with pytest.raises(Unavailable, match="no better than 1500 ms, and 1000 ms are needed"):
        venue.clock.synchronise(1_000)
    venue.clock.synchronise(2_500)
    venue.answer_ms = 100
    venue.clock.synchronise(1_000)
    assert venue.clock.now_ms() == venue.time


def test_a_refused_timestamp_is_a_reason_to_ask_and_not_to_fall_back_on_our_own(
    venue: Venue,
) -> None:
    venue.ahead_ms = 5_000
    venue.clock.synchronise(1_000)
    venue.clock.refresh()
    assert venue.clock.now_ms() == venue.time
    venue.clock.synchronise(1_000)
    assert venue.asked == 2


def test_many_who_need_the_time_of_a_venue_that_is_away_ask_once(venue: Venue) -> None:
    venue.away = True

    def tried(_: int) -> str:
        with pytest.raises(TidemarkError) as caught:
            venue.clock.synchronise(1_000)
        return type(caught.value).__name__

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(tried, range(8))) == {"VenueUnreachable"}
    assert venue.asked == 1


def test_market_time_goes_on_by_our_clock_until_the_venue_has_answered(venue: Venue) -> None:
    venue.ahead_ms = 700
    venue.away = True
    market = WallTime(venue.clock)
    assert market.now_ms() == venue.ours.now_ms()
    venue.away = False
    venue.ours.advance(1_000)
    assert market.now_ms() == venue.time
