"""Streams with unmodified ccxt.pro as the client, and their frames as they are."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from app.core.exchanges.loopback import ForeignHost
from app.core.market.intervals import HOUR_MS, MINUTE_MS
from tests.integration.simulator.conftest import START
from tests.support.simulator import SimulatorProcess

Factory = Callable[..., SimulatorProcess]
SECONDS = 10.0


@pytest.fixture
def venue(simulator: Factory) -> SimulatorProcess:
    return simulator(seed=7, start=START, weight_limit=0)


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(seed=7, start=START, weight_limit=0) as process:
        yield process


@asynccontextmanager
async def frames(
    venue: SimulatorProcess, path: str, *streams: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A raw socket that is subscribed to some streams."""
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.ws_connect(venue.url + path) as socket,
    ):
        if streams:
            await socket.send_json({"method": "SUBSCRIBE", "params": streams, "id": 1})
            assert await socket.receive_json() == {"result": None, "id": 1}
        yield socket


async def advance(venue: SimulatorProcess, by_ms: int) -> None:
    await asyncio.to_thread(venue.control.advance, by_ms=by_ms)


async def received(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[Any]:
    return [json.loads((await socket.receive(timeout=SECONDS)).data) for _ in range(count)]


async def nothing_more(socket: aiohttp.ClientWebSocketResponse) -> bool:
    """Whether the answer to a question overtakes no frame: nothing was waiting before it."""
    await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 99})
    return bool((await socket.receive_json(timeout=SECONDS)).get("id") == 99)


