"""A bound exchange reaches the simulator and nobody else, whatever venue it speaks as."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ccxt
import pytest

from app.core.errors import InvalidInput
from app.core.exchanges.loopback import VENUE_HOSTS, ForeignHost, bind_sync
from app.core.exchanges.symbols import NAMES, native_id
from tests.support.stub_venue import Reply, StubVenue

ASKED = {
    "binance": ("public_get_time", "/api/v3/time"),
    "binanceusdm": ("fapipublic_get_time", "/fapi/v1/time"),
    "okx": ("public_get_public_time", "/api/v5/public/time"),
    "bybit": ("public_get_v5_market_time", "/v5/market/time"),
}


@pytest.fixture
def venue() -> Iterator[StubVenue]:
    with StubVenue() as stub:
        yield stub


def bound(exchange: str, url: str) -> Any:
    client = getattr(ccxt, exchange)()
    bind_sync(client, url)
    return client


@pytest.mark.parametrize("exchange", VENUE_HOSTS)
def test_the_host_alone_is_replaced(venue: StubVenue, exchange: str) -> None:
    method, path = ASKED[exchange]
    venue.on("GET", path, Reply({"code": "0", "retCode": 0, "data": [], "result": {}}))
    getattr(bound(exchange, venue.url), method)()
    assert [asked.path for asked in venue.asked] == [path]


def test_open_interest_of_binance_has_a_path_of_its_own(venue: StubVenue) -> None:
    venue.on("GET", "/futures/data/openInterestHist", Reply([]))
    bound("binanceusdm", venue.url).fapidata_get_openinteresthist({"symbol": "BTCUSDT"})
    assert [asked.path for asked in venue.asked] == ["/futures/data/openInterestHist"]


@pytest.mark.parametrize("exchange", VENUE_HOSTS)
@pytest.mark.parametrize("url", ["https://example.com/x", "https://testnet.binance.vision/api"])
def test_no_other_host_is_reached(venue: StubVenue, exchange: str, url: str) -> None:
    client = bound(exchange, venue.url)
    with pytest.raises(ForeignHost):
        client.session.get(url)
    assert venue.asked == []


@pytest.mark.parametrize("url", ["http://10.0.0.1:80", "https://127.0.0.1", "http://www.okx.com"])
def test_a_simulator_is_on_loopback(url: str) -> None:
    with pytest.raises(InvalidInput, match="must be http on a loopback address"):
        bound("okx", url)


def test_a_venue_that_is_not_simulated_is_not_bound() -> None:
    with pytest.raises(InvalidInput, match="'kraken' is not simulated"):
        bound("kraken", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("exchange", "symbol", "name"),
    [
        ("binance", "BTC/USDT", "BTCUSDT"),
        ("binanceusdm", "BTC/USDT:USDT", "BTCUSDT"),
        ("okx", "BTC/USDT", "BTC-USDT"),
        ("okx", "BTC/USDT:USDT", "BTC-USDT-SWAP"),
        ("bybit", "BTC/USDT", "BTCUSDT"),
        ("bybit", "BTC/USDT:USDT", "BTCUSDT"),
        ("bybit", "BTC/USDC", "BTCUSDC"),
        ("bybit", "BTC/USDC:USDC", "BTCPERP"),
    ],
)
def test_each_venue_names_symbols_its_own_way(exchange: str, symbol: str, name: str) -> None:
    assert exchange in NAMES
    assert native_id(exchange, symbol) == name
