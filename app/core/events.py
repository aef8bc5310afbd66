"""Topics and bodies of events."""

from __future__ import annotations

from typing import Any

# "%" first, or the others' escapes would be escaped again.
_ESCAPES = (("%", "%25"), (".", "%2E"), ("*", "%2A"), ("#", "%23"))


def topic(*parts: str) -> str:
    """Routing key of an event: the parts joined by dots, each escaped.

    A part may hold any character: ``.``, ``*`` and ``#`` mean something in a topic exchange, so
    they and ``%`` are percent-encoded.

    Raises:
        ValueError: a part is empty; a pattern's ``*`` would not match it.
    """
    if not all(parts):
        raise ValueError(f"a topic part was empty: {parts!r}")
    return ".".join(_escaped(part) for part in parts)


def parts_of(routing_key: str) -> list[str]:
    """The parts that ``topic`` joined."""
    found = []
    for part in routing_key.split("."):
        for plain, escape in reversed(_ESCAPES):
            part = part.replace(escape, plain)  # noqa: PLW2901
        found.append(part)
    return found


def body(schema: str, **fields: Any) -> dict[str, Any]:
    """Body of an event: ``schema`` (such as ``klines.v1``) and plain JSON values.

    Fields are only ever added to a schema, so a consumer ignores those it does not know.
    """
    return {"schema": schema, **fields}


def kline_event(
    exchange: str,
    symbol: str,
    interval: str,
    first: int,
    last: int,
    count: int,
    *,
    kind: str = "trade",
) -> tuple[str, dict[str, Any]]:
    """Topic and body of "bars were stored".

    Args:
        first, last: open times of the first and last stored bar, ms.
        count: how many bars were new or changed.
        kind: ``trade``, ``mark`` or ``index``; bars of trades are on ``market.kline``.
    """
    name = "kline" if kind == "trade" else str(kind)
    return topic("market", name, exchange, symbol, interval), body(
        "klines.v1",
        kind=str(kind),
        exchange=exchange,
        symbol=symbol,
        interval=interval,
        first=first,
        last=last,
        count=count,
    )


def _escaped(part: str) -> str:
    for plain, escape in _ESCAPES:
        part = part.replace(plain, escape)
    return part