def run(story: Awaitable[None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(story, 60)

    asyncio.run(limited())


def test_klines_say_when_they_are_closed(venue: SimulatorProcess) -> None:
    async def story() -> None:
        async with frames(venue, "/stream/ws/0", "btcusdt@kline_1m") as socket:
            await advance(venue, 2 * MINUTE_MS + 30_000)
            events = await received(socket, 3)
            assert await nothing_more(socket)
        bars = [event["k"] for event in events]
        assert [bar["x"] for bar in bars] == [True, True, False]
        assert [bar["t"] for bar in bars] == [START, START + MINUTE_MS, START + 2 * MINUTE_MS]
        assert all(before["c"] == after["o"] for before, after in pairwise(bars))
        assert all(isinstance(bar[name], str) for bar in bars for name in "ohlcvqVQ")
        query = {"symbol": "BTCUSDT", "interval": "1m", "startTime": START, "limit": 3}
        rows = venue.control.raw("GET", "/api/v3/klines", params=query).json()
        shown = [[bar[name] for name in "tohlcvTqnVQB"] for bar in bars]
        assert [row[:11] for row in rows] == [row[:11] for row in shown]

    run(story())


def test_a_coarse_kline_closes_once(venue: SimulatorProcess) -> None:
    async def story() -> None:
        async with frames(venue, "/ws", "ethusdt@kline_1h") as socket:
            await advance(venue, HOUR_MS)
            events = await received(socket, 2)
            assert await nothing_more(socket)
        assert [(e["k"]["t"] - START, e["k"]["x"]) for e in events] == [(0, True), (HOUR_MS, False)]

    run(story())


def test_depth_continues_the_snapshot(venue: SimulatorProcess) -> None:
    async def story() -> None:
        async with frames(venue, "/ws", "btcusdt@depth@100ms") as socket:
            query = {"symbol": "BTCUSDT", "limit": 100}
            snapshot = venue.control.raw("GET", "/api/v3/depth", params=query).json()
            book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
            last = snapshot["lastUpdateId"]
            for _ in range(5):
                await advance(venue, 1_000)
                (event,) = await received(socket, 1)
                assert event["U"] == last + 1
                last = event["u"]
                for side, changes in (("bids", event["b"]), ("asks", event["a"])):
                    book[side].update(changes)
            kept = {
                side: {p: q for p, q in levels.items() if float(q)} for side, levels in book.items()
            }
            now = venue.control.raw("GET", "/api/v3/depth", params=query).json()
            assert now["lastUpdateId"] == last
            assert kept == {side: dict(now[side]) for side in ("bids", "asks")}

    run(story())


def test_combined_streams_wrap_and_paths_name_streams(venue: SimulatorProcess) -> None:
    async def story() -> None:
        names = "btcusdt@bookTicker/ethusdt@miniTicker"
        async with (
            frames(venue, f"/stream?streams={names}") as combined,
            frames(venue, "/ws/btcusdt@ticker") as single,
        ):
            await advance(venue, 1_000)
            wrapped = await received(combined, 2)
            (plain,) = await received(single, 1)
        assert [w["stream"] for w in wrapped] == ["btcusdt@bookTicker", "ethusdt@miniTicker"]
        assert wrapped[1]["data"]["e"] == "24hrMiniTicker"
        assert plain["e"] == "24hrTicker"
        assert plain["E"] == START + 1_000

    run(story())


def test_trades_of_a_minute_add_up_to_its_kline(venue: SimulatorProcess) -> None:
    async def story() -> None:
        streams = ("solusdt@trade", "solusdt@kline_1m", "solusdt@aggTrade")
        async with frames(venue, "/ws", *streams) as socket:
            await advance(venue, MINUTE_MS)
            events: list[Any] = []
            while not any(e["e"] == "aggTrade" for e in events):
                events += await received(socket, 1)
        closed = next(e["k"] for e in events if e["e"] == "kline" and e["k"]["x"])
        trades = [e for e in events if e["e"] == "trade"]
        assert len(trades) == closed["n"]
        assert f"{sum(float(t['q']) for t in trades):.3f}" == f"{float(closed['v']):.3f}"

    run(story())


def test_subscriptions_are_listed_ended_and_checked(venue: SimulatorProcess) -> None:
    async def story() -> None:
        async with frames(venue, "/ws", "btcusdt@trade", "nope@trade") as socket:
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 3})
            assert (await received(socket, 1))[0] == {
                "result": ["btcusdt@trade", "nope@trade"],
                "id": 3,
            }
            await socket.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 4})
            assert (await received(socket, 1))[0] == {"result": None, "id": 4}
            await advance(venue, 1_000)
            assert await nothing_more(socket)
            for text in (
                "{",
                "[1]",
                '{"method":"DANCE","id":5}',
                '{"method":"SUBSCRIBE","params":5}',
            ):
                await socket.send_str(text)
                assert "error" in (await received(socket, 1))[0]

    run(story())


def test_a_running_market_sends_by_itself(simulator: Factory) -> None:
    async def story() -> None:
        venue = simulator(seed=7, clock="running")
        response = await asyncio.to_thread(
            venue.control.raw, "POST", "/control/advance", json={"by_ms": 1}
        )
        assert response.status_code == 409
        async with frames(venue, "/ws", "btcusdt@kline_1m", "btcusdt@bookTicker") as socket:
            events = await received(socket, 3)
        assert {event.get("e", "bookTicker") for event in events} == {"kline", "bookTicker"}

    run(story())


