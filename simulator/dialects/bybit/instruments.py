"""What Bybit lists, by category, and which instrument a request means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from app.core.money import canonical
from simulator.dialects.bybit import errors
from simulator.dialects.web import Call
from simulator.instruments import Spec, Status
from simulator.listings import BYBIT, Listing, Perpetual
from simulator.market import Market
from simulator.venue import Maintenance, Venue

SPOT: Final = "spot"
LINEAR: Final = "linear"
CATEGORIES: Final = (SPOT, LINEAR, "inverse", "option")
_USUAL: Final = 500
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument of a category."""

    category: str
    market: Market
    perpetual: Perpetual | None = None

    @property
    def spec(self) -> Spec:
        """The market's entry."""
        return self.market.spec


def of(venue: Venue, category: str) -> Iterator[Instrument]:
    """Everything that a category lists or has listed by now."""
    now = venue.clock.now()
    listing: Listing = venue.listings[BYBIT]
    if category == SPOT:
        every = [Instrument(SPOT, market) for market in listing.spot.values()]
    elif category == LINEAR:
        every = [Instrument(LINEAR, each.market, each) for each in listing.perpetuals.values()]
    else:
        every = []
    yield from (each for each in every if each.market.is_listed(now))


def category_of(call: Call, default: str = "") -> str:
    """The category of a request.

    Raises:
        VenueError: missing, or there is no such category.
    """
    category = call.params.get("category", "") or default
    if category not in CATEGORIES:
        raise errors.wrong("Category is invalid")
    return category


def named(call: Call, default: str = "") -> Instrument:
    """The instrument that ``category`` and ``symbol`` name; a delisted one is still known.

    Raises:
        VenueError: either is missing, or there is no such instrument.
    """
    category, symbol = category_of(call, default), call.params.get("symbol", "")
    if not symbol:
        raise errors.wrong("Symbol is invalid")
    return find(call.venue, category, symbol)


def find(venue: Venue, category: str, symbol: str) -> Instrument:
    """The instrument of a category and a name.

    Raises:
        VenueError: there is none.
    """
    for each in of(venue, category):
        if each.spec.native == symbol:
            return each
    raise errors.no_symbol()


def contract(call: Call) -> Perpetual:
    """The contract that a request names.

    Raises:
        VenueError: there is none, or it is no contract.
    """
    found = named(call, LINEAR).perpetual
    if found is None:
        raise errors.wrong("Category is invalid")
    return found


def info(call: Call) -> Any:
    """``instruments-info``: a page of a category; the last symbol of it is the cursor."""
    category = category_of(call)
    symbol, status = call.params.get("symbol", ""), call.params.get("status", "")
    if symbol:
        find(call.venue, category, symbol)
    rows = [
        row
        for row in (_describe(each, call.venue) for each in of(call.venue, category))
        if symbol in ("", row["symbol"]) and _is_wanted(row["status"], status)
    ]
    result: dict[str, Any] = {"category": category, "list": rows}
    if category == SPOT:
        return result
    limit = call.whole("limit")
    limit = min(_USUAL if limit is None else max(limit, 1), _MOST)
    names = [row["symbol"] for row in rows]
    cursor = call.params.get("cursor", "")
    start = names.index(cursor) + 1 if cursor in names else 0
    page = rows[start : start + limit]
    is_last = start + limit >= len(rows)
    return result | {"list": page, "nextPageCursor": "" if is_last else page[-1]["symbol"]}


def _is_wanted(status: str, wanted: str) -> bool:
    """Closed symbols are shown to those alone who ask for them."""
    return status == wanted if wanted else status != "Closed"


def _describe(each: Instrument, venue: Venue) -> dict[str, Any]:
    return _spot(each, venue) if each.perpetual is None else _linear(each, venue)


def _status(market: Market, venue: Venue) -> str:
    now = venue.clock.now()
    if market.is_delisted(now):
        return "Closed"
    trades = venue.maintenance is Maintenance.NONE and market.status(now) is Status.TRADING
    return "Trading" if trades else "Settling"


def _spot(each: Instrument, venue: Venue) -> dict[str, Any]:
    spec = each.spec
    most = canonical(spec.max_quantity)
    return {
        "symbol": spec.native,
        "baseCoin": spec.base,
        "quoteCoin": spec.quote,
        "innovation": "0",
        "symbolType": "",
        "status": _status(each.market, venue),
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": canonical(spec.step),
            "quotePrecision": "0.0000001",
            "minOrderQty": canonical(spec.min_quantity),
            "maxOrderQty": most,
            "minOrderAmt": canonical(spec.min_notional),
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": most,
            "maxMarketOrderQty": most,
            "postOnlyMaxLimitOrderSize": most,
        },
        "priceFilter": {"tickSize": canonical(spec.tick)},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    }


def _linear(each: Instrument, venue: Venue) -> dict[str, Any]:
    spec, most = each.spec, canonical(each.spec.max_quantity)
    ends = each.market.delisted_ms
    return {
        "symbol": spec.native,
        "contractType": "LinearPerpetual",
        "status": _status(each.market, venue),
        "baseCoin": spec.base,
        "quoteCoin": spec.quote,
        "launchTime": str(each.market.tape.first_ts),
        "deliveryTime": "0" if ends is None else str(ends),
        "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": _two(spec.tick),
            "maxPrice": "1999999.80",
            "tickSize": _two(spec.tick),
        },
        "lotSizeFilter": {
            "maxOrderQty": most,
            "minOrderQty": canonical(spec.min_quantity),
            "qtyStep": canonical(spec.step),
            "postOnlyMaxOrderQty": most,
            "maxMktOrderQty": most,
            "minNotionalValue": canonical(spec.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": spec.quote,
        "copyTrading": "both",
        "upperFundingRate": "0.003",
        "lowerFundingRate": "-0.003",
        "isPreListing": False,
        "preListingInfo": None,
    }


def _two(value: Decimal) -> str:
    """A price of a contract: ``priceScale`` decimals."""
    return f"{value:.2f}"
