"""OKX: contracts become base units, open bars stay out, and every page is asked for rightly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import InvalidInput
from app.core.exchanges.errors import (
    BadVenueAnswer,
    RateLimited,
    VenueRetryLater,
    VenueRulesRefused,
    VenueUnknown,
)
from app.core.market.instruments import InstrumentStatus, InstrumentType
from app.core.market.intervals import DAY_MS, MINUTE_MS
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.points import FundingRate, OpenInterest
from tests.support.market_edge import NO_DATA, MarketEdge, capture
from tests.support.record import START_MS
from tests.support.stub_venue import Reply, StubVenue

D = Decimal
T = START_MS
SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
HOUR = 3_600_000
MARKET = "/api/v5/market"
PUBLIC = "/api/v5/public"
INTEREST = "/api/v5/rubik/stat/contracts/open-interest-history"


@pytest.fixture
def edge() -> Iterator[MarketEdge]:
    with StubVenue() as stub:
        found = MarketEdge("okx", stub)
        found.clock.now = T + HOUR
        yield found


def said(*rows: Any) -> dict[str, Any]:
    """OKX's envelope."""
    return {"code": "0", "msg": "", "data": list(rows)}


PAIR = {
    "instType": "SPOT",
    "instId": "BTC-USDT",
    "baseCcy": "BTC",
    "quoteCcy": "USDT",
    "state": "live",
    "tickSz": "0.1",
    "lotSz": "0.00000001",
    "minSz": "0.00001",
    "maxLmtSz": "9999999999",
    "ctType": "",
    "ctVal": "",
    "ctMult": "",
    "settleCcy": "",
}
CONTRACT = {
    **PAIR,
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "ctType": "linear",
    "ctVal": "0.01",
    "ctMult": "1",
    "settleCcy": "USDT",
    "lotSz": "0.1",
    "minSz": "0.1",
    "maxLmtSz": "100000",
}


def test_contracts_are_listed_in_base_units(edge: MarketEdge) -> None:
    inverse = {**CONTRACT, "instId": "BTC-USD-SWAP", "ctType": "inverse", "settleCcy": "BTC"}
    unopened = {**CONTRACT, "instId": "NEW-USDT-SWAP", "state": "preopen", "tickSz": ""}
    stopped = {**PAIR, "instId": "OLD-USDT", "state": "suspend"}
    edge.serve(f"{PUBLIC}/instruments", said(PAIR, stopped), said(CONTRACT, inverse, unopened))
    spot, old, swap = edge.market.instruments()
    assert [asked["instType"] for _, asked in edge.asked()] == ["SPOT", "SWAP"]
    assert (spot.symbol, spot.native_id, spot.type) == (SPOT, "BTC-USDT", InstrumentType.SPOT)
    assert (spot.tick_size, spot.step_size, spot.contract_size) == (D("0.1"), D("1E-8"), D(1))
    assert old.status is InstrumentStatus.HALTED
    assert (swap.symbol, swap.native_id, swap.type) == (SWAP, "BTC-USDT-SWAP", InstrumentType.SWAP)
    assert (swap.contract_size, swap.step_size, swap.min_quantity, swap.max_quantity) == (
        D("0.01"),
        D("0.001"),
        D("0.001"),
        D(1000),
    )
    edge.serve(f"{PUBLIC}/instruments", said(CONTRACT))
    assert [found.symbol for found in edge.market.instruments([SWAP])] == [SWAP]
    assert [asked["instType"] for _, asked in edge.asked()] == ["SWAP"]
    with pytest.raises(VenueRulesRefused, match="does not list DOGE/USDT:USDT"):
        edge.market.instruments(["DOGE/USDT:USDT"])