class TestCcxtPro:
    def test_market_streams(self, venue: SimulatorProcess) -> None:
        async def story() -> None:
            exchange = venue.ccxt_pro()
            await exchange.load_markets()
            watched = {
                "ohlcv": exchange.watch_ohlcv("BTC/USDT", "1m"),
                "ticker": exchange.watch_ticker("BTC/USDT", {"name": "ticker"}),
                "mini": exchange.watch_ticker("ETH/USDT"),
                "book": exchange.watch_order_book("BTC/USDT", 5),
                "trades": exchange.watch_trades("BTC/USDT"),
            }
            tasks = {name: asyncio.ensure_future(each) for name, each in watched.items()}
            while not all(task.done() for task in tasks.values()):
                await advance(venue, 1_000)
            found = {name: task.result() for name, task in tasks.items()}
            assert found["ohlcv"][-1][0] >= START
            assert found["ticker"]["bid"] < found["ticker"]["ask"]
            assert found["mini"]["bid"] is None
            assert found["book"]["symbol"] == "BTC/USDT"
            assert found["book"]["bids"][0][0] < found["book"]["asks"][0][0]
            assert len(found["trades"]) > 0
            await exchange.close()

        run(story())

    def test_user_data_stream(self, venue: SimulatorProcess) -> None:
        account = venue.control.create_account("alice", {"USDT": "100000"})
        bystander = venue.control.create_account("bob", {"USDT": "100000"})

        async def story() -> None:
            exchange, other = venue.ccxt_pro(account), venue.ccxt(bystander)
            await exchange.load_markets()
            orders = asyncio.ensure_future(exchange.watch_orders("BTC/USDT"))
            trades = asyncio.ensure_future(exchange.watch_my_trades("BTC/USDT"))
            balance = asyncio.ensure_future(exchange.watch_balance())
            method = "userDataStream.subscribe.signature"
            while not venue.control.requests(method=method, outcome="answered"):
                await asyncio.sleep(0.01)
            await asyncio.to_thread(other.create_order, "BTC/USDT", "market", "buy", 0.5)
            placed = await exchange.create_order("BTC/USDT", "market", "buy", 0.01)
            assert {o["id"] for o in await orders} == {placed["id"]}
            assert [t["order"] for t in await trades] == [placed["id"]]
            assert (await balance)["BTC"]["total"] == 0.00999
            over_ws = await exchange.create_order_ws("BTC/USDT", "limit", "buy", 0.01, 40_000)
            assert over_ws["status"] == "open"
            gone = await exchange.cancel_order_ws(over_ws["id"], "BTC/USDT")
            assert gone["status"] == "canceled"
            other.close()
            await exchange.close()

        run(story())

    def test_a_bound_exchange_reaches_nobody_else(self, venue: SimulatorProcess) -> None:
        async def story() -> None:
            exchange = venue.ccxt_pro()
            exchange.urls["api"]["public"] = "https://example.com/api/v3"
            with pytest.raises(ForeignHost):
                await exchange.fetch_time()
            await exchange.close()
            # A session that ccxt opens anew is bound too.
            exchange.open()
            with pytest.raises(ForeignHost):
                await exchange.fetch_time()
            await exchange.close()

        run(story())


