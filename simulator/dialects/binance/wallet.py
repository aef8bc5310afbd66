"""The few endpoints beyond spot that ccxt asks before it trades spot."""

from __future__ import annotations

from typing import Any, Final

from simulator.clock import wall_ms
from simulator.dialects.binance.api import Call, Route, Security


def _coins(call: Call) -> Any:
    assets = sorted(
        {
            asset
            for market in call.venue.markets.values()
            for asset in (market.spec.base, market.spec.quote)
        }
    )
    return [
        {
            "coin": asset,
            "depositAllEnable": False,
            "withdrawAllEnable": False,
            "name": asset,
            "free": "0",
            "locked": "0",
            "freeze": "0",
            "withdrawing": "0",
            "ipoing": "0",
            "ipoable": "0",
            "storage": "0",
            "isLegalMoney": False,
            "trading": True,
            "networkList": [],
        }
        for asset in assets
    ]


def _no_rows(_: Call) -> Any:
    return []


def _no_symbols(_: Call) -> Any:
    return {"timezone": "UTC", "serverTime": wall_ms(), "rateLimits": [], "symbols": []}


def _system_status(_: Call) -> Any:
    return {"status": 0, "msg": "normal"}


def _restrictions(_: Call) -> Any:
    return {
        "ipRestrict": True,
        "createTime": 1767225600000,
        "enableReading": True,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": False,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": True,
        "enablePortfolioMarginTrading": False,
    }


ROUTES: Final = {
    ("GET", "/sapi/v1/capital/config/getall"): Route(_coins, 10, Security.SIGNED),
    ("GET", "/sapi/v1/margin/allPairs"): Route(_no_rows, 1, Security.KEY),
    ("GET", "/sapi/v1/margin/isolated/allPairs"): Route(_no_rows, 10, Security.KEY),
    ("GET", "/sapi/v1/system/status"): Route(_system_status),
    ("GET", "/sapi/v1/account/apiRestrictions"): Route(_restrictions, 1, Security.SIGNED),
    ("GET", "/dapi/v1/exchangeInfo"): Route(_no_symbols),
}
