"""Any other exchange through ccxt's unified calls: Kraken stands for all of them here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from app.adapters.budget import InProcessBudget
from app.core.errors import InvalidInput, UnknownName
from app.core.exchanges.decoding import Reader
from app.core.exchanges.errors import (
    BadVenueAnswer,
    RateLimited,
    VenueKeyRefused,
    VenueRejected,
    VenueRetryLater,
    VenueRulesRefused,
    VenueUnknown,
    VenueUnreachable,
)
from app.core.exchanges.factory import market_adapter
from app.core.exchanges.markets.generic import GenericMarket
from app.core.exchanges.markets.generic_rows import features_of, instrument
from app.core.exchanges.unified import UnifiedSession
from app.core.market.instruments import InstrumentStatus, InstrumentType
from app.core.market.intervals import DAY_MS, MINUTE_MS
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.points import FundingRate
from tests.support.market_edge import NO_DATA, Bans
from tests.support.record import START_MS, ManualClock
from tests.support.stub_venue import Reply, StubVenue

D = Decimal
T = START_MS
PAIRS, OHLC = "/0/public/AssetPairs", "/0/public/OHLC"
HOUR = 3_600_000

XBTUSD = {
    "altname": "XBTUSD",
    "wsname": "XBT/USD",
    "base": "XXBT",
    "quote": "ZUSD",
    "cost_decimals": 5,
    "pair_decimals": 1,
    "lot_decimals": 8,
    "fees": [[0, 0.4]],
    "fees_maker": [[0, 0.25]],
    "ordermin": "0.00005",
    "costmin": "0.5",
    "tick_size": "0.1",
    "status": "online",
}


class Edge:
    """An exchange's adapter, Kraken's mostly, led to a venue that the test scripts."""

    def __init__(self, stub: StubVenue, exchange: str = "kraken") -> None:
        self.stub = stub
        self.clock = ManualClock(now=T + HOUR)
        self.budget = InProcessBudget(self.clock, Bans(), sleep=self._sleep)

        def bind(client: Any) -> None:
            # Some of ccxt's addresses end in a slash, and all paths follow them directly.
            slash = {name: "/" * url.endswith("/") for name, url in client.urls["api"].items()}
            client.urls["api"] = {name: stub.url + end for name, end in slash.items()}

        session = UnifiedSession(exchange, self.budget, self.clock, bind=bind, timeout_s=5.0)
        self.market = GenericMarket(session)
        self.say(PAIRS, {"XXBTZUSD": XBTUSD})

    def say(self, path: str, result: Any, *error: str) -> None:
        """Answer in Kraken's envelope."""
        self.stub.on("GET", path, Reply({"error": list(error), "result": result}))

    def paths(self) -> list[str]:
        """What was asked for so far."""
        return [asked.path for asked in self.stub.asked]

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(max(1, round(seconds * 1000)))


@pytest.fixture
def edge() -> Iterator[Edge]:
    with StubVenue() as stub:
        yield Edge(stub)


