"""The exchange: balances that are conserved, orders that fill by the tape's rules."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import Conflict
from app.core.market.intervals import DAY_MS, INTERVALS, MINUTE_MS
from app.core.orders.types import Side, TimeInForce
from simulator.clock import RunningClock, SteppedClock
from simulator.exchange import Account
from simulator.fees import FeeAsset, FeeSchedule
from simulator.instruments import CATALOGUE
from simulator.journal import Journal
from simulator.market import Market
from simulator.orders import Kind, Order, OrderRefused, OrderTicket, Refusal, State
from simulator.process import PriceProcess
from simulator.tape import GeneratedTape
from simulator.venue import Venue

START = 20_500 * DAY_MS
SYMBOL = "BTC/USDT"


def make_venue(
    *, spread_bps: float = 0.0, fees: FeeSchedule | None = None, start: int = START
) -> Venue:
    process = PriceProcess(7, CATALOGUE)
    markets = {
        symbol: Market(
            7,
            spec,
            GeneratedTape(process, symbol, spec.listed_ms, 10**9),
            spread_bps,
        )
        for symbol, spec in CATALOGUE.items()
    }
    venue = Venue(7, markets, SteppedClock(start), fees or FeeSchedule())
    for name in ("alice", "bob"):
        venue.exchange.open_account(
            Account(name, name + "key", "secret"),
            {"USDT": Decimal(1_000_000), "BTC": Decimal(10), "ETH": Decimal(100)},
        )
    return venue


def ticket(side: Side = Side.BUY, kind: Kind = Kind.MARKET, **given: object) -> OrderTicket:
    fields = {"symbol": SYMBOL, "client_id": "one", "quantity": Decimal("0.5")} | given
    return OrderTicket(side=side, kind=kind, **fields)  # type: ignore[arg-type]


def advance(venue: Venue, minutes: int = 1) -> None:
    asyncio.run(venue.advance(venue.clock.now() + minutes * MINUTE_MS))


def test_a_resting_order_grows_the_journal_of_a_running_clock_by_seconds_not_ticks(
    tmp_path: Path,
) -> None:
    wall = 0
    venue = make_venue()
    venue.clock = clock = RunningClock(START, lambda: wall)
    venue.exchange._now = clock.now
    state = tmp_path / "state.jsonl"
    journal = Journal(state, venue)
    venue.exchange.observers.append(journal)
    venue.exchange.place("alice", ticket(kind=Kind.LIMIT, price=Decimal(1)))
    before = state.read_text().count("\n")
    for wall in range(250, 60_001, 250):
        asyncio.run(venue._process(clock.due()))
        last = json.loads(state.read_text().splitlines()[-1])["market_ms"]
        assert START + wall - last < 5_000
    assert state.read_text().count("\n") - before == 12
    journal.close()


def minute_bars(venue: Venue, count: int, symbol: str = SYMBOL) -> list[tuple[Decimal, ...]]:
    bars = venue.markets[symbol].tape.between(INTERVALS["1m"], START, START + count * MINUTE_MS)
    return [
        tuple(bars.price(units) for units in (b.open, b.high, b.low, b.close))
        for b in (bars.bar(index) for index in range(len(bars)))
    ]


class TestMarketOrders:
    def test_fills_at_the_next_open_without_spread(self) -> None:
        venue = make_venue()
        order = venue.exchange.place("alice", ticket())
        assert order.state is State.FILLED
        assert [fill.price for fill in order.fills] == [minute_bars(venue, 1)[0][0]]

    def test_takes_levels_when_it_is_larger_than_the_first(self) -> None:
        venue = make_venue(spread_bps=2)
        order = venue.exchange.place("alice", ticket(quantity=Decimal(8)))
        prices = [fill.price for fill in order.fills]
        assert len(prices) > 1
        assert prices == sorted(prices)

    def test_an_amount_of_quote_buys_what_it_affords_in_whole_steps(self) -> None:
        venue = make_venue()
        asked = ticket(quantity=None, quote_quantity=Decimal(1000))
        order = venue.exchange.place("alice", asked)
        price = order.fills[0].price
        assert order.state is State.FILLED
        assert order.cost <= 1000 < order.cost + price * Decimal("0.00001")

    def test_fee_is_charged_in_what_was_received(self) -> None:
        venue = make_venue()
        bought = venue.exchange.place("alice", ticket()).fills[0]
        sold = venue.exchange.place("alice", ticket(Side.SELL, client_id="two")).fills[0]
        assert (bought.fee, bought.fee_asset) == (Decimal("0.0005"), "BTC")
        assert (sold.fee, sold.fee_asset) == ((sold.cost * Decimal("0.001")), "USDT")

    def test_fee_can_be_charged_in_quote(self) -> None:
        venue = make_venue(fees=FeeSchedule(asset=FeeAsset.QUOTE))
        before = venue.exchange.ledger.free("alice", "USDT")
        fill = venue.exchange.place("alice", ticket()).fills[0]
        assert fill.fee_asset == "USDT"
        assert venue.exchange.ledger.free("alice", "USDT") == before - fill.cost - fill.fee
        assert venue.exchange.ledger.free("alice", "BTC") == Decimal("10.5")

    def test_no_money_no_order(self) -> None:
        venue = make_venue()
        with pytest.raises(OrderRefused) as caught:
            venue.exchange.place("alice", ticket(quantity=Decimal(1000)))
        assert caught.value.reason is Refusal.FUNDS
        assert venue.exchange.orders == {}

    def test_a_market_that_is_not_listed_is_closed(self) -> None:
        venue = make_venue(start=CATALOGUE["SOL/USDT"].listed_ms - DAY_MS)
        with pytest.raises(OrderRefused) as caught:
            venue.exchange.place("alice", ticket(symbol="SOL/USDT", quantity=Decimal(1)))
        assert caught.value.reason is Refusal.CLOSED


class TestLimitOrders:
    def test_rests_and_fills_at_its_limit_when_the_bar_reaches_it(self) -> None:
        venue = make_venue()
        bars = minute_bars(venue, 200)
        # A limit below the first open that a later bar reaches from above.
        lowest = min(low for _, _, low, _ in bars)
        limit = lowest + Decimal("0.01")
        order = venue.exchange.place("alice", ticket(kind=Kind.LIMIT, price=limit))
        assert order.state is State.NEW
        assert venue.exchange.ledger.of("alice")["USDT"].locked == limit / 2
        advance(venue, 200)
        assert order.state is State.FILLED
        fill = order.fills[0]
        reached = next(i for i, (_, _, low, _) in enumerate(bars) if low <= limit)
        assert fill.price == min(limit, bars[reached][0])
        assert fill.is_maker
        assert START + reached * MINUTE_MS <= fill.time < START + (reached + 1) * MINUTE_MS

    def test_a_crossing_limit_takes_and_never_beyond_its_limit(self) -> None:
        venue = make_venue(spread_bps=2)
        book = venue.markets[SYMBOL].book(START)
        assert book is not None
        limit = book.levels(asks=True)[2][0]
        order = venue.exchange.place(
            "alice", ticket(kind=Kind.LIMIT, price=limit, quantity=Decimal(9))
        )
        assert order.state in (State.PARTIALLY_FILLED, State.FILLED)
        assert max(fill.price for fill in order.fills) <= limit
        assert not any(fill.is_maker for fill in order.fills)

    def test_ioc_expires_what_it_did_not_take(self) -> None:
        venue = make_venue()
        limit = minute_bars(venue, 1)[0][0] - 100
        asked = ticket(kind=Kind.LIMIT, price=limit, time_in_force=TimeInForce.IOC)
        order = venue.exchange.place("alice", asked)
        assert order.state is State.EXPIRED
        assert venue.exchange.ledger.of("alice")["USDT"].locked == 0

    def test_fok_fills_whole_or_not_at_all(self) -> None:
        venue = make_venue(spread_bps=2)
        book = venue.markets[SYMBOL].book(START)
        assert book is not None
        price, available = book.levels(asks=True)[0]
        asked = ticket(
            kind=Kind.LIMIT,
            price=price,
            quantity=available + Decimal("0.00001"),
            time_in_force=TimeInForce.FOK,
        )
        order = venue.exchange.place("alice", asked)
        assert (order.state, order.fills) == (State.EXPIRED, [])

    def test_post_only_is_refused_when_it_would_take(self) -> None:
        venue = make_venue(spread_bps=2)
        with pytest.raises(OrderRefused) as caught:
            venue.exchange.place("alice", ticket(kind=Kind.LIMIT_MAKER, price=Decimal(900_000)))
        assert caught.value.reason is Refusal.WOULD_TAKE

    def test_a_client_id_is_unique_among_open_orders_only(self) -> None:
        venue = make_venue()
        far = minute_bars(venue, 1)[0][0] / 2
        limit = far.quantize(Decimal("0.01"))
        first = venue.exchange.place("alice", ticket(kind=Kind.LIMIT, price=limit))
        with pytest.raises(OrderRefused) as caught:
            venue.exchange.place("alice", ticket(kind=Kind.LIMIT, price=limit))
        assert caught.value.reason is Refusal.DUPLICATE
        venue.exchange.place("bob", ticket(kind=Kind.LIMIT, price=limit))
        venue.exchange.cancel(first)
        again = venue.exchange.place("alice", ticket(kind=Kind.LIMIT, price=limit))
        assert again.client_id == first.client_id

    def test_a_final_order_cannot_be_cancelled(self) -> None:
        venue = make_venue()
        order = venue.exchange.place("alice", ticket())
        with pytest.raises(Conflict):
            venue.exchange.cancel(order)


class TestStops:
    def test_stop_fills_at_its_trigger_or_at_a_worse_open(self) -> None:
        venue = make_venue()
        bars = minute_bars(venue, 300)
        trigger = (bars[0][0] * Decimal("0.9985")).quantize(Decimal("0.01"))
        order = venue.exchange.place("alice", ticket(Side.SELL, Kind.STOP, stop_price=trigger))
        advance(venue, 300)
        reached = next(i for i, (_, _, low, _) in enumerate(bars) if low <= trigger)
        assert order.fills[0].price == min(trigger, bars[reached][0])

    def test_target_fills_at_its_trigger_or_at_a_better_open_as_a_taker(self) -> None:
        venue = make_venue()
        bars = minute_bars(venue, 300)
        trigger = max(high for _, high, _, _ in bars) - Decimal("0.01")
        order = venue.exchange.place(
            "alice", ticket(Side.SELL, Kind.TAKE_PROFIT, stop_price=trigger)
        )
        advance(venue, 300)
        assert order.fills[0].price >= trigger
        assert not order.fills[0].is_maker

    def test_a_stop_limit_stays_triggered(self) -> None:
        venue = make_venue()
        bars = minute_bars(venue, 600)
        stop = (bars[0][0] * Decimal("0.9985")).quantize(Decimal("0.01"))
        # A limit so far above that the market does not come back to it.
        limit = stop * 2
        asked = ticket(Side.SELL, Kind.STOP_LIMIT, stop_price=stop, price=limit)
        order = venue.exchange.place("alice", asked)
        assert not order.is_working
        advance(venue, 600)
        assert (order.state, order.triggered, order.is_working) == (State.NEW, True, True)

    @pytest.mark.parametrize(
        ("side", "kind", "factor"),
        [
            (Side.SELL, Kind.STOP, "1.01"),
            (Side.BUY, Kind.STOP, "0.99"),
            (Side.SELL, Kind.TAKE_PROFIT, "0.99"),
            (Side.BUY, Kind.TAKE_PROFIT, "1.01"),
        ],
    )
    def test_a_stop_behind_the_market_is_refused(self, side: Side, kind: Kind, factor: str) -> None:
        venue = make_venue()
        price = (minute_bars(venue, 1)[0][0] * Decimal(factor)).quantize(Decimal("0.01"))
        with pytest.raises(OrderRefused) as caught:
            venue.exchange.place("alice", ticket(side, kind, stop_price=price))
        assert caught.value.reason is Refusal.WOULD_TRIGGER


def test_the_tape_is_processed_alike_in_one_leap_and_in_small_steps() -> None:
    def run(steps: list[int]) -> list[tuple[str, Decimal]]:
        venue = make_venue()
        price = minute_bars(venue, 1)[0][0]
        orders: list[Order] = []
        for number in range(20):
            limit = (price * (1 + Decimal(number - 10) / 2000)).quantize(Decimal("0.01"))
            side = Side.BUY if number < 10 else Side.SELL
            asked = ticket(
                side, Kind.LIMIT, price=limit, client_id=f"o{number}", quantity=Decimal("0.1")
            )
            orders.append(venue.exchange.place("alice", asked))
        for step in steps:
            asyncio.run(venue.advance(venue.clock.now() + step))
        assert venue.clock.now() == START + 120 * MINUTE_MS
        return [(o.state.value, o.fills[0].price if o.fills else Decimal(0)) for o in orders]

    in_one = run([120 * MINUTE_MS])
    assert in_one == run([MINUTE_MS] * 120)
    # Within a bar the path decides at which price an order is reached; it is the same path.
    assert [s for s, _ in in_one] == [s for s, _ in run([20_000] * 360)]
    assert "filled" in {state for state, _ in in_one}


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["alice", "bob"]),
        st.sampled_from([SYMBOL, "ETH/USDT", "ETH/BTC"]),
        st.sampled_from(list(Side)),
        st.sampled_from(list(Kind)),
        st.sampled_from(list(TimeInForce)),
        st.integers(-40, 40),
        st.integers(1, 400),
        st.sampled_from(["place", "place", "place", "cancel", "advance"]),
    ),
    min_size=1,
    max_size=25,
)


@given(actions=ACTIONS, fee_asset=st.sampled_from(list(FeeAsset)), spread=st.sampled_from([0, 3]))
@settings(max_examples=60, deadline=None)
def test_money_is_conserved_and_nothing_goes_below_zero(
    actions: list[tuple[str, str, Side, Kind, TimeInForce, int, int, str]],
    fee_asset: FeeAsset,
    spread: int,
) -> None:
    venue = make_venue(spread_bps=spread, fees=FeeSchedule(asset=fee_asset))
    exchange = venue.exchange
    for number, (account, symbol, side, kind, tif, offset, size, what) in enumerate(actions):
        if what == "advance":
            advance(venue, size)
        elif what == "cancel":
            for order in exchange.open_orders(account, symbol)[:1]:
                exchange.cancel(order)
        else:
            spec = venue.markets[symbol].spec
            market_price = venue.markets[symbol].price(venue.clock.now())
            assert market_price is not None
            level = (market_price * (1 + Decimal(offset) / 10_000) / spec.tick).quantize(
                Decimal(1)
            ) * spec.tick
            asked = OrderTicket(
                symbol=symbol,
                side=side,
                kind=kind,
                client_id=f"c{number}",
                quantity=spec.step * size * 37,
                price=level if kind in (Kind.LIMIT, Kind.LIMIT_MAKER, Kind.STOP_LIMIT) else None,
                stop_price=(
                    level if kind in (Kind.STOP, Kind.STOP_LIMIT, Kind.TAKE_PROFIT) else None
                ),
                time_in_force=tif if kind is Kind.LIMIT else TimeInForce.GTC,
            )
            try:
                exchange.place(account, asked)
            except OrderRefused:
                continue
        for asset in exchange.ledger.assets():
            assert exchange.ledger.total(asset) == 0
        for name in ("alice", "bob"):
            for asset, held in exchange.ledger.of(name).items():
                assert held.free >= 0 <= held.locked
                assert held.locked == sum(
                    (o.held for o in exchange.open_orders(name) if o.held_asset == asset),
                    Decimal(0),
                )
        for order in exchange.orders.values():
            assert order.executed == sum((f.quantity for f in order.fills), Decimal(0))
            assert order.executed <= order.quantity
            assert (order.held == 0) or order.state.is_open
