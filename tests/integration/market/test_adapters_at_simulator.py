"""The adapters at the simulated exchange: the protocol as it is really spoken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import pytest

from app.adapters.budget import InProcessBudget
from app.adapters.clock import SystemClock
from app.adapters.market_clock import SimulatorTime
from app.core.exchanges.errors import (
    BadVenueAnswer,
    OrderNotKnown,
    RateLimited,
    VenueBanned,
    VenueError,
    VenueRejected,
    VenueRetryLater,
    VenueUnknown,
    VenueUnreachable,
)
from app.core.exchanges.factory import market_adapter
from app.core.exchanges.trading import trade_adapter
from app.core.market.instruments import InstrumentStatus
from app.core.orders.types import (
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from tests.integration.market.venue import NoBans
from tests.support.simulator import SimulatorProcess

D = Decimal
SYMBOL = "BTC/USDT"
MINUTE = 60_000
ORDER = "/api/v3/order"


class World:
    """A simulator, an account on it, and our adapters."""

    def __init__(self) -> None:
        self.simulator = SimulatorProcess(seed=7, start="2026-02-01T00:00:00Z")

    def __enter__(self) -> Self:
        self.simulator.start()
        self.control = self.simulator.control
        self.clock = SystemClock()
        account = self.control.create_account("alice", {"USDT": "100000"})
        keys = {"apiKey": account.api_key, "secret": account.api_secret}
        budget = InProcessBudget(self.clock, NoBans())
        url = self.simulator.url
        self.market = market_adapter("binance", budget, self.clock, base_url=url)
        self.trade = trade_adapter("binance", keys, budget, self.clock, base_url=url)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.simulator.stop()

    def order(self, identity: str, **changed: Any) -> OrderRequest:
        """A market order for 0.01 BTC, with a timestamp of now."""
        request = OrderRequest(
            symbol=SYMBOL,
            side=Side.BUY,
            type=OrderType.MARKET,
            quantity=D("0.01"),
            client_order_id=identity,
            timestamp_ms=self.clock.now_ms(),
            recv_window_ms=5_000,
        )
        return replace(request, **changed)

    def far_below(self) -> Decimal:
        """A price that the market will not reach and the filters allow."""
        return (self.market.ticker(SYMBOL).price * D("0.7")).quantize(D(1))

    def held(self) -> dict[str, Decimal]:
        """Everything the account has, free and locked."""
        return {held.asset: held.free + held.locked for held in self.trade.get_balance()}


@pytest.fixture
def world() -> Iterator[World]:
    with World() as opened:
        yield opened


def test_market_data_at_market_time(world: World) -> None:
    now = world.control.market_ms
    listed = {found.symbol: found for found in world.market.instruments()}
    assert listed[SYMBOL].status is InstrumentStatus.TRADING
    assert (listed[SYMBOL].tick_size, listed[SYMBOL].step_size) == (D("0.01"), D("0.00001"))
    price = world.market.ticker(SYMBOL)
    assert price.timestamp == now == SimulatorTime(world.simulator.url, world.clock).now_ms()
    assert price.bid is not None
    assert price.ask is not None
    assert price.bid < price.ask
    book = world.market.order_book(SYMBOL, 5)
    assert (book.bids[0][0], book.asks[0][0]) == (price.bid, price.ask)
    rows = world.market.klines(SYMBOL, "1m", now - 10 * MINUTE, now, 1000)
    assert [row.open_ts for row in rows] == list(range(now - 10 * MINUTE, now, MINUTE))
    assert abs(world.market.server_time_ms() - world.clock.now_ms()) < 2_000


def test_a_market_order_fills_and_its_fills_pay_its_fee(world: World) -> None:
    before = world.held()
    response = world.trade.place_order(world.order("a1"))
    assert response.status is OrderStatus.FILLED
    assert sum(fill.quantity for fill in response.fills) == D("0.01")
    after = world.held()
    fees = sum(fill.fee for fill in response.fills if fill.fee_asset == "BTC")
    cost = sum(fill.price * fill.quantity for fill in response.fills)
    assert after["BTC"] == D("0.01") - fees
    assert abs(before["USDT"] - after["USDT"] - cost) < D("0.00000002")
    trades = world.trade.own_trades(SYMBOL, None)
    assert [replace(fill, is_maker=False) for fill in trades] == list(response.fills)
    assert world.trade.own_trades(SYMBOL, trades[-1].trade_id) == []
    assert world.trade.get_positions() == []


def test_a_limit_order_rests_is_found_and_is_cancelled(world: World) -> None:
    far = world.order("a1", type=OrderType.LIMIT, price=world.far_below())
    assert world.trade.place_order(far).status is OrderStatus.ACKNOWLEDGED
    (found,) = world.trade.open_orders()
    assert found == world.trade.open_orders(SYMBOL)[0]
    assert found.terms is not None
    assert (found.terms.type, found.terms.price) == (OrderType.LIMIT, far.price)
    assert replace(found, terms=None) == world.trade.get_order_status(SYMBOL, "a1")
    assert world.trade.cancel_order(SYMBOL, "a1").status is OrderStatus.CANCELLED
    assert world.trade.open_orders() == []
    with pytest.raises(OrderNotKnown):
        world.trade.cancel_order(SYMBOL, "a1")
    cancelled = world.trade.get_order_status(SYMBOL, "a1")
    assert cancelled is not None
    assert cancelled.status is OrderStatus.CANCELLED
    assert world.trade.get_order_status(SYMBOL, "never-sent") is None


def test_refusals_of_the_real_filters(world: World) -> None:
    for changed in (
        {"quantity": D("0.000000001")},
        {"quantity": D("0.00001")},  # notional
        {"quantity": D(5)},  # balance
        {"type": OrderType.LIMIT, "price": D("50000.001")},
        {"symbol": "NO/USDT"},
    ):
        with pytest.raises(VenueRejected) as refused:
            world.trade.place_order(world.order("a1", **changed))
        assert refused.value.venue_code is not None
    assert world.control.orders() == []


def test_an_immediate_order_that_finds_nothing_expires(world: World) -> None:
    wanted = world.order(
        "a1", type=OrderType.LIMIT, price=world.far_below(), time_in_force=TimeInForce.IOC
    )
    assert world.trade.place_order(wanted).status is OrderStatus.EXPIRED


def test_an_order_of_the_past_is_refused_and_may_be_sent_again(world: World) -> None:
    stale = world.order("a1", timestamp_ms=world.clock.now_ms() - 6_000)
    with pytest.raises(VenueRetryLater) as refused:
        world.trade.place_order(stale)
    assert refused.value.venue_code == "-1021"
    assert world.trade.place_order(world.order("a1")).status is OrderStatus.FILLED


def test_the_same_order_again_is_unknown_for_the_first_one_lives(world: World) -> None:
    far = world.order("a1", type=OrderType.LIMIT, price=world.far_below())
    world.trade.place_order(far)
    with pytest.raises(VenueUnknown) as refused:
        world.trade.place_order(far)
    assert refused.value.venue_code == "-2010"
    assert len(world.trade.open_orders(SYMBOL)) == 1


@pytest.mark.parametrize(
    ("fault", "expected", "lives"),
    [
        ({"action": "lose_reply"}, VenueUnreachable, True),
        ({"action": "error_after", "status": 503}, VenueUnknown, True),
        ({"action": "error_before", "status": 503}, VenueUnknown, False),
        ({"action": "status", "status": 429, "retry_after": 3}, RateLimited, False),
        ({"action": "status", "status": 418, "retry_after": 3}, VenueBanned, False),
        ({"action": "body", "body": "html"}, BadVenueAnswer, True),
        ({"action": "body", "body": "truncated"}, BadVenueAnswer, True),
        ({"action": "body", "body": "null_id"}, BadVenueAnswer, True),
        ({"action": "body", "body": "empty"}, BadVenueAnswer, True),
    ],
)
def test_whatever_happens_to_the_reply_the_order_is_sent_once(
    world: World, fault: dict[str, Any], expected: type[VenueError], lives: bool
) -> None:
    world.control.add_fault(method="POST", path=ORDER, **fault)
    with pytest.raises(expected):
        world.trade.place_order(world.order("a1"))
    assert len(world.control.requests(method="POST", path=ORDER)) == 1
    assert len(world.control.orders()) == int(lives)


@pytest.mark.parametrize("body", ["html", "truncated", "empty"])
def test_a_spoilt_answer_is_never_an_empty_one(world: World, body: str) -> None:
    far = world.order("a1", type=OrderType.LIMIT, price=world.far_below())
    world.trade.place_order(far)
    now = world.control.market_ms
    world.control.add_fault(action="body", body=body, path="/api/v3/*")
    asks: list[Callable[[], object]] = [
        world.trade.get_balance,
        lambda: world.trade.open_orders(SYMBOL),
        lambda: world.trade.own_trades(SYMBOL, None),
        lambda: world.trade.get_order_status(SYMBOL, "a1"),
        lambda: world.market.klines(SYMBOL, "1m", now - MINUTE, now, 10),
        lambda: world.market.ticker(SYMBOL),
        lambda: world.market.order_book(SYMBOL, 5),
        world.market.instruments,
        world.market.server_time_ms,
    ]
    for ask in asks:
        with pytest.raises(BadVenueAnswer):
            ask()


def test_a_stop_order_waits_for_its_price(world: World) -> None:
    world.trade.place_order(world.order("a1"))
    last = world.market.ticker(SYMBOL).price.quantize(D(1))
    stop = world.order(
        "a2",
        side=Side.SELL,
        type=OrderType.STOP_LIMIT,
        quantity=D("0.005"),
        stop_price=last - 5_000,
        price=last - 5_001,
    )
    assert world.trade.place_order(stop).status is OrderStatus.ACKNOWLEDGED
    assert [order.client_order_id for order in world.trade.open_orders(SYMBOL)] == ["a2"]
