"""Who is asking: API keys, signatures, timestamps."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

from simulator.clock import wall_ms
from simulator.dialects.binance import params as read
from simulator.dialects.binance.api import Security
from simulator.dialects.binance.errors import BinanceError, missing
from simulator.exchange import Account, Exchange

_KEY: Final = re.compile(r"[A-Za-z0-9]{1,128}", re.ASCII)
_DEFAULT_WINDOW: Final = 5_000
_LONGEST_WINDOW: Final = 60_000
_AHEAD: Final = 1_000  # how far a request may be ahead of the venue's wall clock


def authenticate(
    exchange: Exchange,
    security: Security,
    api_key: str | None,
    params: Mapping[str, str],
    payload: str,
) -> Account | None:
    """The account that a request acts for; None for a public one.

    Args:
        payload: what was signed, with the signature taken out.

    Raises:
        BinanceError: bad key, signature or timestamp.
    """
    if security is Security.NONE:
        return None
    account = _account(exchange, api_key)
    if security is Security.SIGNED:
        _check_time(params)
        _check_signature(account, params, payload)
    return account


def _account(exchange: Exchange, api_key: str | None) -> Account:
    if api_key is None or not _KEY.fullmatch(api_key):
        raise BinanceError(-2014, "API-key format invalid.", status=401)
    account = exchange.account_by_key(api_key)
    if account is None:
        raise BinanceError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
    return account


def _check_time(params: Mapping[str, str]) -> None:
    timestamp = read.whole(params, "timestamp")
    if timestamp is None:
        raise missing("timestamp")
    window = read.whole(params, "recvWindow")
    window = _DEFAULT_WINDOW if window is None else window
    if window > _LONGEST_WINDOW:
        raise BinanceError(-1131, "recvWindow must be less than 60000")
    now = wall_ms()
    if timestamp >= now + _AHEAD:
        raise BinanceError(
            -1021, "Timestamp for this request was 1000ms ahead of the server's time."
        )
    if now - timestamp > window:
        raise BinanceError(-1021, "Timestamp for this request is outside of the recvWindow.")


def _check_signature(account: Account, params: Mapping[str, str], payload: str) -> None:
    signature = params.get("signature", "")
    if not signature:
        raise missing("signature")
    expected = hmac.new(account.api_secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.lower().encode()):
        raise BinanceError(-1022, "Signature for this request is not valid.")


def signed_payload(*parts: str) -> str:
    """Query string and body as they were signed: joined, without the signature."""
    return "".join(
        "&".join(pair for pair in part.split("&") if not pair.startswith("signature="))
        for part in parts
    )