def test_every_recorded_instrument_is_read(edge: MarketEdge) -> None:
    spot = capture("okx/instruments_instType-SPOT.json.gz")
    swap = capture("okx/instruments_instType-SWAP.json.gz")
    edge.serve(f"{PUBLIC}/instruments", spot, swap)
    found = edge.market.instruments()
    linear = {row["instId"] for row in swap["data"] if row["ctType"] == "linear"}
    assert {one.native_id for one in found} == {row["instId"] for row in spot["data"]} | linear
    assert len(found) == 513 + 126
    by_id = {row["instId"]: row for row in swap["data"]}
    for one in found:
        assert one.native_id == one.symbol.split(":")[0].replace("/", "-") + (
            "-SWAP" if one.type is InstrumentType.SWAP else ""
        )
        if one.type is InstrumentType.SWAP:
            row = by_id[one.native_id]
            assert one.contract_size == D(row["ctVal"])
            assert one.step_size == D(row["lotSz"]) * D(row["ctVal"])


def candle(opened: int, confirm: str = "1") -> list[str]:
    # 628 contracts of 0.01 BTC are 6.28 BTC.
    return [str(opened), "100", "110", "90", "105", "628", "6.28", "659.4", confirm]


def test_a_swaps_volume_is_the_column_in_base_units(edge: MarketEdge) -> None:
    edge.serve(f"{MARKET}/candles", said(candle(T + MINUTE_MS), candle(T)))
    rows = edge.market.klines(SWAP, "1m", T, T + 2 * MINUTE_MS, 300)
    price = tuple(map(D, ("100", "110", "90", "105")))
    assert rows == [
        KlineRow(T, *price, D("6.28"), D("659.4"), None),
        KlineRow(T + MINUTE_MS, *price, D("6.28"), D("659.4"), None),
    ]
    assert edge.asked() == [
        (
            f"{MARKET}/candles",
            {
                "instId": "BTC-USDT-SWAP",
                "bar": "1m",
                "before": str(T - 1),
                "after": str(T + 2 * MINUTE_MS),
                "limit": "300",
            },
        )
    ]


def test_a_spot_pairs_volume_is_the_first_column(edge: MarketEdge) -> None:
    edge.serve(f"{MARKET}/candles", said(candle(T)))
    (row,) = edge.market.klines(SPOT, "1m", T, T + MINUTE_MS, 300)
    assert (row.volume, row.quote_volume) == (D(628), D("659.4"))


def test_a_bar_that_has_not_closed_is_not_returned(edge: MarketEdge) -> None:
    edge.serve(f"{MARKET}/candles", said(candle(T + MINUTE_MS, "0"), candle(T)))
    rows = edge.market.klines(SPOT, "1m", T, T + 2 * MINUTE_MS, 300)
    assert [row.open_ts for row in rows] == [T]


@pytest.mark.parametrize(
    ("interval", "bar"), [("1h", "1H"), ("6h", "6Hutc"), ("1d", "1Dutc"), ("1w", "1Wutc")]
)
def test_long_bars_are_those_that_open_in_utc(edge: MarketEdge, interval: str, bar: str) -> None:
    for path in ("candles", "history-candles"):
        edge.serve(f"{MARKET}/{path}", said())
    edge.market.klines(SPOT, interval, T, T + 7 * DAY_MS, 1)
    assert edge.asked()[0][1]["bar"] == bar
    with pytest.raises(InvalidInput, match="no klines of 8h"):
        edge.market.klines(SPOT, "8h", T, T + DAY_MS, 1)


def test_old_bars_come_by_the_hundred_from_the_history(edge: MarketEdge) -> None:
    start = T - 30 * DAY_MS
    pages = [
        said(*(candle(start + n * MINUTE_MS) for n in reversed(range(first, first + 100))))
        for first in (0, 100, 200)
    ]
    edge.serve(f"{MARKET}/history-candles", *pages)
    rows = edge.market.klines(SPOT, "1m", start, T, 1000)
    assert [row.open_ts for row in rows] == [start + n * MINUTE_MS for n in range(300)]
    assert [(asked["before"], asked["limit"]) for _, asked in edge.asked()] == [
        (str(start + n * MINUTE_MS - 1), "100") for n in (0, 100, 200)
    ]
    assert edge.budget.used("okx") == 6


