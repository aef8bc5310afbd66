"""How a venue tells of a bar without a trade, and when a market is silent for good."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.market.activity import (
    Activity,
    DayActivity,
    Silence,
    silence_of,
    summed,
)
from app.core.market.character import (
    Absence,
    Absences,
    Character,
    absences_of,
    absences_together,
    character_of,
    no_trade_share,
)
from app.core.market.coverage import CoverageState, Span
from app.core.market.files.columns import KlineColumns, made
from app.core.market.files.findings import idle_runs
from app.core.market.intervals import DAY_MS, HOUR_MS, MINUTE_MS, Interval, interval
from tests.support.activity import activity_of_bars

M = MINUTE_MS
# 2026-03-01T00:00Z
T = 1_772_323_200_000
ONE_MINUTE, ONE_HOUR = interval("1m"), interval("1h")
PRESENT, ABSENT = CoverageState.PRESENT, CoverageState.EXCHANGE_SIDE
PENDING = CoverageState.PENDING


def bars(
    volumes: dict[int, str], *, flat: bool = True, length: Interval = ONE_MINUTE
) -> KlineColumns:
    """Bars by their number, with a volume each; those without one are flat at 100."""
    times = np.array([T + number * length.length_ms for number in sorted(volumes)], dtype=np.int64)
    amounts = [volumes[number] for number in sorted(volumes)]
    high = ["100" if volume == "0" and flat else "101" for volume in amounts]
    rest = [["100"] * len(amounts)] * 2
    return made(times, [["100"] * len(amounts), high, *rest, amounts, [None] * len(amounts)],
                [None] * len(amounts))  # fmt: skip


# -- days -------------------------------------------------------------------------------------


def test_a_day_counts_its_runs_and_those_that_go_over_midnight() -> None:
    """Idle: the first 10 minutes, one at noon, the last 5; and 3 of the day after."""
    volumes = dict.fromkeys(range(1_440 + 60), "1")
    volumes |= dict.fromkeys([*range(10), 720, *range(1_435, 1_443)], "0")
    first, second = activity_of_bars(bars(volumes), ONE_MINUTE)
    assert first == DayActivity(T, 1_440, 16, 16, runs=3, longest=10, head=10, tail=5)
    assert second == DayActivity(T + DAY_MS, 60, 3, 3, runs=1, longest=3, head=3, tail=0)
    # Eight minutes around midnight are one run.
    assert summed([first, second]) == Activity(1_500, 19, 19, runs=3, longest=10)


@given(st.lists(st.sampled_from(["0", "0", "7", ""]), min_size=1, max_size=200), st.integers(0, 23))
def test_days_together_say_what_the_bars_say(told: list[str], begin: int) -> None:
    """Hours over days, some missing: the sums of days are those of the whole."""
    volumes = {begin + number: volume for number, volume in enumerate(told) if volume}
    columns = bars(volumes, length=ONE_HOUR)
    whole = [bars_ for *_, bars_ in idle_runs(columns, ONE_HOUR)]
    found = summed(activity_of_bars(columns, ONE_HOUR))
    assert (found.bars, found.idle) == (len(columns), sum(whole))
    assert (found.runs, found.longest) == (len(whole), max(whole, default=0))


def silent(day: int, price: str = "0.5", bars_: int = 1_440) -> DayActivity:
    tail = bars_ if bars_ == 1_440 else 0
    counts = {"runs": 1, "longest": bars_, "head": bars_, "tail": tail}
    return DayActivity(T + day * DAY_MS, bars_, bars_, bars_, **counts, price=Decimal(price))


def lively(day: int) -> DayActivity:
    return DayActivity(T + day * DAY_MS, 1_440, 1_439, 1_439, 2, 1_000, 1_000, 439)


def test_silence_is_whole_days_at_one_price_up_to_the_last_bar() -> None:
    days = [silent(0), lively(1), silent(2), silent(3)]
    assert silence_of(days) == Silence(T + 2 * DAY_MS, 2, Decimal("0.5"))
    # Today is not over, and has been silent so far.
    assert silence_of([*days, silent(4, bars_=60)]) == silence_of(days)
    assert silence_of([*days, lively(4)]) is None
    assert silence_of([*days, silent(4, "0.6")]) == Silence(T + 4 * DAY_MS, 1, Decimal("0.6"))
    assert silence_of([silent(0), silent(2)]) == Silence(T + 2 * DAY_MS, 1, Decimal("0.5"))
    assert silence_of([]) is None


def test_the_price_of_a_day_is_told_where_it_has_one_alone() -> None:
    (day,) = activity_of_bars(bars(dict.fromkeys(range(1_440), "0")), ONE_MINUTE)
    assert day.is_silent
    assert day.price == Decimal(100)
    (moving,) = activity_of_bars(bars(dict.fromkeys(range(1_440), "0"), flat=False), ONE_MINUTE)
    assert (moving.idle, moving.flat, moving.price, moving.is_silent) == (1_440, 0, None, False)


# -- gaps -------------------------------------------------------------------------------------


def test_a_gap_lies_between_stored_bars_and_is_proven_as_a_whole() -> None:
    def span(start: int, end: int, state: CoverageState) -> Span:
        return Span(T + start * M, T + end * M, state)

    spans = [
        span(-9, 0, CoverageState.BEFORE_LISTING),
        span(0, 10, PRESENT),
        span(10, 12, ABSENT),
        span(12, 20, PRESENT),
        span(20, 21, ABSENT),
        span(21, 23, PENDING),
        span(23, 30, PRESENT),
        # Nobody asked for three minutes.
        span(33, 40, PRESENT),
        span(40, 50, PENDING),
    ]
    found = absences_of(spans, ONE_MINUTE)
    assert found == [
        Absence(T + 10 * M, 2, is_proven=True),
        Absence(T + 20 * M, 3, is_proven=False),
        Absence(T + 30 * M, 3, is_proven=False),
    ]
    assert absences_together(found) == Absences(3, 8, 3, proven=2, left_out=2)


# -- the verdict ------------------------------------------------------------------------------


def gaps(count: int, bars_: int = 1, *, every: int = 60, proven: bool = True) -> list[Absence]:
    return [Absence(T + number * every * M, bars_, proven) for number in range(count)]


MONTH = 43_200


@pytest.mark.parametrize(
    ("told", "activity", "absent", "verdict"),
    [
        # A market at Binance.US: 43 of 100 minutes are flat bars without volume.
        ("filled minutes", Activity(30_240, 12_971, 12_971), [], Character.FILLS),
        ("omitted minutes", Activity(MONTH - 2_000), gaps(500, 4), Character.OMITS),
        ("a busy market", Activity(MONTH), [], Character.TRADES_ALWAYS),
        # Seven years of hours: four bars without volume beside 28 outages.
        ("outages", Activity(58_419, 4, 4), gaps(28, 5, every=2_000), Character.TRADES_ALWAYS),
        ("19 of a month is few", Activity(MONTH, 19, 19), gaps(19), Character.TRADES_ALWAYS),
        ("less than one in 1,000", Activity(MONTH, 40, 40), gaps(40), Character.TRADES_ALWAYS),
        ("filled, and outages", Activity(MONTH, 9_000, 9_000), gaps(30, 60), Character.FILLS),
        ("omitted, and some flat", Activity(MONTH, 60, 60), gaps(500, 4), Character.OMITS),
        # Twenty gaps in two hours of one day are one bad day.
        ("one bad day", Activity(10_000), gaps(30, 2, every=4), Character.TRADES_ALWAYS),
        ("long gaps", Activity(MONTH), gaps(60, 121, every=700), Character.TRADES_ALWAYS),
        ("gaps not proven", Activity(MONTH), gaps(500, proven=False), Character.UNKNOWN),
        ("too little", Activity(999), [], Character.UNKNOWN),
        ("nothing", Activity(), [], Character.UNKNOWN),
        # The mark price has no volume, and moves.
        ("no volume but moves", Activity(MONTH, MONTH, 0), [], Character.UNKNOWN),
    ],
)  # fmt: skip
def test_what_a_venue_does_with_a_bar_without_a_trade(
    told: str, activity: Activity, absent: list[Absence], verdict: Character
) -> None:
    days = max(1, activity.bars // 1_440)
    assert character_of(activity, absent, days) is verdict, told


def test_a_file_that_is_whole_would_prove_its_gaps() -> None:
    activity, absent = Activity(MONTH - 2_000), gaps(500, 4, proven=False)
    assert character_of(activity, absent, 30) is Character.UNKNOWN
    assert character_of(activity, absent, 30, all_proven=True) is Character.OMITS


def test_one_day_of_a_thin_market_is_judged_by_that_day() -> None:
    assert character_of(Activity(1_000), gaps(100, 2, every=10), 1) is Character.OMITS


def test_the_share_without_a_trade_counts_filled_and_left_out_bars_and_no_outage() -> None:
    absent = absences_together([*gaps(10, 2), Absence(T + DAY_MS, 600, is_proven=True)])
    assert no_trade_share(Activity(80, 30, 30), absent) == 0.5
    assert no_trade_share(Activity(), Absences()) is None


def test_hours_of_a_day_know_their_edges() -> None:
    """A day of hours is silent from its first to its last, as a day of minutes is."""
    (day,) = activity_of_bars(bars(dict.fromkeys(range(24), "0"), length=ONE_HOUR), ONE_HOUR)
    assert day.is_silent
    (part,) = activity_of_bars(bars(dict.fromkeys(range(23), "0"), length=ONE_HOUR), ONE_HOUR)
    assert (part.head, part.tail, part.is_silent) == (23, 0, False)
    assert HOUR_MS * 24 == DAY_MS
