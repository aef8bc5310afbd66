"""A venue that answers with its newest rows is read from the first row that there is."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from app.core.exchanges.markets.newest_first import Bar, NewestFirstMarket, Series
from app.core.exchanges.session import VenueSession
from app.core.market.features import MarketFeatures
from app.core.market.intervals import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS
from app.core.market.klines import KlineRow
from app.core.market.points import FundingRate
from app.core.money import ONE
from tests.support.record import START_MS

T = START_MS
PAGE = 100


class Nowhere:
    """A session of a venue that is never spoken to."""

    exchange = "elsewhere"


class Venue(NewestFirstMarket):
    """Trades at some minutes; bars of every length follow from them.

    Args:
        kept_from: the venue has thrown away the bars of a minute that are older.
    """

    features = MarketFeatures(frozenset(INTERVALS), page=PAGE)
    funding_page = PAGE

    def __init__(self, minutes: Sequence[int], kept_from: int = 0) -> None:
        super().__init__(cast(VenueSession, Nowhere()))
        self.minutes = sorted(minutes)
        self.kept_from = kept_from
        self.asked = 0

    def page_of(self, series: Series, start: int) -> int:
        del series, start
        return PAGE

    def window(self, series: Series, start: int, end: int) -> list[Bar]:
        self.asked += 1
        floor = series.interval.floor
        low = bisect_left(self.minutes, start)
        high = bisect_left(self.minutes, series.interval.next(floor(end - 1)))
        opens = sorted({floor(minute) for minute in self.minutes[low:high]})
        if series.interval.name == "1m":
            opens = [ts for ts in opens if ts >= self.kept_from]
        shown = [ts for ts in opens if start <= ts < end]
        assert len(shown) <= PAGE, "a window is never wider than a page"
        return [Bar(KlineRow(ts, ONE, ONE, ONE, ONE, ONE)) for ts in shown]

    def payments(self, symbol: str, start: int, end: int) -> list[FundingRate]:
        self.asked += 1
        shown = [ts for ts in self.minutes if start <= ts < end]
        return [FundingRate(ts, ONE) for ts in shown[-PAGE:]]

    instruments = ticker = turnover = order_book = server_time_ms = cast(Any, None)

    def native_id(self, symbol: str) -> str:
        return symbol


class Hollow(Venue):
    """A venue that has longer bars of minutes which it does not give.

    Args:
        given: the minutes that it gives.
    """

    def __init__(self, minutes: Sequence[int], given: set[int]) -> None:
        super().__init__(minutes)
        self.given = given

    def window(self, series: Series, start: int, end: int) -> list[Bar]:
        bars = super().window(series, start, end)
        if series.interval.name != "1m":
            return bars
        return [bar for bar in bars if bar.row.open_ts in self.given]


def opens(venue: Venue, start: int, end: int, limit: int) -> list[int]:
    return [row.open_ts for row in venue.klines("BTC/USDT", "1m", start, end, limit)]


minutes = st.lists(
    st.integers(0, 4 * 365 * 1440).map(lambda minute: T + minute * MINUTE_MS),
    max_size=60,
    unique=True,
)


@given(
    minutes=minutes,
    start=st.integers(T - 400 * DAY_MS, T + 4 * 365 * DAY_MS),
    length=st.integers(0, 5 * 365 * 1440).map(lambda minute: minute * MINUTE_MS),
    limit=st.integers(1, 1000),
)
@example(minutes=[T + 3 * 365 * DAY_MS + 59 * MINUTE_MS], start=0, length=T + 10**12, limit=1)
def test_bars_come_from_the_first_on_whatever_lies_before(
    minutes: list[int], start: int, length: int, limit: int
) -> None:
    venue = Venue(minutes)
    expected = [ts for ts in venue.minutes if start <= ts < start + length]
    found = opens(venue, start, start + length, limit)
    assert found == expected[: len(found)]
    assert len(found) <= min(limit, PAGE)
    assert bool(found) == bool(expected)
    assert venue.asked < 40


def test_a_full_page_takes_one_request() -> None:
    venue = Venue([T + n * MINUTE_MS for n in range(500)])
    assert opens(venue, T, T + DAY_MS, 1000) == venue.minutes[:PAGE]
    assert venue.asked == 1


def test_bars_that_the_venue_threw_away_are_searched_for_by_halves() -> None:
    everything = [T + n * MINUTE_MS for n in range(300 * 1440)]
    kept_from = T + 250 * DAY_MS + 7 * MINUTE_MS
    venue = Venue(everything, kept_from)
    found = opens(venue, T, T + 300 * DAY_MS, PAGE)
    assert found[0] == kept_from
    assert venue.asked < 40


def test_from_a_bar_on_the_next_one_comes_however_far_away_it_is() -> None:
    """Both sides of a gap in one answer: four months of minutes lie between them."""
    venue = Venue([T, T + 120 * DAY_MS, T + 121 * DAY_MS])
    found = opens(venue, T, T + 120 * DAY_MS + MINUTE_MS, PAGE)
    assert found == [T, T + 120 * DAY_MS]
    assert venue.asked <= 10


def test_after_a_bar_that_the_venue_has_none_is_searched_for_by_halves() -> None:
    """It has hours without their minutes, and one minute among these, which a half would miss."""
    alone = T + 10 * DAY_MS
    venue = Hollow([T, *(T + n * HOUR_MS for n in range(5, 480)), alone], {T, alone})
    found = opens(venue, T, T + 20 * DAY_MS, PAGE)
    assert found == [T, alone]


@given(
    hours=st.lists(st.integers(0, 3 * 365 * 24), max_size=400, unique=True),
    since=st.integers(-400, 3 * 365 * 24),
    limit=st.integers(1, 500),
)
def test_payments_come_from_the_first_on_too(hours: list[int], since: int, limit: int) -> None:
    venue = Venue([T + hour * HOUR_MS for hour in hours])
    start, end = T + since * HOUR_MS, T + 4 * 365 * DAY_MS
    found = [rate.ts for rate in venue.funding_rates("BTC/USDT:USDT", start, end, limit)]
    assert found == [ts for ts in venue.minutes if ts >= start][:limit]
