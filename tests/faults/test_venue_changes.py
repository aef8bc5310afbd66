"""Rows 30 and 31: in mid-run the venue changes filters, halts a symbol, or is out of service."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from app.core.market.instruments import InstrumentStatus
from app.core.market.klines import KlineData
from app.core.market.rounding import is_multiple
from app.core.orders.types import OrderStatus
from app.core.strategies.base import Answer, BaseStrategy
from app.models import AccountRow, InstrumentRevisionRow, OrderRow
from tests.support.installation import MINUTE, SYMBOL, Installation, installed
from tests.support.parts import EXCHANGE
from tests.support.simulator import SimulatorProcess
from tests.support.world import World

D = Decimal
ORDER = "/api/v3/order"
OLD = {"tick": "0.01", "step": "0.00001", "min_quantity": "0.00001", "min_notional": "5"}
FIVE_MINUTES_S = 300


class Trickle(BaseStrategy):
    """Buys a crooked amount on one bar, and offers all it has at a crooked price on the next."""

    def on_kline(self, kline: KlineData) -> Answer:
        """By turns."""
        self.state["bars"] = self.state.get("bars", 0) + 1
        if self.state["bars"] % 2:
            return self.buy("0.01234567")
        return self.sell(self.position(), "limit", limit=kline.close * 2 + 0.777)


@pytest.fixture
def here(exchange: SimulatorProcess, tmp_path: Path) -> Iterator[Installation]:
    """An installation that trades at a venue which comes back to its old rules at the end."""
    with installed(exchange, tmp_path, strategies={"trickle": Trickle}) as installation:
        yield installation
        exchange.control.maintain("none")
        exchange.control.change_instrument(SYMBOL, status="TRADING", **OLD)


def trading(here: Installation) -> tuple[AccountRow, Trading]:
    """A compared account with a running strategy."""
    account = here.account()
    here.sync(account)
    return account, Trading(here, account)


class Trading:
    """The strategy's side of a story."""

    def __init__(self, here: Installation, account: AccountRow) -> None:
        self._here = here
        self.row = here.instance(account, "trickle")

    def bar(self) -> OrderRow:
        """One more bar, and the order that the strategy answered it with."""
        known = {each.order_id for each in self._here.orders_of(self.row)}
        self._here.bars()
        (new,) = [each for each in self._here.orders_of(self.row) if each.order_id not in known]
        return new

    @property
    def held(self) -> Decimal:
        """What it owns."""
        position = self._here.position(self.row)
        return D(0) if position is None else position.quantity


def revisions(here: Installation) -> list[InstrumentRevisionRow]:
    with here.parts.units.read() as unit:
        return list(unit.instruments.revisions(EXCHANGE, SYMBOL))


def pass_time(here: Installation, seconds: int) -> None:
    """Some minutes of what is periodic, each task in its own slots."""
    for second in range(1, seconds + 1):
        here.clock.advance(1_000)
        here.run("maintenance.sweep")
        if second % 5 == 0:
            here.run("maintenance.sync_accounts")
        if second % 10 == 0:
            here.run("maintenance.follow_plans")
            here.run("maintenance.refresh_catalogues")


def assert_world_holds(here: Installation, account: AccountRow, *alarms: str) -> None:
    here.reconcile(account, times=2)
    assert World(here.parts, here.venue, carried=True).breaches(expected=alarms) == []


# -- 31: other filters -------------------------------------------------------------------------


