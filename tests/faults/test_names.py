"""Row 74: a name server that swallows. A question that was never asked proves nothing.

Hummingbot took six accepted orders for failed in a DNS outage and was short without knowing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.adapters.market_clock import SimulatorTime, VenueClocks
from app.core.orders.state import FINAL
from app.core.orders.types import OrderStatus
from app.models import AccountRow, OrderRow
from tests.faults.swallowed_names import swallowed_calls
from tests.support.installation import EXCHANGE, Installation, installed
from tests.support.names import NAME, SwallowingResolver
from tests.support.simulator import SimulatorProcess
from tests.support.stories import STRATEGIES
from tests.support.waiting import until
from tests.support.world import World

RECV_WINDOW_MS = 2_000


class Killed(BaseException):
    """The sender dies here."""


@pytest.mark.slow
def test_every_call_to_the_real_venue_ends_in_not_reached_and_none_in_not_found() -> None:
    """The machine's own resolver and a name server that never answers: one lookup each."""
    calls = swallowed_calls()
    assert len(calls) == 5
    assert {ended for ended, _ in calls.values()} == {"VenueUnreachable"}
    assert all(seconds < 5 for _, seconds in calls.values()), calls


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatorProcess]:
    """A simulated exchange that its clients find by name."""
    with SimulatorProcess(seed=7, weight_limit=0, spread_bps=0) as process:
        process.url = process.url.replace("127.0.0.1", NAME)
        yield process


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, refused_hosts: list[str]) -> SwallowingResolver:
    """Beneath it is the guard of the whole suite, which lets nobody leave loopback."""
    return SwallowingResolver(monkeypatch)


@pytest.fixture
def desk(
    exchange: SimulatorProcess, tmp_path: Path, names: SwallowingResolver
) -> Iterator[Installation]:
    with installed(exchange, tmp_path, strategies=STRATEGIES) as installation:
        yield installation


def keep_time(here: Installation) -> None:
    """As at a real venue, whose time is this machine's clock, the time needs no name."""
    url = here.simulator.url.replace(NAME, "127.0.0.1")
    clocks = VenueClocks({EXCHANGE: SimulatorTime(url, here.parts.clock)})
    here.parts.__dict__["market_clock"] = clocks


def sound(here: Installation, *expected: str) -> bool:
    return World(here.parts, here.venue, carried=True).breaches(expected=expected) == []


def dies(here: Installation, account: AccountRow, step: str, *order: str) -> OrderRow:
    """An order whose sender dies at a step of the protocol."""

    def reached(at: str) -> None:
        if at == step:
            raise Killed

    _, row = here.submit(account, *order)
    assert row is not None
    here.checkpoint = reached
    with pytest.raises(Killed):
        here.parts.sender.send(row.order_id)
    here.checkpoint = lambda _step: None
    here.queue.waiting.clear()
    return row


def unanswered(here: Installation, account: AccountRow, *order: str) -> OrderRow:
    """An order that the venue took, and whose answer was lost."""
    here.venue.add_fault(
        action="lose_reply", method="POST", path="/api/v3/order", count=1,
        account=here.venue_name(account),
    )  # fmt: skip
    _, row = here.submit(account, *order)
    assert row is not None
    assert here.parts.sender.send(row.order_id) == OrderStatus.UNKNOWN
    here.queue.waiting.clear()
    return row


def six_live_orders(here: Installation, account: AccountRow) -> dict[str, OrderRow]:
    """Six that the venue may know, by what they are, and one that waits to be sent."""
    low = here.away("buy")
    _, waiting = here.submit(account, "buy", "0.01", low)
    assert waiting is not None
    here.queue.waiting.clear()
    unwanted = here.order(account, "buy", "0.01", low)
    orders = {
        "rests": here.order(account, "buy", "0.01", low),
        "unknown, rests": unanswered(here, account, "buy", "0.01", low),
        "unknown, filled": unanswered(here, account, "buy", "0.01"),
        "sent, filled": dies(here, account, "after_send", "buy", "0.01"),
        "claimed, never sent": dies(here, account, "after_claim", "buy", "0.01", low),
        "to be cancelled": unwanted,
    }
    here.parts.canceller.request(unwanted.order_id)
    here.queue.waiting.clear()
    return {**orders, "waiting": waiting}


