"""The wall clock of every process of the full stack is set in mid-job.

The venue and the servers are other machines: their clocks stay right. A clock that is set forward
also lets the hour pass in which a gap is proven to be the venue's own, and a ban without an end.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.market.coverage import CoverageState
from app.core.market.looks import LOOKS_NEEDED
from tests.faults.full_stack import AWAY, BAR_S, MARKS, SLOW_MS, BackFill, Said
from tests.support.data_rehearsal import PAGE
from tests.support.faults import Stack, standing
from tests.support.installation import MINUTE
from tests.support.trader import BACK_S
from tests.support.waiting import until
from tests.support.wall import WallClock

pytestmark = MARKS
PRESENT, PENDING = CoverageState.PRESENT, CoverageState.PENDING
EXCHANGE_SIDE = CoverageState.EXCHANGE_SIDE
NEVER, BANS = "ADA/USDT", "ETH/BTC"
HOUR = 60 * MINUTE
#: How far the clock is set → the symbol whose past is filled then.
STEPS = {5_000: "SOL/USDT", -5_000: "BNB/USDT", HOUR: "XRP/USDT", -HOUR: "DOGE/USDT"}
# A clock that was ahead is set back when it is set right.
TOLD = ("clock-skew", "clock-agrees", "clock-set-back")
# A gap that was looked at three times is looked at again half an hour later.
AGAIN = 31 * MINUTE
# A venue that turns us away, and does not say for how long, is left alone for ten minutes.
BANNED = 11 * MINUTE


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> WallClock:
    """The clock of the processes."""
    return WallClock(tmp_path_factory.mktemp("wall") / "clock")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, wall: WallClock) -> Iterator[Stack]:
    """A stack by that clock."""
    with standing(tmp_path_factory.mktemp("stack"), wall=wall) as made:
        yield made


@pytest.mark.parametrize("step_ms", STEPS)
def test_a_clock_that_is_set_in_mid_job_changes_no_bar(
    stack: Stack, wall: WallClock, step_ms: int, said: Said
) -> None:
    """Bars close by the venue's clock; ours only says when to look again."""
    story = BackFill(stack, STEPS[step_ms], pages=6)
    wall.set(step_ms)
    took = story.next_bar()
    wall.set(0)
    story.finish()
    story.next_bar()
    story.until_states(PRESENT)
    story.assert_holds(*TOLD)
    said(f"clock set by {step_ms / 1000:.0f} s: next bar {took:.0f} s later")


def test_a_gap_that_never_heals_is_the_venues_own_after_an_hour(
    stack: Stack, wall: WallClock, said: Said
) -> None:
    story = BackFill(stack, NEVER, pages=5)
    old, live = story.since + (3 * PAGE + 500) * MINUTE, story.market_minute() + MINUTE
    stack.control.omit(NEVER, old, old + 10 * MINUTE)
    stack.control.omit(NEVER, live, live + MINUTE)
    story.until_seen_as(PENDING, old, live)
    done = story.finish()
    assert done.result is not None
    assert done.result["pending"] == 10, "the report says what the venue did not have"

    def looks() -> int:
        return min(int(story.span_of(opened).proof["looks"]) for opened in (old, live))

    for number, ahead_ms in enumerate((0, AGAIN, 2 * AGAIN), LOOKS_NEEDED):
        wall.set(ahead_ms)
        until(lambda number=number: looks() >= number, BAR_S, f"{number} looks at the gaps")
    wall.set(0)
    story.until_states(PRESENT, EXCHANGE_SIDE, PRESENT, EXCHANGE_SIDE, PRESENT)
    story.assert_holds(*TOLD)
    said(f"{looks()} looks at each gap")


def test_a_403_with_a_page_is_a_ban_of_ten_minutes(
    stack: Stack, wall: WallClock, said: Said
) -> None:
    """The last one: the clock is left ahead, for set back it would be in the ban again."""
    story = BackFill(stack, BANS, pages=5)
    with stack.data.blind():
        with story.fault(action="body", body="html", status=403, count=1):
            until(lambda: stack.control.requests(status=403), BACK_S, "the venue turns us away")
            story.until_put_off("venue-banned", "venue-unknown")
        (struck,) = stack.control.requests(status=403)
        over = stack.control.market_ms + MINUTE
        until(lambda: stack.control.market_ms > over, BAR_S, "a minute of the ban has passed")
        asked = stack.control.requests(since_seq=struck["seq"], transport="rest")
        # What had left before the answer came, which is slow, may still arrive.
        told = struck["wall_ms"] + 2 * SLOW_MS
        assert [each["path"] for each in asked if each["wall_ms"] > told] == []
        wall.set(BANNED)
        took = story.next_bar()
    story.finish()
    story.until_states(PRESENT)
    story.assert_holds(*TOLD, *AWAY)
    said(f"next bar {took:.0f} s after the ban was over")