def test_the_first_order_that_new_filters_refuse_brings_them_and_the_next_is_rounded_by_them(
    here: Installation,
) -> None:
    account, strategy = trading(here)
    assert strategy.bar().quantity == D("0.01234")
    new = {"tick": "1", "step": "0.001", "min_notional": "100"}
    here.venue.change_instrument(SYMBOL, **new)

    offer = strategy.bar()
    assert (offer.status, offer.filled_quantity) == (OrderStatus.REJECTED, 0)
    assert "-1013 Filter failure" in (offer.reason or "")
    known = here.parts.market_data.instrument(EXCHANGE, SYMBOL)
    assert (known.tick_size, known.step_size, known.min_notional) == (D(1), D("0.001"), D(100))
    (revision,) = revisions(here)
    assert revision.old == {
        "tick_size": "0.01", "step_size": "0.00001", "min_quantity": "0.00001", "min_notional": "5",
    }  # fmt: skip
    assert revision.new == {
        "tick_size": "1", "step_size": "0.001", "min_quantity": "0.001", "min_notional": "100",
    }  # fmt: skip
    (event,) = here.bus.on("system.instruments.")
    assert event["changes"] == [{"symbol": SYMBOL, "old": revision.old, "new": revision.new}]

    assert strategy.bar().quantity == D("0.012"), "down to the step"
    offer = strategy.bar()
    assert offer.status == OrderStatus.ACKNOWLEDGED
    assert is_multiple(offer.quantity, D("0.001"))
    assert offer.quantity <= strategy.held, "it sells what it owns at most, the dust stays"
    assert offer.price is not None
    assert is_multiple(offer.price, D(1))
    asked = here.price() * 2 + D("0.777")
    assert asked <= offer.price < asked + 1, "a sell is offered at the next tick above"

    decision, order = here.submit(account, "buy", "0.01", "40000.01")
    assert order is None
    assert decision.reason.startswith("PRICE_OFF_TICK")
    refused = here.venue.requests(path=ORDER, account=here.venue_name(account), code=-1013)
    assert len(refused) == 1
    assert_world_holds(here, account, "denied")


def test_new_filters_are_known_within_five_minutes_without_any_order(here: Installation) -> None:
    account, strategy = trading(here)
    resting = here.order(account, "buy", "0.01234", here.away("buy"))
    here.clock.advance(7_000)
    pass_time(here, 10)
    here.venue.change_instrument(SYMBOL, step="0.0001")
    waited = 0
    while here.parts.market_data.instrument(EXCHANGE, SYMBOL).step_size != D("0.0001"):
        pass_time(here, 10)
        waited += 10
        assert waited <= FIVE_MINUTES_S
    assert strategy.bar().quantity == D("0.0123")
    # What rests was taken by the old rules, and is cancelled as ever.
    here.parts.canceller.request(resting.order_id)
    here.settle()
    assert here.row(resting).status == OrderStatus.CANCELLED
    assert_world_holds(here, account)


def test_an_order_in_an_instrument_that_nobody_watches_brings_its_filters_too(
    here: Installation,
) -> None:
    account, _ = trading(here)
    here.venue.change_instrument("ETH/USDT", step="0.01")
    refused = here.order(account, "buy", "0.1234", symbol="ETH/USDT")
    assert refused.status == OrderStatus.REJECTED
    assert here.parts.market_data.instrument(EXCHANGE, "ETH/USDT").step_size == D("0.01")
    asked = here.venue.requests(path="/api/v3/exchangeInfo")
    assert asked[-1]["params"]["symbols"] == '["BTCUSDT","ETHUSDT"]'
    here.venue.change_instrument("ETH/USDT", step="0.0001", min_quantity="0.0001")
    assert_world_holds(here, account)


# -- 30: a halted symbol -----------------------------------------------------------------------


def test_a_symbol_that_stops_to_trade_is_denied_after_one_refusal_and_told_once(
    here: Installation,
) -> None:
    account, strategy = trading(here)
    strategy.bar()
    resting = here.order(account, "buy", "0.01", here.away("buy"))
    here.venue.change_instrument(SYMBOL, status="BREAK")

    offer = strategy.bar()
    assert offer.status == OrderStatus.REJECTED
    assert "-1013 Market is closed." in (offer.reason or "")
    known = here.parts.market_data.instrument(EXCHANGE, SYMBOL)
    assert known.status is InstrumentStatus.HALTED
    for _ in range(3):
        here.bars()
    decision, order = here.submit(account, "buy", "0.01")
    assert order is None
    assert decision.reason == "INSTRUMENT_NOT_TRADING: status=halted"
    assert len(here.orders_of(strategy.row)) == 2
    refused = here.venue.requests(path=ORDER, account=here.venue_name(account), code=-1013)
    assert len(refused) == 1
    pass_time(here, FIVE_MINUTES_S)
    (alarm,) = here.told("instrument-not-trading")
    assert alarm["symbols"] == [SYMBOL]

    # Orders may be taken back, and bars come as ever.
    here.parts.canceller.request(resting.order_id)
    here.settle()
    assert here.row(resting).status == OrderStatus.CANCELLED

    here.venue.change_instrument(SYMBOL, status="TRADING")
    pass_time(here, FIVE_MINUTES_S)
    assert len(here.told("instrument-trading")) == 1
    assert here.order(account, "buy", "0.01").status == OrderStatus.FILLED
    assert [each.new for each in revisions(here)] == [
        {"status": "halted"}, {"status": "trading"},
    ]  # fmt: skip
    told = ("denied", "instrument-not-trading", "instrument-trading")
    assert_world_holds(here, account, *told)


