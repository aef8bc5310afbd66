"""Klines and tickers as they happen, at the venues other than Binance spot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from app.core.market.intervals import HOUR_MS, MINUTE_MS
from tests.integration.simulator.conftest import START
from tests.support.simulator import SimulatorProcess
from tests.support.venues import client, lacks, pro_client, sample

Factory = Callable[..., SimulatorProcess]
SECONDS = 10.0
VENUES = ("binanceusdm", "okx", "bybit")
MARKETS = [
    ("binanceusdm", "BTC/USDT:USDT"),
    ("okx", "BTC/USDT"),
    ("okx", "BTC/USDT:USDT"),
    ("bybit", "BTC/USDT"),
    ("bybit", "BTC/USDT:USDT"),
]
USDM_PATH, OKX_CANDLES, OKX_TICKERS = "/market/ws", "/ws/v5/business", "/ws/v5/public"
BYBIT_LINEAR, BYBIT_SPOT = "/v5/public/linear", "/v5/public/spot"


@pytest.fixture
def venue(simulator: Factory) -> SimulatorProcess:
    return simulator(seed=7, start=START, weight_limit=0)


def run(story: Awaitable[None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(story, 60)

    asyncio.run(limited())


async def advance(venue: SimulatorProcess, by_ms: int) -> None:
    await asyncio.to_thread(venue.control.advance, by_ms=by_ms)


@asynccontextmanager
async def socket_of(
    venue: SimulatorProcess, path: str, said: dict[str, Any] | None = None
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A raw socket, on which something was said; its acknowledgement is not read yet."""
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.ws_connect(venue.url + path) as socket,
    ):
        if said is not None:
            await socket.send_json(said)
        yield socket