def test_six_live_orders_outlive_an_outage_of_the_names_untouched(
    desk: Installation, names: SwallowingResolver
) -> None:
    """The desk is restarted into the outage, so that no connection of before helps it."""
    here = desk
    account = here.account(USDT="20000")
    here.sync(account)
    orders = six_live_orders(here, account)
    before = {name: here.row(row).status for name, row in orders.items()}
    assert not set(before.values()) & FINAL
    free, locked = here.balance(account, "USDT")

    names.swallow()
    here.restart()
    keep_time(here)
    asked = len(here.venue.requests())
    for _ in range(20):
        here.wait(15_000)
        here.sync(account)
        now = {name: here.row(row) for name, row in orders.items()}
        assert not {row.status for row in now.values()} & FINAL
        assert here.balance(account, "USDT") == (free, locked)
    assert names.refused > 60
    assert len(here.venue.requests()) == asked, "nothing reached the venue"
    assert now["rests"].status == OrderStatus.ACKNOWLEDGED
    assert now["waiting"].status == OrderStatus.NEW
    for name in ("unknown, rests", "unknown, filled", "sent, filled", "claimed, never sent"):
        assert now[name].status == OrderStatus.UNKNOWN
        assert now[name].reason == "binance: no connection, its name was not found"
    decision, _ = here.submit(account, "buy", "0.01")
    assert decision.reason.startswith("PRICE_"), "without a price nothing new is begun"

    names.answer()
    for _ in range(6):
        here.wait(5_000)
        here.sync(account)
    ended = {name: here.row(row).status for name, row in orders.items()}
    assert ended == {
        "rests": OrderStatus.ACKNOWLEDGED,
        "unknown, rests": OrderStatus.ACKNOWLEDGED,
        "unknown, filled": OrderStatus.FILLED,
        "sent, filled": OrderStatus.FILLED,
        "claimed, never sent": OrderStatus.ACKNOWLEDGED,
        "to be cancelled": OrderStatus.CANCELLED,
        "waiting": OrderStatus.ACKNOWLEDGED,
    }
    assert sound(here, "account-not-comparable", "denied")


def test_a_send_that_hangs_in_its_lookup_is_fenced_when_it_comes_free(
    desk: Installation, names: SwallowingResolver
) -> None:
    """The C library waits for name servers as long as it likes, after the claim too."""
    here = desk
    account = here.account(USDT="5000")
    here.sync(account)
    _, order = here.submit(account, "buy", "0.01", here.away("buy"))
    assert order is not None
    here.queue.waiting.clear()
    here.catch_up()

    def venue_ms() -> Any:
        return here.venue.clock()["wall_ms"]

    with ThreadPoolExecutor(1) as other:
        # A thread of its own has no connection yet, and looks the name up after its claim.
        here.checkpoint = lambda step: names.swallow(60) if step == "after_claim" else None
        sent = other.submit(here.parts.sender.send, order.order_id)
        until(names.waiting.is_set, what="the send waits for a name")
        assert here.row(order).status == OrderStatus.SENDING
        hung = venue_ms()
        until(lambda: venue_ms() - hung > RECV_WINDOW_MS + 100, what="its window is over")
        names.answer()
        assert sent.result(30) == OrderStatus.NEW
    assert here.at_venue(account) == []
    here.checkpoint = lambda _step: None
    here.wait(2_000)
    assert here.row(order).status == OrderStatus.ACKNOWLEDGED
    assert len(here.at_venue(account)) == 1
    assert sound(here)
