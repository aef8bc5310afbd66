"""The full stack fills a plan's past and follows the market while a part of it stays away.

Beside ``test_full_stack.py``, where each part is killed and comes back at once, here parts are
gone for longer than a bar, or the venue refuses. Each rehearsal ends with every stored bar
compared with the venue's own record (D1 to D6), and with the rest of the world.
"""

from __future__ import annotations

import time

import pytest
import redis

from app.core.market.coverage import CoverageState, account
from tests.faults.full_stack import AWAY, BAR_S, MARKS, Said, collecting, next_bar, until_whole
from tests.support.faults import Stack
from tests.support.trader import BACK_S
from tests.support.waiting import until

pytestmark = MARKS
MINUTE = 60_000
KLINES = "/api/v3/klines"
OTHER = "ETH/USDT"
BAN_S = 40


def test_whoever_asks_the_venue_is_killed_at_once(stack: Stack, said: Said) -> None:
    since = stack.last_alarm()
    jobs = collecting(stack)
    for name in ("worker:collection", "streams", "beat"):
        stack.kill(name)
    took = next_bar(stack)
    until_whole(stack, jobs)
    stack.check_world(since=since)
    said(f"next bar {took:.0f} s after workers, streams and beat were killed")


@pytest.mark.parametrize("server", ["RabbitMQ", "Redis"])
def test_a_server_that_stays_away_for_longer_than_a_bar(
    stack: Stack, server: str, said: Said
) -> None:
    """Live bars are stored all the same: streams need the record and the venue alone."""
    since = stack.last_alarm()
    jobs = collecting(stack)
    gone = stack.services.rabbitmq if server == "RabbitMQ" else stack.services.redis
    gone.kill9()
    took = next_bar(stack)
    gone.start()
    until_whole(stack, jobs)
    next_bar(stack)
    stack.check_world(since=since)
    said(f"next bar {took:.0f} s after {server} was gone")


def test_a_cache_that_forgets_everything(stack: Stack) -> None:
    since = stack.last_alarm()
    jobs = collecting(stack)
    with redis.Redis.from_url(stack.services.redis.url) as client:
        client.flushall()
    next_bar(stack)
    until_whole(stack, jobs)
    stack.check_world(since=since)


def test_a_record_that_stays_away_for_longer_than_a_bar(stack: Stack, said: Said) -> None:
    since = stack.last_alarm()
    jobs = collecting(stack)
    begun = stack.control.market_ms
    with stack.data.blind():
        stack.services.mariadb.kill9()
        until(
            lambda: stack.control.market_ms // MINUTE > begun // MINUTE + 1,
            BAR_S,
            "a whole bar has passed",
        )
        stack.services.mariadb.start()
        stack.all_up()
    took = next_bar(stack)
    until_whole(stack, jobs)
    stack.check_world(since=since, expected=AWAY)
    said(f"next bar {took:.0f} s after the record was back")


def test_a_live_bar_that_the_venue_has_only_later(stack: Stack, said: Said) -> None:
    """The gap is known within two intervals and half a minute, and healed once it can be."""
    since = stack.last_alarm()
    jobs = collecting(stack)
    hole = (stack.control.market_ms // MINUTE + 1) * MINUTE
    stack.control.omit(OTHER, hole, hole + MINUTE)

    def is_in(state: CoverageState) -> bool:
        with stack.parts.units.read() as unit:
            series = unit.klines.find_series("binance", OTHER, "1m")
            assert series is not None
            (span,) = account(unit.coverage.spans(series.id), hole, hole + MINUTE)
        return span.state is state and bool(span.proof or state is CoverageState.PRESENT)

    until(lambda: is_in(CoverageState.PENDING), 2 * BAR_S, "the gap is known")
    noticed = (stack.control.market_ms - hole - MINUTE) / 1000
    stack.control.restore(OTHER)
    until(lambda: is_in(CoverageState.PRESENT), BAR_S, "the gap is healed")
    until_whole(stack, jobs)
    stack.check_world(since=since)
    said(f"noticed {noticed:.0f} s after its close (at most 150)")


def test_a_venue_that_is_out_of_service(stack: Stack, said: Said) -> None:
    since = stack.last_alarm()
    jobs = collecting(stack)
    begun = stack.control.market_ms
    with stack.data.blind():
        stack.control.maintain("all")
        until(
            lambda: stack.control.market_ms // MINUTE > begun // MINUTE + 1,
            BAR_S,
            "a whole bar has passed",
        )
        stack.control.maintain("none")
    took = next_bar(stack)
    until_whole(stack, jobs)
    stack.check_world(since=since, expected=AWAY)
    said(f"next bar {took:.0f} s after the venue was back")


def test_a_ban_stops_every_process_to_its_end(stack: Stack, said: Said) -> None:
    """The last one: a venue that has banned us is asked politely for a day."""
    since = stack.last_alarm()
    jobs = collecting(stack)
    with stack.data.blind():
        stack.control.add_fault(
            action="status", status=418, retry_after=BAN_S, path=KLINES, count=1
        )
        until(lambda: stack.control.requests(status=418), BACK_S, "the venue has banned us")
        (struck,) = stack.control.requests(status=418)
        over = struck["wall_ms"] + BAN_S * 1000
        # What had left before the answer came may still arrive.
        until(lambda: time.time() * 1000 > over, BAN_S + 10, "the ban is over")
        asked = stack.control.requests(since_seq=struck["seq"], transport="rest")
        early = [each for each in asked if struck["wall_ms"] + 1_000 < each["wall_ms"] < over]
        assert early == []
        took = next_bar(stack)
    until_whole(stack, jobs)
    stack.check_world(since=since, expected=AWAY)
    said(f"next bar {took:.0f} s after the ban was over")
