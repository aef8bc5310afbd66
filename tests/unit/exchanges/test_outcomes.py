"""What each refusal of Binance proves, row by row."""

from __future__ import annotations

import pytest

from app.core.exchanges.limits import UNSTATED_BAN_MS, ban_end, retry_after_ms
from app.core.exchanges.outcomes import TABLES, Action, Outcome, Refusal, outcome

CREATE, CANCEL, QUERY = Action.CREATE, Action.CANCEL, Action.QUERY
REJECTED, LATER = Outcome.REJECTED, Outcome.RETRY_LATER
OUTDATED = Outcome.OUTDATED
KEY = Outcome.KEY_REFUSED
UNKNOWN, FINAL = Outcome.UNKNOWN, Outcome.FINAL
ALL = (CREATE, CANCEL, QUERY)

TABLE = [
    # status code  text                                                    actions    outcome
    (429, "-1003", "Too much request weight used", ALL, LATER),
    (429, "-1015", "Too many new orders", (CREATE,), LATER),
    (429, None, "", ALL, LATER),
    (418, "-1003", "Way too much request weight used; IP banned until 1", ALL, LATER),
    (400, "-1003", "Too many requests queued.", ALL, LATER),
    (400, "-1021", "Timestamp for this request is outside of the recvWindow.", ALL, LATER),
    (503, "-1008", "Server is currently overloaded with other requests.", ALL, LATER),
    (400, "-1008", "Server is currently overloaded with other requests.", ALL, LATER),
    # Nothing is proven: the order may live.
    (400, "-1007", "Timeout waiting for response from backend server.", ALL, UNKNOWN),
    (504, "-1007", "Timeout waiting for response from backend server.", ALL, UNKNOWN),
    (500, "-1000", "An unknown error occurred while processing the request.", ALL, UNKNOWN),
    (500, "-1001", "Internal error; unable to process your request.", ALL, UNKNOWN),
    (503, "-1006", "An unexpected response was received from the message bus.", ALL, UNKNOWN),
    (502, None, "", ALL, UNKNOWN),
    (503, None, "", ALL, UNKNOWN),
    (504, None, "", ALL, UNKNOWN),
    (500, "-2010", "Account has insufficient balance for requested action.", (CREATE,), UNKNOWN),
    (500, "-1121", "Invalid symbol.", ALL, UNKNOWN),
    (403, None, "", ALL, UNKNOWN),  # a firewall's page; who knows what stands behind it
    (200, "-2010", "Account has insufficient balance for requested action.", (CREATE,), UNKNOWN),
    (302, None, "", ALL, UNKNOWN),
    (400, None, "", ALL, UNKNOWN),
    (400, "-9999", "something new", ALL, UNKNOWN),
    # The id is taken: the first order of that id lives.
    (400, "-2010", "Duplicate order sent.", (CREATE,), UNKNOWN),
    # Refused for good.
    (400, "-2010", "Account has insufficient balance for requested action.", (CREATE,), REJECTED),
    (400, "-2010", "Order would immediately match and take.", (CREATE,), REJECTED),
    (400, "-2010", "Market is closed.", (CREATE,), OUTDATED),
    (400, "-2010", "Rest API trading is not enabled.", (CREATE, CANCEL), OUTDATED),
    (400, "-1013", "Filter failure: LOT_SIZE", (CREATE,), OUTDATED),
    (400, "-1013", "Filter failure: PRICE_FILTER", (CREATE,), OUTDATED),
    (400, "-1013", "Filter failure: PERCENT_PRICE_BY_SIDE", (CREATE,), OUTDATED),
    (400, "-1013", "Filter failure: NOTIONAL", (CREATE,), OUTDATED),
    (400, "-1013", "Filter failure: MAX_NUM_ORDERS", (CREATE,), OUTDATED),
    (400, "-1111", "Precision is over the maximum defined for this asset.", (CREATE,), OUTDATED),
    (400, "-1016", "This service is no longer available.", (CREATE,), REJECTED),
    (400, "-1100", "Illegal characters found in a parameter.", ALL, REJECTED),
    (400, "-1121", "Invalid symbol.", ALL, OUTDATED),
    (400, "-1199", "the end of the family", ALL, REJECTED),
    (401, "-1002", "You are not authorized to execute this request.", ALL, KEY),
    (400, "-1022", "Signature for this request is not valid.", ALL, KEY),
    (401, "-2014", "API-key format invalid.", ALL, KEY),
    (401, "-2015", "Invalid API-key, IP, or permissions for action.", ALL, KEY),
    # No such order: about the order asked for, so it proves nothing about a new one.
    (400, "-2011", "Unknown order sent.", (CANCEL,), FINAL),
    (400, "-2013", "Order does not exist.", (QUERY, CANCEL), FINAL),
    (400, "-2011", "Unknown order sent.", (QUERY, CREATE), UNKNOWN),
    (400, "-2013", "Order does not exist.", (CREATE,), UNKNOWN),
    (503, "-2013", "Order does not exist.", (QUERY,), UNKNOWN),
]


@pytest.mark.parametrize(("status", "code", "text", "actions", "expected"), TABLE)
def test_binance_refusal(
    status: int, code: str | None, text: str, actions: tuple[Action, ...], expected: Outcome
) -> None:
    for action in actions:
        assert outcome("binance", action, Refusal(status, code, text)) is expected


def test_every_row_of_the_table_decides_something() -> None:
    seen = set()
    for status, code, text, actions, _ in TABLE:
        for action in actions:
            refusal = Refusal(status, code, text)
            rows = [rule for rule in TABLES["binance"] if rule.matches(action, refusal)]
            seen.update(rows[:1])
    unused = [rule.why for rule in TABLES["binance"] if rule not in seen]
    assert unused == ["archived long ago"]
    assert outcome("binance", QUERY, Refusal(400, "-2026", "Order was archived")) is REJECTED


def test_a_venue_without_a_table_proves_nothing() -> None:
    assert outcome("kraken", CREATE, Refusal(400, "-1121", "Invalid symbol.")) is UNKNOWN


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("3", 3_000),
        (" 60 ", 60_000),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),  # an Arabic digit
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("999999999", 3 * 24 * 3_600_000),
    ],
)
def test_retry_after(header: str | None, expected: int | None) -> None:
    assert retry_after_ms(header) == expected


NOW = 1_772_323_200_000


@pytest.mark.parametrize(
    ("status", "text", "wait_ms", "expected"),
    [
        (418, "IP banned until 1772323320000.", None, NOW + 120_000),
        (418, "IP banned until 1772323320000.", 5_000, NOW + 120_000),
        (429, "Way too many; banned until 1772323320000", None, NOW + 120_000),
        (418, "", 30_000, NOW + 30_000),
        (418, "", None, NOW + UNSTATED_BAN_MS),
        (418, "banned until 1772323199999", None, NOW + UNSTATED_BAN_MS),  # it is over
        (418, "banned until 9999999999999", None, NOW + UNSTATED_BAN_MS),  # a ban of 260 years
        (429, "Too many requests", 30_000, None),
    ],
)
def test_the_end_of_a_ban(
    status: int, text: str, wait_ms: int | None, expected: int | None
) -> None:
    assert ban_end(Refusal(status, "-1003", text), NOW, wait_ms) == expected
