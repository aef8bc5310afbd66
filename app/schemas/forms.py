"""What the patterns of fields and parameters say, in words; each of them is here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.schemas.common import (
    AMOUNT_PATTERN,
    EXAMPLE_ID,
    EXCHANGE_PATTERN,
    LINE_PATTERN,
    NAME_PATTERN,
    POSITIVE_PATTERN,
    UID_PATTERN,
)
from app.schemas.market import EXTRA_PATTERN
from app.schemas.orders import KEY_PATTERN, TAG_PATTERN
from app.schemas.points import KIND_PATTERN, ORIGIN_PATTERN
from app.schemas.retention import ANY_EXCHANGE_PATTERN
from app.schemas.risk import RULE_PATTERN, SCOPE_PATTERN
from app.schemas.sources import SOURCE_PATTERN
from app.schemas.strategies import STRATEGY_PATTERN

_AMOUNT: Final = 'write plain digits with at most 18 decimals, as in "0.015"'
_LINE: Final = "write one line of text, without control characters"
#: By pattern: what to write.
FORMS: Final[Mapping[str, str]] = {
    AMOUNT_PATTERN: _AMOUNT,
    POSITIVE_PATTERN: _AMOUNT,
    UID_PATTERN: f"an id is written as it was given out, as in {EXAMPLE_ID}",
    NAME_PATTERN: "a name begins with a letter or digit and holds only A-Z, a-z, 0-9, dot, dash, "
    "underscore and space, at most 63 of them",
    EXCHANGE_PATTERN: "an exchange is written as ccxt names it, as in binance",
    ANY_EXCHANGE_PATTERN: "an exchange is written as ccxt names it, as in binance; or * for all",
    LINE_PATTERN: _LINE,
    TAG_PATTERN: "a tag holds only A-Z, a-z, 0-9, dot, dash, underscore and space",
    KEY_PATTERN: "a key has 1 to 128 of A-Z, a-z, 0-9, dot, dash, underscore and colon",
    EXTRA_PATTERN: "use funding, or open_interest:1h with an interval",
    KIND_PATTERN: "a kind begins with a letter a-z and holds only a-z, 0-9 and underscore, at "
    "most 32 of them, as in funding",
    ORIGIN_PATTERN: "use an exchange, as in binance, or source:NAME of a data source",
    SCOPE_PATTERN: "use global, account:ID, instance:ID or symbol:EXCHANGE:SYMBOL",
    RULE_PATTERN: "a limit is named as in max_order_value",
    SOURCE_PATTERN: "a data source's name begins with a letter a-z and holds only a-z, 0-9, dash "
    "and underscore, at most 32 of them",
    STRATEGY_PATTERN: "a strategy's name begins with a letter and holds only A-Z, a-z, 0-9, dot, "
    "dash and underscore, at most 63 of them",
}