def test_what_the_latest_bars_leave_out_at_the_beginning_comes_from_the_history(
    edge: MarketEdge,
) -> None:
    # The venue's memory of the latest bars begins later than our clock has it.
    minutes = [T + n * MINUTE_MS for n in range(5)]
    edge.serve(f"{MARKET}/candles", said(*map(candle, reversed(minutes[3:]))))
    edge.serve(f"{MARKET}/history-candles", said(*map(candle, reversed(minutes[:3]))))
    rows = edge.market.klines(SPOT, "1m", T, T + 5 * MINUTE_MS, 300)
    assert [row.open_ts for row in rows] == minutes
    (_, _), (path, asked) = edge.asked()
    assert (path, asked["before"], asked["after"], asked["limit"]) == (
        f"{MARKET}/history-candles",
        str(T - 1),
        str(T + 3 * MINUTE_MS),
        "100",
    )


@pytest.mark.parametrize(
    ("kind", "recent", "older", "name"),
    [
        (KlineKind.MARK, "mark-price-candles", "history-mark-price-candles", "BTC-USDT-SWAP"),
        (KlineKind.INDEX, "index-candles", "history-index-candles", "BTC-USDT"),
    ],
)
def test_bars_of_a_price_have_no_volume(
    edge: MarketEdge, kind: KlineKind, recent: str, older: str, name: str
) -> None:
    for path in (recent, older):
        start = T if path == recent else T - 30 * DAY_MS
        edge.serve(f"{MARKET}/{path}", said([str(start), "1", "3", "0.5", "2", "1"]))
        rows = edge.market.klines(SWAP, "1m", start, start + MINUTE_MS, 1, kind)
        assert rows == [KlineRow(start, D(1), D(3), D("0.5"), D(2), D(0))]
        ((asked, params),) = edge.asked()
        assert (asked, params["instId"], params["limit"]) == (f"{MARKET}/{path}", name, "100")
    with pytest.raises(InvalidInput, match="name a perpetual"):
        edge.market.klines(SPOT, "1m", T, T + HOUR, 9, kind)


def test_funding_is_what_was_paid_not_what_was_announced(edge: MarketEdge) -> None:
    row = {
        "instType": "SWAP",
        "instId": "BTC-USDT-SWAP",
        "fundingRate": "0.018",
        "realizedRate": "-0.017",
        "fundingTime": str(T),
    }
    later = {**row, "realizedRate": "0.0001", "fundingTime": str(T + 8 * HOUR)}
    edge.serve(f"{PUBLIC}/funding-rate-history", said(later, row))
    assert edge.market.funding_rates(SWAP, T, T + DAY_MS, 9) == [
        FundingRate(T, D("-0.017")),
        FundingRate(T + 8 * HOUR, D("0.0001")),
    ]
    assert edge.asked()[0][1] == {
        "instId": "BTC-USDT-SWAP",
        "before": str(T - 1),
        "after": str(T + DAY_MS),
        "limit": "100",
    }
    with pytest.raises(InvalidInput, match="no funding rates of BTC/USDT;"):
        edge.market.funding_rates(SPOT, T, T + DAY_MS, 9)


def test_funding_is_asked_for_three_months_back_and_no_further(edge: MarketEdge) -> None:
    paid = {"instId": "BTC-USDT-SWAP", "realizedRate": "0.0001"}
    since = T + HOUR - 92 * DAY_MS
    hourly = [{**paid, "fundingTime": str(since + n * HOUR)} for n in reversed(range(120))]
    pages = said(*hourly[:100]), said(*hourly[100:]), said()
    edge.serve(f"{PUBLIC}/funding-rate-history", *pages)
    rates = edge.market.funding_rates(SWAP, 0, T + HOUR, 500)
    assert [rate.ts for rate in rates] == [since + n * HOUR for n in range(120)]
    first, second, *_ = (asked for _, asked in edge.asked())
    assert first["before"] == second["before"] == str(since - 1)
    assert second["after"] == str(since + 20 * HOUR)


