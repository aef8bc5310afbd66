"""Reading the parameters of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from simulator.dialects.binance.errors import BinanceError, illegal, missing

_NUMBER: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_AMOUNT: Final = re.compile(r"([0-9]{1,20})(\.[0-9]{1,20})?", re.ASCII)
_CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}", re.ASCII)
_AMOUNT_RANGE: Final = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_CLIENT_ID_RANGE: Final = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"

Params = Mapping[str, str]


def text(params: Params, name: str) -> str:
    """A mandatory text.

    Raises:
        BinanceError: it was not sent.
    """
    value = params.get(name, "")
    if not value:
        raise missing(name)
    return value


def whole(params: Params, name: str) -> int | None:
    """An optional whole number.

    Raises:
        BinanceError: it is no whole number.
    """
    value = params.get(name)
    if value is None:
        return None
    if not _NUMBER.fullmatch(value):
        raise illegal(name, "^[0-9]{1,20}$")
    return int(value)


def limit(params: Params, default: int, highest: int) -> int:
    """The ``limit`` parameter, cut to the highest that the venue gives.

    Raises:
        BinanceError: it is no positive number.
    """
    value = whole(params, "limit")
    if value is None:
        return default
    if value == 0:
        raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(value, highest)


def amount(params: Params, name: str) -> Decimal | None:
    """An optional plain decimal number.

    Raises:
        BinanceError: it is none.
    """
    value = params.get(name)
    if value is None:
        return None
    if not _AMOUNT.fullmatch(value):
        raise illegal(name, _AMOUNT_RANGE)
    return Decimal(value)


def needed_amount(params: Params, name: str) -> Decimal:
    """A mandatory plain decimal number.

    Raises:
        BinanceError: it is missing or none.
    """
    value = amount(params, name)
    if value is None:
        raise missing(name)
    return value


def client_id(params: Params, name: str) -> str | None:
    """An optional client order id.

    Raises:
        BinanceError: it is too long or has other characters.
    """
    value = params.get(name)
    if value is None:
        return None
    if not _CLIENT_ID.fullmatch(value):
        raise illegal(name, _CLIENT_ID_RANGE)
    return value