def bar(opened: int, close: Any = "105.10") -> list[Any]:
    return [opened // 1000, "100.1", "110", "90", close, "102", "7.123456789012345678", 12]


def test_what_cannot_be_had_is_said_in_plain_sentences(edge: Edge) -> None:
    features = edge.market.features
    assert features.intervals == {"1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"}
    assert features.page == 720
    assert features.kinds == {KlineKind.TRADE}
    assert "Of each interval the latest 720 klines are given alone." in features.lacks
    assert "There are no funding rates." in features.lacks
    assert all(said.endswith(".") for said in features.lacks)


@pytest.mark.parametrize("exchange", ccxt.exchanges)
def test_every_exchange_that_ccxt_knows_can_be_described(exchange: str) -> None:
    features = features_of(getattr(ccxt, exchange)())
    assert 60 <= features.page <= 1000
    assert features.intervals or "There are no klines." in features.lacks


def test_markets_become_instruments(edge: Edge) -> None:
    (found,) = edge.market.instruments()
    assert (found.exchange, found.symbol, found.native_id) == ("kraken", "BTC/USD", "XXBTZUSD")
    assert (found.type, found.status) == (InstrumentType.SPOT, InstrumentStatus.TRADING)
    assert (found.tick_size, found.step_size) == (D("0.1"), D("1E-8"))
    assert (found.min_quantity, found.min_notional) == (D("0.00005"), D("0.5"))
    assert edge.market.native_id("BTC/USD") == "XXBTZUSD"
    with pytest.raises(VenueRulesRefused, match="does not list DOGE/USD"):
        edge.market.instruments(["DOGE/USD"])


def test_numbers_stay_exact_on_their_way_through_ccxt(edge: Edge) -> None:
    edge.say(OHLC, {"XXBTZUSD": [bar(T), bar(T + MINUTE_MS)], "last": 0})
    rows = edge.market.klines("BTC/USD", "1m", T, T + MINUTE_MS, 10)
    volume = D("7.123456789012345678")
    assert rows == [KlineRow(T, D("100.1"), D(110), D(90), D("105.10"), volume, None, None)]
    assert edge.paths() == [PAIRS, OHLC]


def test_a_number_that_is_no_text_stays_exact_too(edge: Edge) -> None:
    body = b'{"error":[],"result":{"XXBTZUSD":[[%d,0.1,0.3,0.1,0.30000000000000004440,0,1,1]]}}'
    edge.stub.on("GET", OHLC, Reply(body % (T // 1000)))
    (row,) = edge.market.klines("BTC/USD", "1m", T, T + MINUTE_MS, 10)
    assert row.close == D("0.30000000000000004440")


def test_markets_are_asked_for_once_and_every_request_is_paid_for(edge: Edge) -> None:
    edge.say(OHLC, {"XXBTZUSD": [bar(T)]})
    for _ in range(3):
        edge.market.klines("BTC/USD", "1m", T, T + MINUTE_MS, 10)
    assert edge.paths() == [PAIRS, OHLC, OHLC, OHLC]
    assert edge.budget.used("kraken") == 4 * 20  # a second each, of 1200 a minute


def test_an_exchange_of_latest_bars_is_not_asked_for_older_ones(edge: Edge) -> None:
    oldest = T + HOUR - 720 * MINUTE_MS
    edge.say(OHLC, {"XXBTZUSD": [bar(oldest + n * MINUTE_MS) for n in range(720)]})
    rows = edge.market.klines("BTC/USD", "1m", T - 900 * DAY_MS, T + HOUR, 1000)
    assert [row.open_ts for row in rows] == [oldest + n * MINUTE_MS for n in range(720)]
    assert edge.paths() == [PAIRS, OHLC]


def test_what_it_does_not_have_is_refused_before_asking(edge: Edge) -> None:
    with pytest.raises(InvalidInput, match="no klines of 3m"):
        edge.market.klines("BTC/USD", "3m", T, T + HOUR, 9)
    with pytest.raises(InvalidInput, match="no mark klines"):
        edge.market.klines("BTC/USD", "1m", T, T + HOUR, 9, KlineKind.MARK)
    with pytest.raises(InvalidInput, match="no funding rates"):
        edge.market.funding_rates("BTC/USD:USD", T, T + HOUR, 9)
    with pytest.raises(InvalidInput, match="no open interest"):
        edge.market.open_interest("BTC/USD:USD", "1h", T, T + HOUR, 9)
    assert edge.paths() == []


TICKER = {
    "a": ["101.0", "1", "1"],
    "b": ["100.0", "1", "1"],
    "c": ["100.5", "0.1"],
    "v": ["3", "7"],
    "p": ["100", "100"],
    "t": [1, 2],
    "l": ["90", "90"],
    "h": ["110", "110"],
    "o": "100",
}


def test_a_ticker_without_a_time_is_given_ours(edge: Edge) -> None:
    edge.say("/0/public/Ticker", {"XXBTZUSD": TICKER})
    price = edge.market.ticker("BTC/USD")
    assert (price.timestamp, price.price, price.bid, price.ask, price.volume_24h) == (
        T + HOUR,
        D("100.5"),
        D(100),
        D(101),
        D(7),
    )
    assert edge.market.turnover() == {"XXBTZUSD": D(700)}


def test_a_book_is_sorted_and_cut(edge: Edge) -> None:
    levels = {
        "bids": [["99", "2", T // 1000], ["100", "1", T // 1000]],
        "asks": [["101", "1", T // 1000], ["102", "3", T // 1000]],
    }
    edge.say("/0/public/Depth", {"XXBTZUSD": levels})
    book = edge.market.order_book("BTC/USD", 1)
    assert (book.bids, book.asks) == (((D(100), D(1)),), ((D(101), D(1)),))


def test_the_clock_is_the_exchanges(edge: Edge) -> None:
    edge.say("/0/public/Time", {"unixtime": 1_616_336_594, "rfc1123": "Sun"})
    assert edge.market.server_time_ms() == 1_616_336_594_000


def questions(edge: Edge) -> list[Callable[[], object]]:
    market = edge.market
    return [
        lambda: market.klines("BTC/USD", "1m", T, T + HOUR, 9),
        lambda: market.ticker("BTC/USD"),
        lambda: market.order_book("BTC/USD", 5),
        market.turnover,
        market.server_time_ms,
        market.instruments,
    ]


PATHS = (OHLC, "/0/public/Ticker", "/0/public/Depth", "/0/public/Time", PAIRS)


@pytest.mark.parametrize("body", NO_DATA, ids=range(len(NO_DATA)))
def test_what_is_not_json_never_reaches_ccxt(edge: Edge, body: bytes) -> None:
    if body.startswith(b'{"code":"0","retCode":0,"data":[["'):
        body = b'{"error":[],"result":[["179516'
    edge.market.instruments()
    for path in PATHS:
        edge.stub.on("GET", path, Reply(body))
    for ask in questions(edge):
        with pytest.raises(BadVenueAnswer):
            ask()


@pytest.mark.parametrize(
    "rows",
    [
        [[T // 1000]],
        [[None, "1", "1", "1", "1", "1", "1", 1]],
        [["soon", "1", "1", "1", "1", "1", "1", 1]],
        [bar(T, None)],
        [bar(T, "one")],
        [bar(T), bar(T)],
        [None],
        ["row"],
        [{"a": 1}],
    ],
)
def test_klines_of_another_shape_spoil_the_answer(edge: Edge, rows: list[Any]) -> None:
    edge.say(OHLC, {"XXBTZUSD": rows})
    with pytest.raises(BadVenueAnswer):
        edge.market.klines("BTC/USD", "1m", T, T + HOUR, 9)


def test_an_impossible_number_is_left_to_quarantine(edge: Edge) -> None:
    edge.say(OHLC, {"XXBTZUSD": [bar(T, "-1")]})
    (row,) = edge.market.klines("BTC/USD", "1m", T, T + HOUR, 9)
    assert row.close == -1


@pytest.mark.parametrize(
    "changed",
    [{"c": ["0", "1"]}, {"c": []}, {"b": ["102", "1"]}, {"a": ["-1"]}, {"v": ["1", "-7"]}],
)
def test_a_ticker_that_cannot_be_is_refused(edge: Edge, changed: dict[str, Any]) -> None:
    edge.say("/0/public/Ticker", {"XXBTZUSD": {**TICKER, **changed}})
    with pytest.raises(BadVenueAnswer):
        edge.market.ticker("BTC/USD")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EQuery:Invalid asset pair", VenueRulesRefused),
        ("EService:Unavailable", VenueRetryLater),
        ("EAPI:Invalid key", VenueKeyRefused),
        ("EGeneral:Invalid arguments", VenueRejected),
        ("EWhatever:New", VenueUnknown),
    ],
)
def test_refusals_are_read_by_ccxts_own_classes(
    edge: Edge, text: str, expected: type[Exception]
) -> None:
    edge.say(OHLC, {}, text)
    with pytest.raises(expected) as failed:
        edge.market.klines("BTC/USD", "1m", T, T + HOUR, 9)
    assert type(failed.value) is expected
    assert text in str(failed.value)
    assert "http" not in str(failed.value)


@pytest.mark.parametrize(
    "reply", [Reply({"error": ["EAPI:Rate limit exceeded"]}), Reply(b"slow down", 429)]
)
def test_asking_too_often_stops_the_traffic_for_the_minute(edge: Edge, reply: Reply) -> None:
    edge.market.instruments()
    edge.clock.advance(15_000)
    edge.stub.on("GET", OHLC, reply)
    with pytest.raises(RateLimited) as limited:
        edge.market.klines("BTC/USD", "1m", T, T + HOUR, 9)
    assert limited.value.retry_after_ms == 45_000
    sent = len(edge.paths())
    with pytest.raises(RateLimited):
        edge.market.server_time_ms()
    assert len(edge.paths()) == sent


def test_a_server_that_fails_proves_nothing(edge: Edge) -> None:
    edge.market.instruments()
    edge.stub.on("GET", OHLC, Reply(b"<html>", 502))
    with pytest.raises(VenueUnknown):
        edge.market.klines("BTC/USD", "1m", T, T + HOUR, 9)
    edge.stub.on("GET", OHLC, Reply({"error": [], "result": {}}, cut_after=9))
    with pytest.raises(VenueUnreachable):
        edge.market.klines("BTC/USD", "1m", T, T + HOUR, 9)


RATE = {"timestamp": "2026-03-01T04:00:00.000Z", "relativeFundingRate": "-0.00006077996"}


@pytest.fixture
def futures() -> Iterator[Edge]:
    with StubVenue() as stub:
        found = Edge(stub, "krakenfutures")
        contract = {
            "symbol": "PF_XBTUSD",
            "type": "flexible_futures",
            "tradeable": True,
            "tickSize": 0.5,
            "contractSize": 1,
            "contractValueTradePrecision": 4,
        }
        stub.on("GET", "/v3/instruments", Reply({"result": "success", "instruments": [contract]}))
        yield found


def test_funding_comes_from_an_exchange_that_has_it(futures: Edge) -> None:
    path = "/v4/historicalfundingrates"
    earlier = {**RATE, "timestamp": "2026-02-28T20:00:00.000Z"}
    futures.stub.on("GET", path, Reply({"result": "success", "rates": [RATE, earlier]}))
    assert futures.market.features.has_funding
    assert futures.market.funding_rates("BTC/USD:USD", T, T + DAY_MS, 9) == [
        FundingRate(T + 4 * HOUR, D("-0.00006077996"))
    ]
    with pytest.raises(InvalidInput, match="name a perpetual"):
        futures.market.funding_rates("BTC/USD", T, T + DAY_MS, 9)


@pytest.mark.parametrize(
    "rates",
    [
        [{**RATE, "timestamp": None}],
        [{**RATE, "relativeFundingRate": None}],
        [{**RATE, "relativeFundingRate": "NaN"}],
        [RATE, RATE],
    ],
)
def test_funding_that_cannot_be_is_refused(futures: Edge, rates: list[Any]) -> None:
    path = "/v4/historicalfundingrates"
    futures.stub.on("GET", path, Reply({"result": "success", "rates": rates}))
    with pytest.raises(BadVenueAnswer):
        futures.market.funding_rates("BTC/USD:USD", T, T + DAY_MS, 9)


def test_a_name_that_is_nearly_right_is_recognised() -> None:
    clock = ManualClock()
    budget = InProcessBudget(clock, Bans())
    with pytest.raises(UnknownName, match="did you mean kraken"):
        market_adapter("krakn", budget, clock)
    with pytest.raises(UnknownName, match="'Exchange' is not known"):
        market_adapter("Exchange", budget, clock)
    with pytest.raises(UnknownName, match="'kraken' is not simulated; use one of binance, "):
        market_adapter("kraken", budget, clock, base_url="http://127.0.0.1:1")
    assert market_adapter("kraken", budget, clock).exchange == "kraken"


CONTRACT = {
    "id": "BTC_USDT",
    "symbol": "BTC/USDT:USDT",
    "base": "BTC",
    "quote": "USDT",
    "spot": False,
    "swap": True,
    "linear": True,
    "active": False,
    "contractSize": D("0.0001"),
    "precision": {"price": D("0.1"), "amount": D(1)},
    "limits": {"amount": {"min": D(1), "max": D(1000000)}, "cost": {"min": None}},
}


def read(market: dict[str, Any], mode: int = 4) -> Any:
    return instrument("gate", Reader("gate", "markets"), market, mode)


def test_contracts_become_base_units() -> None:
    found = read(CONTRACT)
    assert (found.type, found.status) == (InstrumentType.SWAP, InstrumentStatus.HALTED)
    assert (found.contract_size, found.step_size, found.min_quantity, found.max_quantity) == (
        D("0.0001"),
        D("0.0001"),
        D("0.0001"),
        D(100),
    )
    assert read({**CONTRACT, "linear": False}) is None
    places = {**CONTRACT, "precision": {"price": 2, "amount": 0}}
    assert (read(places, 2).tick_size, read(places, 2).step_size) == (D("0.01"), D("0.0001"))
    # Significant digits are no step: the finest is taken, which refuses nothing.
    assert read(places, 3).tick_size == D("1E-18")


@pytest.mark.parametrize(
    "changed",
    [
        {"contractSize": None},
        {"contractSize": D(0)},
        {"symbol": None},
        {"precision": None},
        {"limits": {"amount": {"min": D(-1)}}},
    ],
)
def test_a_market_that_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(BadVenueAnswer):
        read({**CONTRACT, **changed})