def test_open_interest_is_counted_in_base_units(edge: MarketEdge) -> None:
    rows = said(
        [str(T + HOUR // 2), "2800478", "28006.6", "2360916470"],
        [str(T), "2800476.45", "28006.5419", "2360916466.88"],
    )
    edge.serve(INTEREST, rows)
    assert edge.market.open_interest(SWAP, "5m", T, T + HOUR, 9) == [
        OpenInterest(T, D("28006.5419")),
        OpenInterest(T + HOUR // 2, D("28006.6")),
    ]
    assert edge.asked()[0][1] == {
        "instId": "BTC-USDT-SWAP",
        "period": "5m",
        "begin": str(T - 1),
        "end": str(T + HOUR),
        "limit": "100",
    }
    with pytest.raises(InvalidInput, match="use one of 5m, 1h, 1d"):
        edge.market.open_interest(SWAP, "2h", T, T + HOUR, 9)


TICKER = {
    "instId": "BTC-USDT",
    "last": "100.5",
    "bidPx": "100",
    "askPx": "101",
    "vol24h": "700",
    "volCcy24h": "7",
    "ts": str(T),
}


def test_a_ticker_counts_base_units_on_both_markets(edge: MarketEdge) -> None:
    edge.serve(f"{MARKET}/ticker", said(TICKER))
    price = edge.market.ticker(SPOT)
    assert (price.timestamp, price.price, price.bid, price.ask, price.volume_24h) == (
        T,
        D("100.5"),
        D(100),
        D(101),
        D(700),
    )
    edge.serve(f"{MARKET}/ticker", said({**TICKER, "instId": "BTC-USDT-SWAP", "bidPx": ""}))
    price = edge.market.ticker(SWAP)
    assert (price.bid, price.volume_24h) == (None, D(7))


def test_turnover_is_in_quote_units(edge: MarketEdge) -> None:
    swap = {**TICKER, "instId": "BTC-USDT-SWAP"}
    inverse = {**TICKER, "instId": "BTC-USD-SWAP"}
    new = {**TICKER, "instId": "NEW-USDT-SWAP", "last": ""}
    edge.serve(f"{MARKET}/tickers", said(TICKER), said(swap, inverse, new))
    assert edge.market.turnover() == {"BTC-USDT": D(7), "BTC-USDT-SWAP": D("703.5")}


BOOK = {
    "bids": [["100", "5", "0", "2"], ["99", "2", "0", "1"]],
    "asks": [["101", "1", "0", "1"]],
    "ts": str(T),
    "seqId": 77,
}


def test_a_book_of_contracts_is_a_book_of_base_units(edge: MarketEdge) -> None:
    edge.serve(f"{MARKET}/books", said(BOOK))
    edge.serve(f"{PUBLIC}/instruments", said(CONTRACT))
    for _ in range(2):
        book = edge.market.order_book(SWAP, 50)
        assert (book.sequence, book.bids[0], book.asks[0]) == (
            77,
            (D(100), D("0.05")),
            (D(101), D("0.01")),
        )
    paths = [path for path, _ in edge.asked()]
    assert paths.count(f"{PUBLIC}/instruments") == 1, "a contract's size is asked for once"
    assert edge.market.order_book(SPOT, 50).bids[0] == (D(100), D(5))


def test_the_clock_is_a_number_in_a_text(edge: MarketEdge) -> None:
    edge.serve(f"{PUBLIC}/time", said({"ts": "1621247923668"}))
    assert edge.market.server_time_ms() == 1_621_247_923_668


def questions(edge: MarketEdge) -> list[Callable[[], object]]:
    market = edge.market
    return [
        market.instruments,
        *(lambda kind=kind: market.klines(SWAP, "1m", T, T + HOUR, 9, kind) for kind in KlineKind),
        lambda: market.funding_rates(SWAP, T, T + DAY_MS, 9),
        lambda: market.open_interest(SWAP, "1h", T, T + DAY_MS, 9),
        lambda: market.ticker(SPOT),
        market.turnover,
        lambda: market.order_book(SWAP, 5),
        market.server_time_ms,
    ]


PATHS = (
    f"{PUBLIC}/instruments",
    f"{PUBLIC}/funding-rate-history",
    f"{PUBLIC}/time",
    *(f"{MARKET}/{name}" for name in ("candles", "mark-price-candles", "index-candles")),
    *(f"{MARKET}/{name}" for name in ("ticker", "tickers", "books")),
    INTEREST,
)


@pytest.mark.parametrize(
    "body",
    [*NO_DATA, b"{}", b'{"data":[]}', b'{"code":"0"}', b'{"code":"0","data":[null]}', b"[]"],
    ids=range(len(NO_DATA) + 5),
)
def test_what_is_not_data_is_refused_everywhere(edge: MarketEdge, body: bytes) -> None:
    for path in PATHS:
        edge.serve(path, body)
    for ask in questions(edge):
        with pytest.raises(BadVenueAnswer):
            ask()


@pytest.mark.parametrize(
    "rows",
    [
        [candle(T), candle(T + MINUTE_MS)],  # oldest first
        [candle(T), candle(T)],
        [candle(T - MINUTE_MS)],
        [candle(T + HOUR)],
        [candle(T)[:8]],
        [candle(T, "2")],
        [candle(T, "")],
        [[None, *candle(T)[1:]]],
        [[str(T), 1.5, *candle(T)[2:]]],
        [{"ts": str(T)}],
    ],
)
def test_candles_that_cannot_be_are_refused(edge: MarketEdge, rows: list[Any]) -> None:
    edge.serve(f"{MARKET}/candles", said(*rows))
    with pytest.raises(BadVenueAnswer):
        edge.market.klines(SPOT, "1m", T, T + HOUR, 300)


def test_an_impossible_number_is_left_to_quarantine(edge: MarketEdge) -> None:
    edge.serve(f"{MARKET}/candles", said([str(T), "NaN", "1", "-1", "1", "1", "1", "1", "1"]))
    (row,) = edge.market.klines(SPOT, "1m", T, T + HOUR, 9)
    assert (str(row.open), row.low) == ("NaN", D(-1))


@pytest.mark.parametrize(
    "changed",
    [
        {"instId": "ETH-USDT"},
        {"last": ""},
        {"last": "0"},
        {"last": "NaN"},
        {"vol24h": "-1"},
        {"bidPx": "102"},
        {"askPx": None},
        {"ts": None},
    ],
)
def test_a_ticker_that_cannot_be_is_refused(edge: MarketEdge, changed: dict[str, Any]) -> None:
    edge.serve(f"{MARKET}/ticker", said({**TICKER, **changed}))
    with pytest.raises(BadVenueAnswer):
        edge.market.ticker(SPOT)


@pytest.mark.parametrize(
    "changed",
    [
        {"ctVal": "0"},
        {"ctVal": ""},
        {"ctMult": "-1"},
        {"tickSz": "0"},
        {"lotSz": None},
        {"instId": "BTC-USDT"},
        {"settleCcy": ""},
        {"ctVal": "0.000000000000000001"},  # times a lot of 0.1: more decimals than fit
    ],
)
def test_a_contract_that_cannot_be_is_refused(edge: MarketEdge, changed: dict[str, Any]) -> None:
    edge.serve(f"{PUBLIC}/instruments", said({**CONTRACT, **changed}))
    with pytest.raises(BadVenueAnswer):
        edge.market.instruments([SWAP])


def refused(edge: MarketEdge, code: str, status: int = 200) -> Exception:
    edge.stub.on("GET", f"{MARKET}/candles", Reply({"code": code, "msg": "No", "data": []}, status))
    with pytest.raises(Exception) as failed:  # noqa: PT011
        edge.market.klines(SPOT, "1m", T, T + HOUR, 9)
    return failed.value


def test_refusals_come_with_http_200(edge: MarketEdge) -> None:
    assert isinstance(refused(edge, "51001"), VenueRulesRefused)
    assert type(refused(edge, "50001", 503)) is VenueRetryLater
    assert type(refused(edge, "99999")) is VenueUnknown
    assert type(refused(edge, "50026", 500)) is VenueUnknown
    sent = len(edge.stub.asked)
    limited = refused(edge, "50011", 429)
    assert isinstance(limited, RateLimited)
    assert limited.retry_after_ms == 2_000
    assert len(edge.stub.asked) == sent + 1
    with pytest.raises(RateLimited):
        edge.market.server_time_ms()
    assert len(edge.stub.asked) == sent + 1, "nothing is sent while the venue is left alone"
