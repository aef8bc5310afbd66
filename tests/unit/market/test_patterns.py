"""Patterns of symbols know ``*`` and ``?``, and take everything else as it is."""

from __future__ import annotations

import pytest

from app.core.market.patterns import matches
from app.core.market.retention import KeepRule
from app.services.collection.selection import Selection
from tests.support.catalogue import instrument


@pytest.mark.parametrize(
    ("pattern", "symbol", "does"),
    [
        ("*", "BTC/USDT", True),
        ("*/USDT", "BTC/USDT", True),
        ("*/USDT", "BTC/USDT:USDT", False),
        ("BT?/USDT", "BTC/USDT", True),
        ("BT?/USDT", "BT/USDT", False),
        ("btc/USDT", "BTC/USDT", False),
        ("[AB]TC/USDT", "BTC/USDT", False),
        ("[AB]TC/USDT", "[AB]TC/USDT", True),
        ("[!A]*", "BTC/USDT", False),
        ("[[]*", "[BTC/USDT", False),
        ("a]*", "a]b", True),
    ],
)
def test_stars_and_question_marks_alone_stand_for_others(
    pattern: str, symbol: str, does: bool
) -> None:
    assert matches(symbol, pattern) is does


def test_plans_and_rules_read_a_bracket_as_it_is() -> None:
    listed = [instrument("BTC/USDT"), instrument("[B]TC/USDT")]
    assert Selection("[B]*").choose(listed, {}) == ["[B]TC/USDT"]
    rule = KeepRule("r", "*", "[B]*", "1m", 30)
    assert [rule.matches("binance", each.symbol, "1m") for each in listed] == [False, True]