async def received(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[Any]:
    return [json.loads((await socket.receive(timeout=SECONDS)).data) for _ in range(count)]


def okx_wants(channel: str, name: str) -> dict[str, Any]:
    return {"op": "subscribe", "args": [{"channel": channel, "instId": name}]}


def bybit_wants(*topics: str) -> dict[str, Any]:
    return {"req_id": "7", "op": "subscribe", "args": list(topics)}


def usdm_wants(*streams: str) -> dict[str, Any]:
    return {"method": "SUBSCRIBE", "params": list(streams), "id": 7}


class TestUnmodifiedClients:
    @pytest.mark.parametrize(("name", "symbol"), MARKETS)
    def test_bars_are_watched_as_they_grow_and_close(
        self, venue: SimulatorProcess, name: str, symbol: str
    ) -> None:
        async def story() -> None:
            exchange = pro_client(name, venue)
            try:
                await exchange.load_markets()
                watched = asyncio.create_task(exchange.watch_ohlcv(symbol, "1m"))
                seen: dict[int, list[float]] = {}
                for _ in range(12):
                    await self._move_until(venue, watched)
                    seen |= {row[0]: row for row in watched.result()}
                    watched = asyncio.create_task(exchange.watch_ohlcv(symbol, "1m"))
                watched.cancel()
            finally:
                await exchange.close()
            asked = client(name, venue)
            whole = {row[0]: row for row in asked.fetch_ohlcv(symbol, "1m", limit=100)}
            asked.close()
            times = sorted(seen)
            assert len(times) >= 3
            assert all(after - before == MINUTE_MS for before, after in pairwise(times))
            for opened in times[:-1]:
                assert seen[opened] == whole[opened], "what was pushed last is the closed bar"

        run(story())

    @pytest.mark.parametrize(("name", "symbol"), MARKETS)
    def test_tickers_are_watched(self, venue: SimulatorProcess, name: str, symbol: str) -> None:
        async def story() -> None:
            exchange = pro_client(name, venue)
            try:
                await exchange.load_markets()
                for _ in range(3):
                    watched = asyncio.create_task(exchange.watch_ticker(symbol))
                    await self._move_until(venue, watched)
                    ticker = watched.result()
                last = ticker["timestamp"]
            finally:
                await exchange.close()
            assert ticker["low"] <= ticker["last"] <= ticker["high"]
            assert START <= last <= venue.control.market_ms

        run(story())

    @staticmethod
    async def _move_until(venue: SimulatorProcess, watched: asyncio.Task[Any]) -> None:
        """Let market time go on in steps of twenty seconds until something was pushed."""
        while not watched.done():
            await advance(venue, 20_000)
            await asyncio.wait({watched}, timeout=0.2)


class TestFrames:
    def test_binance_says_when_a_bar_is_closed(self, venue: SimulatorProcess) -> None:
        async def story() -> None:
            said = usdm_wants("btcusdt@kline_1m")
            async with socket_of(venue, USDM_PATH, said) as socket:
                assert await received(socket, 1) == [{"result": None, "id": 7}]
                await advance(venue, 2 * MINUTE_MS + 30_000)
                events = await received(socket, 3)
            bars = [event["k"] for event in events]
            assert [bar["x"] for bar in bars] == [True, True, False]
            assert [bar["t"] for bar in bars] == [START + n * MINUTE_MS for n in range(3)]
            assert lacks(events[0], sample("binance", "handle_ohlcv")) == []
            query = f"/fapi/v1/klines?symbol=BTCUSDT&interval=1m&startTime={START}&limit=2"
            rows = venue.control.raw("GET", query).json()
            shown = [[bar[name] for name in "tohlcvTqnVQ"] for bar in bars[:2]]
            assert [row[:11] for row in rows] == shown

        run(story())

    def test_binance_wraps_what_is_named_in_the_address(self, venue: SimulatorProcess) -> None:
        async def story() -> None:
            names = "btcusdt@ticker/ethusdt@markPrice@1s/btcusdt@bookTicker"
            async with socket_of(venue, f"/market/stream?streams={names}") as socket:
                await advance(venue, 1_000)
                frames = await received(socket, 3)
            kinds = [frame["data"]["e"] for frame in frames]
            assert kinds == ["24hrTicker", "markPriceUpdate", "bookTicker"]
            assert [frame["stream"] for frame in frames] == names.split("/")
            real = sample("binance", "parse_ws_ticker", "markPrice")
            assert lacks(frames[1]["data"], real) == []

        run(story())

    def test_okx_shows_the_bar_at_once_and_confirms_it_later(self, venue: SimulatorProcess) -> None:
        async def story() -> None:
            said = okx_wants("candle1m", "BTC-USDT-SWAP")
            async with socket_of(venue, OKX_CANDLES, said) as socket:
                acknowledged, first = await received(socket, 2)
                await advance(venue, MINUTE_MS + 30_000)
                closed, opened = await received(socket, 2)
            assert acknowledged["event"] == "subscribe"
            assert acknowledged["arg"] == said["args"][0] == first["arg"]
            shown = [frame["data"][0] for frame in (first, closed, opened)]
            assert [(int(row[0]) - START, row[8]) for row in shown] == [
                (0, "0"), (0, "1"), (MINUTE_MS, "0"),
            ]  # fmt: skip
            query = "/api/v5/market/candles?instId=BTC-USDT-SWAP&limit=2"
            assert venue.control.raw("GET", query).json()["data"] == [shown[2], shown[1]]

        run(story())

    @pytest.mark.parametrize(
        ("channel", "name"),
        [("mark-price-candle1H", "BTC-USDT-SWAP"), ("index-candle1Dutc", "BTC-USDT"),
         ("candle6H", "ETH-USDT")],
    )  # fmt: skip
    def test_okx_shows_other_candles(
        self, venue: SimulatorProcess, channel: str, name: str
    ) -> None:
        async def story() -> None:
            async with socket_of(venue, OKX_CANDLES, okx_wants(channel, name)) as socket:
                _, first = await received(socket, 2)
                await advance(venue, 24 * HOUR_MS)
                rows = [first["data"][0]]
                while rows[-1][-1] == "0":
                    rows.append((await received(socket, 1))[0]["data"][0])
            assert rows[-1][0] == rows[0][0], "the bar that was open is the first to be confirmed"

        run(story())

    def test_okx_tickers_look_like_the_real_ones(self, venue: SimulatorProcess) -> None:
        async def story() -> None:
            async with socket_of(venue, OKX_TICKERS, okx_wants("tickers", "BTC-USDT")) as socket:
                _, first = await received(socket, 2)
                await advance(venue, 1_000)
                (second,) = await received(socket, 1)
            assert lacks(first, sample("okx", "handle_ticker")) == []
            assert int(second["data"][0]["ts"]) == START + 1_000

        run(story())

    def test_okx_has_candles_and_tickers_at_addresses_of_their_own(
        self, venue: SimulatorProcess
    ) -> None:
        async def story() -> None:
            for path, said, code in (
                (OKX_TICKERS, okx_wants("candle1m", "BTC-USDT"), "60018"),
                (OKX_CANDLES, okx_wants("tickers", "BTC-USDT"), "60018"),
                (OKX_CANDLES, okx_wants("candle7m", "BTC-USDT"), "60018"),
                (OKX_TICKERS, okx_wants("tickers", "NO-PE"), "60018"),
                (OKX_TICKERS, {"op": "dance"}, "60012"),
            ):
                async with socket_of(venue, path, said) as socket:
                    (answer,) = await received(socket, 1)
                assert (answer["event"], answer["code"]) == ("error", code)

        run(story())

    def test_bybit_confirms_a_bar_when_it_closes(self, venue: SimulatorProcess) -> None:
        async def story() -> None:
            said = bybit_wants("kline.1.BTCUSDT")
            async with socket_of(venue, BYBIT_LINEAR, said) as socket:
                acknowledged, first = await received(socket, 2)
                await advance(venue, MINUTE_MS + 30_000)
                closed, opened = await received(socket, 2)
            assert acknowledged["success"] is True
            assert acknowledged["req_id"] == "7"
            bars = [frame["data"][0] for frame in (first, closed, opened)]
            assert [(bar["start"] - START, bar["confirm"]) for bar in bars] == [
                (0, False), (0, True), (MINUTE_MS, False),
            ]  # fmt: skip
            assert lacks(closed, sample("bybit", "handle_ohlcv")) == []
            query = "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=1&limit=2"
            row = venue.control.raw("GET", query).json()["result"]["list"][1]
            names = ("open", "high", "low", "close", "volume", "turnover")
            assert row[1:] == [bars[1][name] for name in names]

        run(story())

    def test_bybit_sends_a_contract_s_ticker_whole_and_then_its_changes(
        self, venue: SimulatorProcess
    ) -> None:
        async def story() -> None:
            said = bybit_wants("tickers.BTCUSDT")
            async with socket_of(venue, BYBIT_LINEAR, said) as socket:
                _, whole = await received(socket, 2)
                merged = dict(whole["data"])
                for _ in range(5):
                    await advance(venue, 10_000)
                    (change,) = await received(socket, 1)
                    assert change["type"] == "delta"
                    assert len(change["data"]) < len(whole["data"])
                    merged |= change["data"]
                async with socket_of(venue, BYBIT_LINEAR, said) as other:
                    _, late = await received(other, 2)
            assert whole["type"] == late["type"] == "snapshot"
            assert lacks(whole["data"], sample("bybit", "handle_ticker", "linear")["data"]) == [
                ".tickDirection"
            ], "the direction of the last tick is not simulated"
            assert merged == late["data"]

        run(story())

    def test_bybit_refuses_topics_that_there_are_not(self, venue: SimulatorProcess) -> None:
        async def story() -> None:
            for path, topic in (
                (BYBIT_SPOT, "kline.7.BTCUSDT"),
                (BYBIT_SPOT, "shoes.BTCUSDT"),
                (BYBIT_LINEAR, "tickers.ETHBTC"),
            ):
                async with socket_of(venue, path, bybit_wants(topic)) as socket:
                    (answer,) = await received(socket, 1)
                assert answer["success"] is False
                assert topic in answer["ret_msg"]

        run(story())


def test_each_venue_answers_a_ping_in_its_way(venue: SimulatorProcess) -> None:
    async def story() -> None:
        for path in (OKX_CANDLES, OKX_TICKERS):
            async with socket_of(venue, path) as socket:
                await socket.send_str("ping")
                assert (await socket.receive(timeout=SECONDS)).data == "pong"
        for path in (BYBIT_SPOT, BYBIT_LINEAR):
            async with socket_of(venue, path, {"req_id": "1", "op": "ping"}) as socket:
                (answer,) = await received(socket, 1)
                assert (answer["ret_msg"], answer["op"]) == ("pong", "ping")
        async with socket_of(venue, USDM_PATH) as socket:
            await socket.ping()
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 3})
            assert await received(socket, 1) == [{"result": [], "id": 3}]

    run(story())


