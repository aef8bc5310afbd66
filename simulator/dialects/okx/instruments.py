"""What OKX lists, and which instrument a request means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from app.core.money import canonical
from simulator.dialects.okx import errors
from simulator.dialects.web import Call
from simulator.instruments import Spec, Status
from simulator.listings import OKX, Listing, Perpetual
from simulator.market import Market
from simulator.venue import Maintenance, Venue

SPOT: Final = "SPOT"
SWAP: Final = "SWAP"
KINDS: Final = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS")
_ENDLESS: Final = "9999999999"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument: a spot market, or a contract.

    Attributes:
        contract: base units of one unit of quantity: of a coin 1, of a contract its size.
    """

    kind: str
    market: Market
    perpetual: Perpetual | None = None

    @property
    def spec(self) -> Spec:
        """The market's entry."""
        return self.market.spec

    @property
    def contract(self) -> Decimal:
        """See the class."""
        return Decimal(1) if self.perpetual is None else self.perpetual.contract

    def size(self, amount: Decimal) -> str:
        """A quantity of base units as the venue states it: in coins, or in contracts."""
        return canonical(amount / self.contract)


def listing(venue: Venue) -> Listing:
    """OKX's instruments."""
    return venue.listings[OKX]


def listed(venue: Venue, kind: str) -> Iterator[Instrument]:
    """The instruments of a kind that are on the list now."""
    now = venue.clock.now()
    for each in _all(venue):
        if each.kind == kind and _is_there(each.market, now):
            yield each


def find(venue: Venue, name: str) -> Instrument:
    """The instrument of a name.

    Raises:
        VenueError: it is not on the list.
    """
    spot = listing(venue).spot.get(name)
    perpetual = listing(venue).perpetuals.get(name)
    found = None
    if spot is not None:
        found = Instrument(SPOT, spot)
    elif perpetual is not None:
        found = Instrument(SWAP, perpetual.market, perpetual)
    if found is None or not _is_there(found.market, venue.clock.now()):
        raise errors.no_instrument()
    return found


def named(call: Call) -> Instrument:
    """The instrument that ``instId`` names.

    Raises:
        VenueError: missing, or not on the list.
    """
    name = call.params.get("instId", "")
    if not name:
        raise errors.empty("instId")
    return find(call.venue, name)


def contract(call: Call) -> Perpetual:
    """The contract that ``instId`` names.

    Raises:
        VenueError: missing, not on the list, or no contract.
    """
    found = named(call).perpetual
    if found is None:
        raise errors.wrong("instId")
    return found


def index(call: Call) -> Market:
    """The index that ``instId`` names.

    Raises:
        VenueError: missing, or there is no such index.
    """
    name = call.params.get("instId", "")
    if not name:
        raise errors.empty("instId")
    return index_of(call.venue, name)


def index_of(venue: Venue, name: str) -> Market:
    """The index of a name, as in ``BTC-USDT``.

    Raises:
        VenueError: there is none.
    """
    found = listing(venue).perpetuals.get(f"{name}-SWAP")
    if found is None or not found.index.is_listed(venue.clock.now()):
        raise errors.no_instrument()
    return found.index


def describe(each: Instrument, venue: Venue) -> dict[str, Any]:
    """One row of ``public/instruments``."""
    spec, now = each.spec, venue.clock.now()
    is_live = venue.maintenance is Maintenance.NONE and each.market.status(now) is Status.TRADING
    is_swap = each.perpetual is not None
    family = f"{spec.base}-{spec.quote}"
    most = _ENDLESS if not is_swap else "100000000"
    return {
        "alias": "",
        "baseCcy": "" if is_swap else spec.base,
        "category": "1",
        "contTdSwTime": "",
        "ctMult": "1" if is_swap else "",
        "ctType": "linear" if is_swap else "",
        "ctVal": canonical(each.contract) if is_swap else "",
        "ctValCcy": spec.base if is_swap else "",
        "expTime": "" if each.market.delisted_ms is None else str(each.market.delisted_ms),
        "futureSettlement": False,
        "groupId": "1",
        "instFamily": family if is_swap else "",
        "instId": spec.native,
        "instType": each.kind,
        "lever": "100" if is_swap else "10",
        "listTime": str(each.market.tape.first_ts),
        "lotSz": each.size(spec.step),
        "maxIcebergSz": most,
        "maxLmtAmt": "20000000",
        "maxLmtSz": most,
        "maxMktAmt": "" if is_swap else "1000000",
        "maxMktSz": "12000" if is_swap else "1000000",
        "maxStopSz": "12000" if is_swap else "1000000",
        "maxTriggerSz": most,
        "maxTwapSz": most,
        "minSz": each.size(spec.min_quantity),
        "openType": "",
        "optType": "",
        "posLmtAmt": "",
        "posLmtPct": "",
        "preMktSwTime": "",
        "quoteCcy": "" if is_swap else spec.quote,
        "ruleType": "normal",
        "settleCcy": spec.quote if is_swap else "",
        "state": "live" if is_live else "suspend",
        "stk": "",
        "tickSz": canonical(spec.tick),
        "tradeQuoteCcyList": [] if is_swap else [spec.quote],
        "uly": family if is_swap else "",
    }


def _all(venue: Venue) -> Iterator[Instrument]:
    for market in listing(venue).spot.values():
        yield Instrument(SPOT, market)
    for perpetual in listing(venue).perpetuals.values():
        yield Instrument(SWAP, perpetual.market, perpetual)


def _is_there(market: Market, now: int) -> bool:
    return market.is_listed(now) and not market.is_delisted(now)