# -- 30: maintenance ---------------------------------------------------------------------------


def test_while_trading_is_out_of_service_cancels_are_kept_and_sent_when_it_is_back(
    here: Installation,
) -> None:
    account, strategy = trading(here)
    strategy.bar()
    resting = [here.order(account, "buy", f"0.0{n}", here.away("buy")) for n in (1, 2, 3)]
    here.venue.maintain("trading")
    refused = here.order(account, "buy", "0.04")
    assert refused.status == OrderStatus.REJECTED
    assert "Rest API trading is not enabled." in (refused.reason or "")
    decision, order = here.submit(account, "buy", "0.04")
    assert order is None
    assert decision.reason == "INSTRUMENT_NOT_TRADING: status=halted"
    for each in resting:
        here.parts.canceller.request(each.order_id)
    here.settle()
    last = here.venue.requests()[-1]["seq"]
    pass_time(here, FIVE_MINUTES_S)
    assert {here.row(each).status for each in resting} == {OrderStatus.PENDING_CANCEL}
    assert "trading is not enabled" in (here.row(resting[0]).reason or "")
    asked = here.venue.requests(method="DELETE", path=ORDER, since_seq=last)
    assert len(asked) <= 3 * FIVE_MINUTES_S / 4, "each about once in five seconds"
    assert len(here.told("instrument-not-trading")) == 1

    here.venue.maintain("none")
    pass_time(here, 10)
    assert {here.row(each).status for each in resting} == {OrderStatus.CANCELLED}
    pass_time(here, FIVE_MINUTES_S)
    assert here.order(account, "buy", "0.01").status == OrderStatus.FILLED
    told = ("denied", "instrument-not-trading", "instrument-trading")
    assert_world_holds(here, account, *told)


def test_while_everything_is_out_of_service_orders_are_held_one_alarm_is_told_and_all_catches_up(
    here: Installation,
) -> None:
    account, strategy = trading(here)
    strategy.bar()
    resting = here.order(account, "buy", "0.01", here.away("buy"))
    here.venue.maintain("all")
    # One was on its way when the doors closed; what became of it is not known.
    unknown = here.order(account, "buy", "0.02")
    assert unknown.status == OrderStatus.UNKNOWN
    assert "System is under maintenance." in (unknown.reason or "")
    here.parts.canceller.request(resting.order_id)
    last = here.venue.requests()[-1]["seq"]
    pass_time(here, 30)
    _, held = here.submit(account, "buy", "0.03")
    assert held is not None
    here.settle()
    assert (here.row(held).status, here.row(held).attempt) == (OrderStatus.NEW, 0)
    assert here.row(held).reason == "waits until the account has been compared with its venue"
    here.market(by_ms=10 * MINUTE)
    pass_time(here, 2 * FIVE_MINUTES_S)
    assert len(here.told("account-not-comparable")) == 1
    assert here.row(unknown).status == OrderStatus.UNKNOWN
    assert here.row(resting).status == OrderStatus.PENDING_CANCEL
    # Its life is a minute of the market: it has ended, and its funds are free.
    assert here.row(held).status == OrderStatus.EXPIRED
    decision, _ = here.submit(account, "buy", "0.03")
    assert decision.reason.startswith("PRICE_STALE")
    asked = here.venue.requests(since_seq=last, limit=10_000)
    assert len(asked) < 2 * FIVE_MINUTES_S, "less than one request a second for all of it"

    here.venue.maintain("none")
    pass_time(here, 60)
    assert here.row(resting).status == OrderStatus.CANCELLED
    assert here.row(unknown).status == OrderStatus.EXPIRED
    assert here.order(account, "buy", "0.01").status == OrderStatus.FILLED
    here.bars()
    with here.parts.units.read() as unit:
        (plan,) = unit.plans.enabled()
    report = here.parts.market_data.coverage(
        EXCHANGE, SYMBOL, "1m", plan.since_ts, here.market_ms // MINUTE * MINUTE
    )
    assert report.gaps == ()
    assert report.expected >= 11
    assert_world_holds(here, account, "denied", "account-not-comparable")