@pytest.mark.parametrize(
    ("path", "said", "leave", "acknowledgement"),
    [
        (USDM_PATH, usdm_wants("btcusdt@kline_1m"),
         {"method": "UNSUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": 8}, "result"),
        (OKX_CANDLES, okx_wants("candle1m", "BTC-USDT"),
         okx_wants("candle1m", "BTC-USDT") | {"op": "unsubscribe"}, "event"),
        (BYBIT_SPOT, bybit_wants("kline.1.BTCUSDT"),
         bybit_wants("kline.1.BTCUSDT") | {"op": "unsubscribe"}, "success"),
    ],
)  # fmt: skip
class TestStory:
    def test_who_leaves_is_sent_nothing_more(
        self, venue: SimulatorProcess, path: str, said: Any, leave: Any, acknowledgement: str
    ) -> None:
        async def story() -> None:
            async with socket_of(venue, path, said) as socket:
                (first,) = await received(socket, 1)
                assert acknowledgement in first
                await advance(venue, MINUTE_MS)
                await socket.send_json(leave)
                while acknowledgement not in (await received(socket, 1))[0]:
                    pass
                await advance(venue, MINUTE_MS)
                await socket.send_json(said)
                assert acknowledgement in (await received(socket, 1))[0]

        run(story())

    def test_faults_strike_frames(
        self, venue: SimulatorProcess, path: str, said: Any, leave: Any, acknowledgement: str
    ) -> None:
        async def story() -> None:
            async with socket_of(venue, path, said) as socket:
                (first,) = await received(socket, 1)
                assert acknowledgement in first
                venue.control.add_fault(action="ws_duplicate", event="*", count=1)
                await advance(venue, 1_000)
                frames = await received(socket, 2 if path == USDM_PATH else 3)
                assert frames[-1] == frames[-2]
                venue.control.add_fault(action="ws_cut", stream="*", count=1)
                await advance(venue, 1_000)
                assert (await socket.receive(timeout=SECONDS)).type is aiohttp.WSMsgType.CLOSE

        run(story())

    def test_a_venue_out_of_service_closes_its_sockets(
        self, venue: SimulatorProcess, path: str, said: Any, leave: Any, acknowledgement: str
    ) -> None:
        async def story() -> None:
            async with socket_of(venue, path, said) as socket:
                await received(socket, 1 if path == USDM_PATH else 2)
                await asyncio.to_thread(venue.control.maintain, "all")
                closing = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
                assert (await socket.receive(timeout=SECONDS)).type in closing

        run(story())
