"""Frames of Binance's streams: read exactly, or refused."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from app.core.exchanges.decoding import Reader
from app.core.exchanges.errors import BadVenueAnswer, VenueUnreachable
from app.core.exchanges.streaming import MarketSocket, StreamRefused, UserSocket
from app.core.exchanges.streaming_frames import (
    Feed,
    FeedKind,
    StreamedKline,
    StreamedTicker,
    name_of,
    order_report,
)
from app.core.orders.types import OrderStatus

KLINE = Feed(FeedKind.KLINE, "BTC/USDT", "1m")
TICKER = Feed(FeedKind.TICKER, "BTC/USDT")
BAR = {
    "t": 60_000, "T": 119_999, "s": "BTCUSDT", "i": "1m", "o": "1.10", "h": "2", "l": "1",
    "c": "1.123456789012345678", "v": "3", "q": "4", "n": 5, "x": True,
}  # fmt: skip
DAY = {
    "e": "24hrTicker", "E": 120_001, "s": "BTCUSDT", "C": 120_000, "c": "2", "b": "1.9",
    "a": "2.1", "v": "77",
}  # fmt: skip
REPORT = {
    "e": "executionReport", "E": 9, "s": "BTCUSDT", "c": "mine", "C": "", "S": "BUY",
    "o": "LIMIT", "x": "TRADE", "X": "PARTIALLY_FILLED", "i": 4, "l": "0.1", "z": "0.3",
    "q": "1", "L": "100", "n": "0.0001", "N": "BTC", "t": 17, "T": 8, "m": True,
}  # fmt: skip


class Wire:
    """A wire that receives what a test puts on it."""

    exchange = "binance"

    def __init__(self, *frames: dict[str, Any]) -> None:
        self.frames = list(frames)
        self.asked: list[tuple[str, Any]] = []

    async def ask(self, method: str, params: Any) -> int:
        self.asked.append((method, params))
        return len(self.asked)

    async def receive(self) -> dict[str, Any]:
        return self.frames.pop(0)

    async def close(self) -> None:
        pass


def read(feed: Feed, data: dict[str, Any]) -> Any:
    async def story() -> Any:
        socket = MarketSocket(Wire({"stream": name_of(feed), "data": data}))  # type: ignore[arg-type]
        await socket.subscribe([feed])
        return await socket.receive()

    return asyncio.run(story())


def test_a_kline_keeps_its_closed_flag_and_every_digit() -> None:
    frame = read(KLINE, {"e": "kline", "E": 120_003, "s": "BTCUSDT", "k": BAR})
    assert isinstance(frame, StreamedKline)
    assert (frame.is_closed, frame.event_ts, frame.row.open_ts) == (True, 120_003, 60_000)
    assert frame.row.close == Decimal("1.123456789012345678")
    assert frame.row.trade_count == 5


def test_a_ticker_has_bid_ask_volume_and_the_venues_time() -> None:
    frame = read(TICKER, DAY)
    assert isinstance(frame, StreamedTicker)
    price = frame.price
    assert (price.timestamp, price.bid, price.ask) == (120_000, Decimal("1.9"), Decimal("2.1"))
    assert price.volume_24h == 77
    assert read(TICKER, {**DAY, "b": "0.00"}).price.bid is None


@pytest.mark.parametrize(
    ("feed", "data"),
    [
        (KLINE, {"E": 1, "k": {**BAR, "x": "true"}}),
        (KLINE, {"E": 1, "k": {**BAR, "x": 1}}),
        (KLINE, {"E": 1, "k": {**BAR, "s": "ETHUSDT"}}),
        (KLINE, {"E": 1, "k": {**BAR, "i": "1M"}}),
        (KLINE, {"E": 1, "k": {**BAR, "t": "60000"}}),
        (KLINE, {"E": 1, "k": {**BAR, "c": 1.5}}),
        (KLINE, {"E": 1}),
        (TICKER, {**DAY, "s": "ETHUSDT"}),
        (TICKER, {**DAY, "c": "NaN"}),
        (TICKER, {**DAY, "b": "2.2"}),
        (TICKER, {**DAY, "C": -1}),
    ],
)
def test_a_frame_that_makes_no_sense_is_refused(feed: Feed, data: dict[str, Any]) -> None:
    with pytest.raises(BadVenueAnswer):
        read(feed, data)


def test_what_was_not_asked_for_is_not_read_and_a_refusal_is_an_error() -> None:
    async def story() -> None:
        wire = Wire(
            {"result": None, "id": 1},
            {"stream": "ethusdt@ticker", "data": DAY},
            {"error": {"code": 2, "msg": "Invalid request"}, "id": 2},
        )
        socket = MarketSocket(wire)  # type: ignore[arg-type]
        await socket.subscribe([KLINE, TICKER])
        assert socket.unanswered == 1
        assert await socket.receive() is None
        assert socket.unanswered == 0
        assert await socket.receive() is None
        with pytest.raises(StreamRefused, match="Invalid request"):
            await socket.receive()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, -2015, StreamRefused),
        (400, -1022, StreamRefused),
        (400, -1021, VenueUnreachable),
        (429, -1003, VenueUnreachable),
        (503, -1000, VenueUnreachable),
    ],
)
def test_only_a_refusal_that_lasts_speaks_of_the_keys(
    status: int, code: int, expected: type[Exception]
) -> None:
    wire = Wire({"id": 1, "status": status, "error": {"code": code, "msg": "no"}})
    with pytest.raises(expected) as refused:
        asyncio.run(UserSocket(wire).subscribe({}))  # type: ignore[arg-type]
    assert type(refused.value) is expected


def test_a_thousand_feeds_are_asked_for_in_few_messages() -> None:
    async def story() -> list[tuple[str, Any]]:
        wire = Wire()
        socket = MarketSocket(wire)  # type: ignore[arg-type]
        await socket.subscribe([Feed(FeedKind.TICKER, f"A{n}/USDT") for n in range(250)])
        return wire.asked

    asked = asyncio.run(story())
    assert [len(names) for _, names in asked] == [100, 100, 50]
    assert len({name for _, names in asked for name in names}) == 250


def test_a_report_becomes_an_answer_with_its_fill() -> None:
    report = order_report(Reader("binance", "user data"), REPORT)
    response = report.response("BTC/USDT")
    assert response.client_order_id == "mine"
    assert response.status is OrderStatus.PARTIALLY_FILLED
    assert (response.quantity, response.filled_quantity) == (1, Decimal("0.3"))
    (fill,) = response.fills
    assert (fill.trade_id, fill.symbol, fill.fee, fill.fee_asset, fill.is_maker) == (
        "17", "BTC/USDT", Decimal("0.0001"), "BTC", True,
    )  # fmt: skip


def test_the_report_of_a_cancel_names_the_order_and_not_the_cancel() -> None:
    given = {**REPORT, "x": "CANCELED", "X": "CANCELED", "c": "the cancel's own", "C": "mine"}
    report = order_report(Reader("binance", "user data"), given)
    assert (report.client_order_id, report.status) == ("mine", OrderStatus.CANCELLED)
    assert report.fill is None


@pytest.mark.parametrize(
    "wrong",
    [{"X": "NOVEL"}, {"S": "HOLD"}, {"z": "2"}, {"L": "0"}, {"N": None}, {"t": -1}, {"q": "0"}],
)
def test_a_report_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadVenueAnswer):
        order_report(Reader("binance", "user data"), {**REPORT, **wrong})
