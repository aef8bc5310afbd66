"""What a venue does of its own accord: other filters, halted symbols, maintenance."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import ccxt
import pytest

from tests.support.simulator import SimAccount, SimulatorProcess

SYMBOL = "BTC/USDT"
MINUTE = 60_000


@pytest.fixture
def venue() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(seed=5, spread_bps=0, weight_limit=0) as process:
        yield process


@pytest.fixture
def alice(venue: SimulatorProcess) -> SimAccount:
    return venue.control.create_account("alice", {"USDT": "1000000", "BTC": "10"})


@pytest.fixture
def exchange(venue: SimulatorProcess, alice: SimAccount) -> Iterator[Any]:
    made = venue.ccxt(alice)
    made.load_markets()
    yield made
    made.close()


def filters(venue: SimulatorProcess) -> dict[str, dict[str, Any]]:
    answer = venue.control.raw("GET", "/api/v3/exchangeInfo", params={"symbol": "BTCUSDT"})
    return {each["filterType"]: each for each in answer.json()["symbols"][0]["filters"]}


def status(venue: SimulatorProcess) -> str:
    answer = venue.control.raw("GET", "/api/v3/exchangeInfo", params={"symbol": "BTCUSDT"})
    return str(answer.json()["symbols"][0]["status"])


def refusal(exchange: Any, call: Callable[[], Any]) -> tuple[int, str]:
    """Code and text with which the venue refuses a raw call."""
    with pytest.raises(ccxt.BaseError):
        call()
    answer = json.loads(exchange.last_http_response)
    return answer["code"], answer["msg"]


def order(exchange: Any, quantity: str, price: str | None = None, side: str = "BUY") -> Any:
    terms = {"type": "MARKET"}
    if price is not None:
        terms = {"type": "LIMIT", "price": price, "timeInForce": "GTC"}
    return exchange.private_post_order(
        {"symbol": "BTCUSDT", "side": side, "quantity": quantity, **terms}
    )


def test_new_filters_hold_for_new_orders_and_leave_the_resting_ones(
    venue: SimulatorProcess, exchange: Any
) -> None:
    old = order(exchange, "0.00101", "40000.01")
    before = venue.control.raw("GET", "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=5").json()
    changed = venue.control.change_instrument(SYMBOL, tick="0.1", step="0.001", min_notional="50")
    assert (changed["min_quantity"], changed["status"]) == ("0.001", "TRADING")
    stated = filters(venue)
    assert stated["PRICE_FILTER"]["tickSize"] == "0.10000000"
    assert stated["LOT_SIZE"]["stepSize"] == stated["LOT_SIZE"]["minQty"] == "0.00100000"
    assert stated["NOTIONAL"]["minNotional"] == "50.00000000"

    assert refusal(exchange, lambda: order(exchange, "0.00101"))[1] == "Filter failure: LOT_SIZE"
    assert refusal(exchange, lambda: order(exchange, "0.002", "40000.01")) == (
        -1013,
        "Filter failure: PRICE_FILTER",
    )
    assert (
        refusal(exchange, lambda: order(exchange, "0.001", "40000"))[1]
        == "Filter failure: NOTIONAL"
    )
    assert order(exchange, "0.002", "40000.1")["status"] == "NEW"
    (first, _) = exchange.private_get_openorders({"symbol": "BTCUSDT"})
    assert first["orderId"] == old["orderId"]
    assert exchange.private_delete_order({"symbol": "BTCUSDT", "orderId": old["orderId"]})
    # The past does not change with the filters.
    after = venue.control.raw("GET", "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=5").json()
    assert after == before


@pytest.mark.parametrize("name", ["BREAK", "HALT"])
def test_a_halted_symbol_takes_no_order_fills_none_and_lets_cancel(
    venue: SimulatorProcess, exchange: Any, name: str
) -> None:
    last = int(float(exchange.fetch_ticker(SYMBOL)["last"]))
    order(exchange, "0.01", str(last - 1))
    order(exchange, "0.01", str(last + 1), "SELL")
    venue.control.change_instrument(SYMBOL, status=name)
    assert status(venue) == name
    assert refusal(exchange, lambda: order(exchange, "0.01")) == (-1013, "Market is closed.")
    venue.control.advance(by_ms=120 * MINUTE)
    states = [each["status"] for each in venue.control.orders()]
    assert states == ["new", "new"], "two hours of a market that went through both of them"
    venue.control.change_instrument(SYMBOL, status="TRADING")
    venue.control.advance(by_ms=MINUTE)
    assert "filled" in [each["status"] for each in venue.control.orders()]


def test_orders_may_be_cancelled_while_their_symbol_is_halted(
    venue: SimulatorProcess, exchange: Any
) -> None:
    resting = order(exchange, "0.01", "40000")
    venue.control.change_instrument(SYMBOL, status="BREAK")
    gone = exchange.private_delete_order({"symbol": "BTCUSDT", "orderId": resting["orderId"]})
    assert gone["status"] == "CANCELED"


def test_while_trading_is_out_of_service_data_go_on_and_nothing_is_taken_or_cancelled(
    venue: SimulatorProcess, exchange: Any
) -> None:
    resting = order(exchange, "0.01", "40000")
    by_id = {"symbol": "BTCUSDT", "orderId": resting["orderId"]}
    venue.control.maintain("trading")
    refused = (-2010, "Rest API trading is not enabled.")
    assert refusal(exchange, lambda: order(exchange, "0.01")) == refused
    assert refusal(exchange, lambda: exchange.private_delete_order(by_id)) == refused
    assert exchange.private_get_order(by_id)["status"] == "NEW"
    assert exchange.fetch_ohlcv(SYMBOL, "1m", limit=3)
    assert status(venue) == "BREAK"
    venue.control.maintain("none")
    assert status(venue) == "TRADING"
    assert exchange.private_delete_order(by_id)["status"] == "CANCELED"


def test_while_everything_is_out_of_service_nothing_is_answered_and_sockets_are_closed(
    venue: SimulatorProcess, exchange: Any
) -> None:
    url = venue.url.replace("http", "ws") + "/stream?streams=btcusdt@kline_1m"

    async def watch() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            await asyncio.to_thread(venue.control.maintain, "all")
            message = await socket.receive(timeout=10)
            assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(url)
            assert caught.value.status == 503

    asyncio.run(watch())
    for path in ("/api/v3/time", "/api/v3/exchangeInfo", "/api/v3/klines?symbol=BTCUSDT"):
        answer = venue.control.raw("GET", path)
        assert answer.status_code == 503
        assert answer.json() == {"code": 1, "msg": "System is under maintenance."}
    with pytest.raises(ccxt.OnMaintenance):
        exchange.fetch_time()
    venue.control.maintain("none")
    assert exchange.fetch_time() > 0


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("/instruments", {"symbol": "NO/SUCH"}, "is not listed"),
        ("/instruments", {"symbol": SYMBOL, "tick": "0"}, "above 0"),
        ("/instruments", {"symbol": SYMBOL, "step": "0.000000001"}, "8 decimals"),
        ("/instruments", {"symbol": SYMBOL, "min_quantity": "10000"}, "must not descend"),
        ("/instruments", {"symbol": SYMBOL, "status": "SLEEPING"}, "must be one of TRADING"),
        ("/instruments", {"symbol": SYMBOL, "colour": "red"}, "unknown field"),
        ("/maintenance", {"mode": "some"}, "must be one of none, trading, all"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    venue: SimulatorProcess, path: str, body: dict[str, str], wrong: str
) -> None:
    answer = venue.control.raw("POST", f"/control{path}", json=body)
    assert answer.status_code in (404, 422)
    assert wrong in answer.json()["error"]