class TestUserEvents:
    @pytest.fixture
    def venue(self, running: SimulatorProcess) -> Iterator[SimulatorProcess]:
        yield running
        running.control.clear_faults()

    @pytest.fixture
    def account(self, venue: SimulatorProcess) -> Any:
        name = f"user{len(venue.control.accounts())}"
        return venue.control.create_account(name, {"USDT": "100000"})

    async def subscribed(self, account: Any, socket: aiohttp.ClientWebSocketResponse) -> None:
        params = {"apiKey": account.api_key, "timestamp": int(time.time() * 1000)}
        payload = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
        signature = hmac.new(account.api_secret.encode(), payload.encode(), hashlib.sha256)
        await socket.send_json(
            {
                "id": "1",
                "method": "userDataStream.subscribe.signature",
                "params": {**params, "signature": signature.hexdigest()},
            }
        )
        answer = await socket.receive_json(timeout=SECONDS)
        assert answer["status"] == 200
        assert answer["result"]["subscriptionId"] >= 0

    def test_every_state_of_an_order_is_reported(
        self, venue: SimulatorProcess, account: Any
    ) -> None:
        async def story() -> None:
            exchange = venue.ccxt(account)
            async with frames(venue, "/ws-api/v3") as socket:
                await self.subscribed(account, socket)
                params = {"clientOrderId": "life"}
                await asyncio.to_thread(
                    exchange.create_order, "BTC/USDT", "limit", "buy", 0.01, 50_000, params
                )
                placed = await received(socket, 2)
                await asyncio.to_thread(exchange.cancel_all_orders, "BTC/USDT")
                gone = await received(socket, 2)
            exchange.close()
            events = [frame["event"] for frame in placed + gone]
            assert [e["e"] for e in events] == [
                "executionReport",
                "outboundAccountPosition",
            ] * 2
            assert [(e["x"], e["X"]) for e in events[::2]] == [
                ("NEW", "NEW"),
                ("CANCELED", "CANCELED"),
            ]
            assert (events[0]["c"], events[2]["C"]) == ("life", "life")
            assert events[1]["B"] == [{"a": "USDT", "f": "99500.00000000", "l": "500.00000000"}]

        run(story())

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            ("{", -1135),
            ('{"id":1}', -1135),
            ('{"id":1,"method":"dance"}', -1000),
            ('{"id":1,"method":"order.status","params":{"symbol":"BTCUSDT"}}', -2014),
            ('{"id":1,"method":"klines","params":{"symbol":"BTCUSDT"}}', -1102),
        ],
    )
    def test_wrong_requests_are_refused(
        self, venue: SimulatorProcess, message: str, code: int
    ) -> None:
        async def story() -> None:
            async with frames(venue, "/ws-api/v3") as socket:
                await socket.send_str(message)
                answer = await socket.receive_json(timeout=SECONDS)
            assert answer["error"]["code"] == code

        run(story())

    @pytest.mark.parametrize(
        ("action", "kinds"),
        [
            ("ws_drop", ["A", "A"]),
            ("ws_duplicate", ["N", "N", "A", "C", "A"]),
            ("ws_reorder", ["A", "N", "C", "A"]),
        ],
    )
    def test_frames_can_be_lost_doubled_and_swapped(
        self, venue: SimulatorProcess, account: Any, action: str, kinds: list[str]
    ) -> None:
        count = {"count": 1} if action != "ws_drop" else {}
        venue.control.add_fault(action=action, stream="user", event="executionReport", **count)

        async def story() -> None:
            exchange = venue.ccxt(account)
            async with frames(venue, "/ws-api/v3") as socket:
                await self.subscribed(account, socket)
                await asyncio.to_thread(
                    exchange.create_order, "BTC/USDT", "limit", "buy", 0.01, 50_000
                )
                await asyncio.to_thread(exchange.cancel_all_orders, "BTC/USDT")
                events = [frame["event"] for frame in await received(socket, len(kinds))]
            exchange.close()
            assert [e.get("x", "A")[0] for e in events] == kinds

        run(story())

    def test_a_delayed_stream_is_overtaken_and_arrives(self, venue: SimulatorProcess) -> None:
        async def story() -> None:
            names = "/btcusdt@bookTicker/ethusdt@bookTicker"
            async with frames(venue, "/ws" + names) as socket:
                venue.control.add_fault(action="ws_delay", stream="btc*", ms=150)
                await advance(venue, 3_000)
                seen = [frame["s"] for frame in await received(socket, 2)]
            assert seen == ["ETHUSDT", "BTCUSDT"]

        run(story())

    def test_a_socket_can_fall_silent_or_be_cut(self, venue: SimulatorProcess) -> None:
        async def story() -> None:
            async with (
                frames(venue, "/ws", "btcusdt@bookTicker") as silent,
                frames(venue, "/ws", "ethusdt@bookTicker") as cut,
            ):
                venue.control.add_fault(action="ws_silent", stream="btc*", count=1)
                venue.control.add_fault(action="ws_cut", stream="eth*", count=1)
                await advance(venue, 3_000)
                await advance(venue, 3_000)
                assert (await cut.receive(timeout=SECONDS)).type is aiohttp.WSMsgType.CLOSE
                # It still answers, but no stream says anything any more.
                assert await nothing_more(silent)

        run(story())
