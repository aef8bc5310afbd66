"""What a denial means, in a plain sentence beside its stable code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# The code that rules deny with, and what it says of the order.
_WORDS: Final[Mapping[str, str]] = {
    "TRADING_HALTED": "trading is halted; cancels still pass",
    "ACCOUNT_NOT_ACTIVE": "the account is not active",
    "ACCOUNT_NOT_RECONCILED": "the account was not compared with its exchange yet",
    "INSTANCE_NOT_RUNNING": "the strategy instance is not running",
    "INSTRUMENT_LOCKED": "the instrument is locked on this account until somebody has looked",
    "PRICE_MISSING": "no price of the symbol is known",
    "PRICE_INVALID": "the latest price makes no sense",
    "PRICE_STALE": "the latest price is too old",
    "INSTRUMENT_UNKNOWN": "the exchange does not list the symbol",
    "INSTRUMENT_NOT_TRADING": "the exchange does not trade the symbol now",
    "QUANTITY_NOT_POSITIVE": "the quantity is not above 0",
    "QUANTITY_OFF_STEP": "the quantity is no multiple of the exchange's step",
    "QUANTITY_BELOW_MIN": "the quantity is below the exchange's least",
    "QUANTITY_ABOVE_MAX": "the quantity is above the exchange's most",
    "PRICE_OFF_TICK": "the price is no multiple of the exchange's tick",
    "NOTIONAL_BELOW_MIN": "the order is worth less than the exchange takes",
    "ORDER_VALUE_ABOVE_MAX": "the order is worth more than a limit allows",
    "POSITION_ABOVE_LIMIT": "the position would be worth more than a limit allows",
    "ORDERS_PER_DAY_USED_UP": "the instance has sent all the orders that a day may have",
    "POSITION_QUOTA_USED_UP": "the position would be above what the instance may hold",
    "SELL_ABOVE_OWN_POSITION": "it sells more than is held and not offered already",
    "BALANCE_TOO_LOW": "the free balance does not pay for it",
    "CAPITAL_USED_UP": "the instance's own capital does not pay for it",
    "RULE_FAILED": "a rule of the gate failed, which refuses everything",
}


def denial_words(reason: str) -> str:
    """A denial for people: a sentence, and the reason with its code and figures behind it."""
    words = _WORDS.get(reason.partition(":")[0])
    return reason if words is None else f"{words} ({reason})"
