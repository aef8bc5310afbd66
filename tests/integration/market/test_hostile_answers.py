"""Answers that make no sense raise; none of them is taken for data."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from app.core.exchanges.errors import (
    BadVenueAnswer,
    RateLimited,
    VenueBanned,
    VenueError,
    VenueRejected,
    VenueUnknown,
    VenueUnreachable,
)
from app.core.market.klines import KlineRow
from tests.integration.market.venue import Edge
from tests.support.record import START_MS
from tests.support.stub_venue import Reply, StubVenue

KLINES = "/api/v3/klines"
T = START_MS
ROW = [T, "100.0", "110.0", "90.0", "105.0", "7.5", T + 59_999, "750.25", 12, "3", "300", "0"]


def klines(edge: Edge) -> list[KlineRow]:
    return edge.market.klines("BTC/USDT", "1m", T, T + 600_000, 1000)


def test_klines_are_read_exactly(venue: StubVenue, edge: Edge) -> None:
    venue.on("GET", KLINES, Reply([ROW]))
    expected = [T, *map(Decimal, ("100.0", "110.0", "90.0", "105.0", "7.5", "750.25")), 12]
    assert klines(edge) == [KlineRow._make(expected)]
    assert venue.asked[0].params == {
        "symbol": "BTCUSDT",
        "interval": "1m",
        "startTime": str(T),
        "endTime": str(T + 599_999),
        "limit": "1000",
    }
    assert edge.market.klines("BTC/USDT", "1m", T, T, 1000) == []
    assert len(venue.asked) == 1


def changed(column: int, value: Any) -> list[Any]:
    return [*ROW[:column], value, *ROW[column + 1 :]]


BAD_BODIES = [
    b"",
    b"<html>maintenance</html>",
    b"[[179516",
    b'"a text"',
    b"7",
    b"null",
    b"NaN",
    b"[[NaN]]",
    b"[Infinity]",
    b"\xff\xfe",
    b"[" * 200_000,
    b"[1" + b"0" * 100_000 + b"]",
    json.dumps([ROW]).encode()[:-20],
    b'{"a":1,"a":2}',
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_a_body_that_is_not_json_is_never_data(venue: StubVenue, edge: Edge, body: bytes) -> None:
    for method, path in [
        ("GET", KLINES),
        ("GET", "/api/v3/ticker/24hr"),
        ("GET", "/api/v3/depth"),
        ("GET", "/api/v3/exchangeInfo"),
        ("GET", "/api/v3/time"),
        ("GET", "/api/v3/account"),
        ("GET", "/api/v3/openOrders"),
        ("GET", "/api/v3/myTrades"),
        ("GET", "/api/v3/order"),
    ]:
        venue.on(method, path, Reply(body))
    for ask in (
        lambda: klines(edge),
        lambda: edge.market.ticker("BTC/USDT"),
        lambda: edge.market.order_book("BTC/USDT", 5),
        edge.market.instruments,
        edge.market.server_time_ms,
        edge.trade.get_balance,
        lambda: edge.trade.open_orders("BTC/USDT"),
        lambda: edge.trade.own_trades("BTC/USDT", None),
        lambda: edge.trade.get_order_status("BTC/USDT", "a1"),
    ):
        with pytest.raises(BadVenueAnswer):
            ask()


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"code": 0},
        [None],
        ["row"],
        [ROW[:6]],
        [[]],
        [changed(0, str(T))],
        [changed(0, None)],
        [changed(0, -1)],
        [changed(0, 2**63)],
        [changed(0, True)],
        [changed(1, 100.0)],
        [changed(1, None)],
        [changed(1, "")],
        [changed(1, "1,5")],
        [changed(1, "9" * 65)],
        [changed(8, "12")],
        [ROW, [T + 60_000, "1"]],
    ],
)
def test_klines_of_another_shape_spoil_the_answer(
    venue: StubVenue, edge: Edge, answer: Any
) -> None:
    venue.on("GET", KLINES, Reply(answer))
    with pytest.raises(BadVenueAnswer):
        klines(edge)


def test_an_impossible_number_is_left_to_quarantine(venue: StubVenue, edge: Edge) -> None:
    venue.on("GET", KLINES, Reply([changed(1, "NaN"), changed(2, "1e308"), changed(5, "-1")]))
    assert [str(row.open) for row in klines(edge)] == ["NaN", "100.0", "100.0"]


DAY = {"symbol": "BTCUSDT", "lastPrice": "100.5", "volume": "7", "closeTime": T}
TOP = {"symbol": "BTCUSDT", "bidPrice": "100", "askPrice": "101"}


def serve_ticker(venue: StubVenue, day: Any = DAY, top: Any = TOP) -> None:
    venue.on("GET", "/api/v3/ticker/24hr", Reply(day))
    venue.on("GET", "/api/v3/ticker/bookTicker", Reply(top))


def test_a_ticker_carries_bid_ask_last_and_market_time(venue: StubVenue, edge: Edge) -> None:
    serve_ticker(venue)
    price = edge.market.ticker("BTC/USDT")
    assert (price.timestamp, price.price, price.bid, price.ask) == (
        T,
        Decimal("100.5"),
        Decimal(100),
        Decimal(101),
    )
    serve_ticker(venue, top={**TOP, "bidPrice": "0.00000000"})
    assert edge.market.ticker("BTC/USDT").bid is None


@pytest.mark.parametrize(
    ("day", "top"),
    [
        ({**DAY, "symbol": "ETHUSDT"}, TOP),
        (DAY, {**TOP, "symbol": "ETHUSDT"}),
        ({**DAY, "lastPrice": None}, TOP),
        ({**DAY, "lastPrice": "0"}, TOP),
        ({**DAY, "lastPrice": "NaN"}, TOP),
        ({**DAY, "lastPrice": "1e30"}, TOP),
        ({**DAY, "volume": "-1"}, TOP),
        ({**DAY, "closeTime": str(T)}, TOP),
        (DAY, {**TOP, "bidPrice": "102"}),
        (DAY, {**TOP, "askPrice": "Infinity"}),
        (DAY, [TOP]),
        ([DAY], TOP),
    ],
)
def test_a_ticker_that_cannot_be_is_refused(
    venue: StubVenue, edge: Edge, day: Any, top: Any
) -> None:
    serve_ticker(venue, day, top)
    with pytest.raises(BadVenueAnswer):
        edge.market.ticker("BTC/USDT")


BOOK = {"lastUpdateId": 7, "bids": [["100", "1"], ["99", "2"]], "asks": [["101", "1"]]}


def test_an_order_book_is_read_best_first(venue: StubVenue, edge: Edge) -> None:
    venue.on("GET", "/api/v3/depth", Reply(BOOK))
    book = edge.market.order_book("BTC/USDT", 5)
    assert (book.sequence, book.bids[0], book.asks) == (
        7,
        (Decimal(100), Decimal(1)),
        ((Decimal(101), Decimal(1)),),
    )


@pytest.mark.parametrize(
    "part",
    [
        {"bids": [["99", "1"], ["100", "2"]]},
        {"asks": [["102", "1"], ["101", "1"]]},
        {"bids": [["101", "1"]]},
        {"bids": [["100"]]},
        {"bids": [["100", "0"]]},
        {"bids": [["-100", "1"]]},
        {"bids": [["NaN", "1"]]},
        {"bids": None},
        {"lastUpdateId": None},
    ],
)
def test_an_order_book_that_cannot_be_is_refused(
    venue: StubVenue, edge: Edge, part: dict[str, Any]
) -> None:
    venue.on("GET", "/api/v3/depth", Reply({**BOOK, **part}))
    with pytest.raises(BadVenueAnswer):
        edge.market.order_book("BTC/USDT", 5)


def test_an_answer_of_more_than_8_mib_is_not_read(venue: StubVenue, edge: Edge) -> None:
    row = json.dumps(ROW).encode()
    venue.on("GET", KLINES, Reply(b"[" + b",".join([row] * 90_000) + b"]"))
    with pytest.raises(BadVenueAnswer, match="larger than 8388608 bytes"):
        klines(edge)


def test_nor_one_that_unpacks_to_more(venue: StubVenue, edge: Edge) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    assert len(bomb) < 100_000
    venue.on("GET", KLINES, Reply(bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(BadVenueAnswer, match="larger than"):
        klines(edge)


def test_a_page_that_is_not_what_its_header_says(venue: StubVenue, edge: Edge) -> None:
    venue.on("GET", KLINES, Reply(b"not gzip", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(VenueUnreachable):
        klines(edge)


def test_a_line_cut_in_the_middle_of_an_answer(venue: StubVenue, edge: Edge) -> None:
    venue.on("GET", KLINES, Reply([ROW], cut_after=30))
    with pytest.raises(VenueUnreachable) as cut:
        klines(edge)
    assert "http" not in str(cut.value)


def test_nobody_listens() -> None:
    with StubVenue() as gone:
        url = gone.url
    with pytest.raises(VenueUnreachable, match=r"^binance: no connection, connection refused$"):
        klines(Edge(url))


def test_a_slow_answer_ends_at_the_deadline(venue: StubVenue, edge: Edge) -> None:
    edge.clock.cost_s = 3.0  # each look at the clock takes 3 s; the deadline is 5 s
    venue.on("GET", KLINES, Reply(b"[" + b" " * 300_000 + b"]"))
    with pytest.raises(VenueUnreachable, match="longer than 5 s"):
        klines(edge)


def test_a_silent_server_is_left_at_the_timeout() -> None:
    with StubVenue() as stub:
        stub.on("GET", KLINES, Reply(b"[", announced=100))
        with pytest.raises(VenueUnreachable, match="no whole answer came"):
            klines(Edge(stub.url, timeout_s=0.1))


def test_a_redirect_is_not_followed(venue: StubVenue, edge: Edge) -> None:
    venue.on("GET", KLINES, Reply(b"", 302, {"Location": f"{venue.url}/api/v3/time"}))
    with pytest.raises(VenueUnknown, match="302"):
        klines(edge)
    assert [asked.path for asked in venue.asked] == [KLINES]


def failing(venue: StubVenue, edge: Edge, reply: Reply) -> VenueError:
    venue.on("GET", KLINES, reply)
    before = len(venue.asked)
    with pytest.raises(VenueError) as failed:
        klines(edge)
    assert len(venue.asked) == before + 1, "a request is never repeated inside"
    return failed.value


def test_refusals_carry_the_venues_own_words(venue: StubVenue, edge: Edge) -> None:
    error = failing(venue, edge, Reply({"code": -1121, "msg": "Invalid\nsymbol."}, 400))
    assert isinstance(error, VenueRejected)
    assert (error.venue_code, error.venue_text) == ("-1121", "Invalid symbol.")
    assert str(error) == "binance: answered HTTP 400 and refused (-1121 Invalid symbol.)"
    assert type(failing(venue, edge, Reply(b"<html>", 502))) is VenueUnknown
    assert type(failing(venue, edge, Reply({"code": -1121, "msg": "?"}, 200))) is VenueUnknown


def test_a_429_stops_the_traffic_for_as_long_as_it_says(venue: StubVenue, edge: Edge) -> None:
    limited = Reply({"code": -1003, "msg": "Too much"}, 429, {"Retry-After": "7"})
    error = failing(venue, edge, limited)
    assert isinstance(error, RateLimited)
    assert error.retry_after_ms == 7_000
    sent = len(venue.asked)
    with pytest.raises(RateLimited):
        edge.market.server_time_ms()
    assert len(venue.asked) == sent


def test_a_429_without_a_time_waits_for_the_next_minute(venue: StubVenue, edge: Edge) -> None:
    edge.clock.advance(15_000)
    error = failing(venue, edge, Reply(b"", 429))
    assert isinstance(error, RateLimited)
    assert error.retry_after_ms == 45_000


def test_a_418_stops_everything_and_is_kept(venue: StubVenue, edge: Edge) -> None:
    text = f"Way too much request weight used; IP banned until {T + 180_000}."
    error = failing(venue, edge, Reply({"code": -1003, "msg": text}, 418))
    assert isinstance(error, VenueBanned)
    assert error.until_ms == T + 180_000
    assert edge.bans.saved == [("binance", T + 180_000, f"HTTP 418 {text}")]
    sent = len(venue.asked)
    stopped: list[Callable[[], object]] = [
        edge.trade.get_balance,
        edge.market.server_time_ms,
        lambda: edge.trade.cancel_order("BTC/USDT", "a1"),
    ]
    for ask in stopped:
        with pytest.raises(VenueBanned):
            ask()
    assert len(venue.asked) == sent
    venue.on("GET", "/api/v3/time", Reply({"serverTime": 5}))
    edge.clock.advance(180_000)
    assert edge.market.server_time_ms() == 5


def test_the_venues_own_count_of_weight_is_learned(venue: StubVenue, edge: Edge) -> None:
    used = {"X-MBX-USED-WEIGHT-1M": "1234"}
    venue.on("GET", "/api/v3/time", Reply({"serverTime": 5}, headers=used))
    edge.market.server_time_ms()
    assert edge.budget.used("binance") == 1234
