"""Reading a venue's answer without believing it.

Every function raises ``BadVenueAnswer`` where the answer is not what the venue documents.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

import numpy as np

from app.core.errors import InvalidInput
from app.core.exchanges.errors import BadVenueAnswer
from app.core.market.files.columns import KlineColumns, made
from app.core.market.klines import KlineRow
from app.core.money import ZERO, checked
from app.core.orders.types import OrderStatus

# Texts of numbers from a venue have at most some 30 characters; int() and Decimal() of a text
# of a megabyte take seconds.
_NUMBER_LIMIT = 64

#: Binance's word for an order's state, over REST and in the user data stream.
ORDER_STATUS: Final = {
    "NEW": OrderStatus.ACKNOWLEDGED,
    "PENDING_NEW": OrderStatus.ACKNOWLEDGED,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELLED,
    "PENDING_CANCEL": OrderStatus.PENDING_CANCEL,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}


def decode(
    exchange: str, body: bytes, *, numbers_as_text: bool = False
) -> dict[str, Any] | list[Any]:
    """The object or array that ``body`` holds as JSON.

    Refused besides broken JSON: NaN and Infinity, an object with one key twice (two readers
    would see two different answers), and a bare text or number. Fractions become Decimal, or
    all numbers the text that stood there, which is how ccxt's own parsers expect them.
    """
    try:
        answer = json.loads(
            body.decode("utf-8"),
            parse_float=_short if numbers_as_text else _fraction,
            # As it is, and not a function of ours, it costs nothing; of 4,300 digits it refuses.
            parse_int=_short if numbers_as_text else int,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError) as error:
        detail = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise BadVenueAnswer(exchange, f"the answer is not JSON: {detail[:80]}") from None
    if not isinstance(answer, dict | list):
        raise BadVenueAnswer(exchange, "the answer is neither an object nor a list")
    return answer


class Reader:
    """Typed access to the parts of one answer.

    Args:
        exchange: venue id, for the error.
        what: name of the answer, for the error.
    """

    def __init__(self, exchange: str, what: str) -> None:
        self.exchange = exchange
        self._what = what

    def bad(self, detail: str) -> NoReturn:
        """Raise ``BadVenueAnswer`` with the detail."""
        raise BadVenueAnswer(self.exchange, f"{self._what}: {detail}")

    def object(self, value: Any) -> dict[str, Any]:
        """``value``, which must be an object."""
        if not isinstance(value, dict):
            self.bad(f"an object was expected, not {type(value).__name__}")
        return value

    def list(self, value: Any) -> list[Any]:
        """``value``, which must be a list."""
        if not isinstance(value, list):
            self.bad(f"a list was expected, not {type(value).__name__}")
        return value

    def text(self, row: dict[str, Any], key: str) -> str:
        """A text that is not empty, at most 64 characters: our names fit in 64."""
        value = row.get(key)
        if not isinstance(value, str) or not 0 < len(value) <= _NUMBER_LIMIT:
            self.bad(f"{key} is not a short text")
        return value

    def flag(self, row: dict[str, Any], key: str) -> bool:
        """A boolean."""
        value = row.get(key)
        if not isinstance(value, bool):
            self.bad(f"{key} is not true or false")
        return value

    def integer(self, row: dict[str, Any], key: str) -> int:
        """An integer from 0 to 2⁶³ − 1."""
        value = row.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            self.bad(f"{key} is not a positive integer")
        return value

    def moment(self, value: Any, name: str) -> int:
        """A time in ms, or a count, which some venues write as a number and others as text."""
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
            return int(value)
        return self.integer({name: value}, name)

    def id(self, row: dict[str, Any], key: str) -> str:
        """An id, number or text, as text."""
        value = row.get(key)
        if isinstance(value, str):
            return self.text(row, key)
        return str(self.integer(row, key))

    def amount(self, row: dict[str, Any], key: str) -> Decimal:
        """A finite amount that fits DECIMAL(36,18), from text."""
        return self.number(row.get(key), key)

    def not_negative(self, row: dict[str, Any], key: str) -> Decimal:
        """An amount that is 0 or more."""
        value = self.amount(row, key)
        if value < 0:
            self.bad(f"{key} is negative")
        return value

    def positive(self, row: dict[str, Any], key: str) -> Decimal:
        """An amount above 0."""
        value = self.amount(row, key)
        if value <= 0:
            self.bad(f"{key} is not above 0")
        return value

    def number(self, value: Any, name: str) -> Decimal:
        """A finite amount that fits DECIMAL(36,18), from a value that is text."""
        amount = self.loose(value, name)
        try:
            return checked(amount)
        except InvalidInput:
            self.bad(f"{name} is not a finite amount with at most 18 digits and 18 decimals")

    def loose(self, value: Any, name: str) -> Decimal:
        """Whatever number a text holds, NaN and Infinity included."""
        if not isinstance(value, str) or len(value) > _NUMBER_LIMIT:
            self.bad(f"{name} is not a number in a text")
        try:
            return Decimal(value)
        except InvalidOperation:
            self.bad(f"{name} is not a number")


def kline_rows(reader: Reader, answer: Any) -> list[KlineRow]:
    """Rows of Binance's klines answer, as they came.

    A row of another shape spoils the whole answer; a number that cannot be (NaN, negative, too
    large) is kept for ``app.core.market.validation``, which quarantines that row alone.
    """
    rows: Sequence[Any] = reader.list(answer)
    return [_kline(reader, row) for row in rows]


def kline_columns(reader: Reader, answer: Any) -> KlineColumns:
    """The same as columns, without an object of each number: a fifth of the time.

    What is no number is told from what is one when the columns are checked.
    """
    rows = reader.list(answer)
    if not rows:
        return made(np.empty(0, np.int64), [[]] * 6, [])
    if any(type(row) is not list or len(row) < 9 for row in rows):
        reader.bad("a row has fewer than 9 columns")
    columns = list(zip(*rows, strict=False))  # what a venue adds behind is not ours to judge
    for name, column in (("open time", columns[0]), ("trade count", columns[8])):
        if set(map(type, column)) != {int} or min(column) < 0 or max(column) >= 2**63:
            reader.bad(f"a row's {name} is not an integer, or out of range")
    amounts = [columns[position] for position in (1, 2, 3, 4, 5, 7)]
    for texts in amounts:
        if set(map(type, texts)) != {str} or max(map(len, texts)) > _NUMBER_LIMIT:
            reader.bad("a number is not in a text")
    return made(np.array(columns[0], dtype=np.int64), amounts, columns[8])


def price_rows(reader: Reader, answer: Any) -> list[KlineRow]:
    """Rows of a mark or index price: time, open, high, low, close, and nothing that was traded."""
    return [price_row(reader, row) for row in reader.list(answer)]


def price_row(reader: Reader, row: Any) -> KlineRow:
    """One bar of a mark or index price; its volume is 0."""
    if not isinstance(row, list) or len(row) < 5:
        reader.bad("a row has fewer than 5 columns")
    return KlineRow(
        reader.moment(row[0], "open time"),
        reader.loose(row[1], "open"),
        reader.loose(row[2], "high"),
        reader.loose(row[3], "low"),
        reader.loose(row[4], "close"),
        ZERO,
    )


def _kline(reader: Reader, row: Any) -> KlineRow:
    if not isinstance(row, list) or len(row) < 9:
        reader.bad("a row has fewer than 9 columns")
    opened, trades = row[0], row[8]
    if type(opened) is not int or type(trades) is not int:
        reader.bad("a row's open time or trade count is not an integer")
    if not (0 <= opened < 2**63 and 0 <= trades < 2**63):
        reader.bad("a row's open time or trade count is out of range")
    return KlineRow(
        opened,
        reader.loose(row[1], "open"),
        reader.loose(row[2], "high"),
        reader.loose(row[3], "low"),
        reader.loose(row[4], "close"),
        reader.loose(row[5], "volume"),
        reader.loose(row[7], "quote volume"),
        trades,
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object holds one key twice")
    return found


def _fraction(text: str) -> Decimal:
    return Decimal(_short(text))


def _short(text: str) -> str:
    if len(text) > _NUMBER_LIMIT:
        raise ValueError("a number is too long")
    return text


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
