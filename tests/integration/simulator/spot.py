"""Spot as tests ask it: the last price by ccxt, and requests that are signed by hand."""

from __future__ import annotations

import hashlib
import hmac
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from tests.support.simulator import SimAccount, SimulatorProcess

Params = dict[str, Any]


def price_of(exchange: Any, symbol: str = "BTC/USDT") -> Decimal:
    """The last price, as ccxt reads it."""
    return Decimal(str(exchange.fetch_ticker(symbol)["last"]))


def signed(
    simulator: SimulatorProcess,
    account: SimAccount,
    method: str,
    path: str,
    params: Params,
    *,
    secret: str | None = None,
    in_body: bool = False,
) -> dict[str, Any]:
    """The venue's answer to a request that is signed by hand; a list comes below ``list``.

    Args:
        params: None leaves one out.
        secret: signs instead of the account's.
        in_body: send them as a form.
    """
    query = urlencode({name: value for name, value in params.items() if value is not None})
    key = (account.api_secret if secret is None else secret).encode()
    query += "&signature=" + hmac.new(key, query.encode(), hashlib.sha256).hexdigest()
    headers = {"X-MBX-APIKEY": account.api_key}
    if in_body:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        response = simulator.control.raw(method, path, content=query, headers=headers)
    else:
        response = simulator.control.raw(method, f"{path}?{query}", headers=headers)
    answer = response.json()
    return answer if isinstance(answer, dict) else {"list": answer}
