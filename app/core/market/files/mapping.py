"""Which column of a file is what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from app.core.errors import InvalidInput

#: What a file of bars may tell, and the names by which columns are known; lower case.
_BARS: Final = {
    "ts": ("ts", "date", "open_time", "timestamp_ms", "timestamp", "open_ts", "time", "datetime"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume",),
    "quote_volume": ("quote_volume", "quote_asset_volume", "quotevolume"),
    "trade_count": ("trade_count", "count", "trades", "number_of_trades"),
}
_TRADES: Final = {
    "ts": ("ts", "timestamp", "time", "transact_time"),
    "price": ("price",),
    "amount": ("amount", "qty", "quantity"),
    "id": ("id", "trade_id", "agg_trade_id", "tradeid"),
}
_FUNDING: Final = {
    "ts": ("ts", "date", "calc_time", "timestamp", "time"),
    "rate": ("rate", "last_funding_rate", "funding_rate", "open"),
}
#: Fields of a row by what a file holds.
FIELDS: Final = {"bars": _BARS, "trades": _TRADES, "funding": _FUNDING}
# Columns as a user may name them.
_AS_IN: Final = {
    "bars": "ts=0,open=1,high=2,low=3,close=4,volume=5",
    "trades": "ts=0,price=1,amount=2",
    "funding": "ts=0,rate=1",
}
_OPTIONAL: Final = frozenset({"quote_volume", "trade_count", "id"})
_OHLCV: Final = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}
# Layouts without a header that are known by their width: six columns can be nothing else, and
# twelve are Binance's.
_BY_WIDTH: Final = {6: _OHLCV, 12: {**_OHLCV, "quote_volume": 7, "trade_count": 8}}
# Binance's trades: id, price, quantity, quote quantity, time, ...; its aggregated trades: id,
# price, quantity, first id, last id, time, ...; freqtrade's: time, id, type, side, price, ...
_TRADE_LAYOUTS: Final = {
    "binance": {"id": 0, "price": 1, "amount": 2, "ts": 4},
    "binance-aggregated": {"id": 0, "price": 1, "amount": 2, "ts": 5},
    "freqtrade": {"ts": 0, "id": 1, "price": 4, "amount": 5},
}
_FUNDING_LAYOUTS: Final = {"binance": {"ts": 0, "rate": 2}, "freqtrade": {"ts": 0, "rate": 1}}


def columns_of(text: str) -> dict[str, str]:
    """``ts=0,open=1,…`` as a mapping of fields to names or positions.

    Raises:
        InvalidInput: another form, or a field that no file has.
    """
    found: dict[str, str] = {}
    known = list(dict.fromkeys([*_BARS, *_TRADES, *_FUNDING]))
    for each in filter(None, text.split(",")):
        field, equals, column = (part.strip() for part in each.partition("="))
        if not equals or not column or field in found or field not in known:
            raise InvalidInput(
                f"--columns had {each[:40]!r}; write it as {_AS_IN['bars']}, of trades as "
                f"{_AS_IN['trades']}, with fields of {', '.join(known)}, each once"
            )
        found[field] = column
    return found


def positions(
    name: str,
    holds: str,
    header: Sequence[str] | None,
    width: int,
    given: Mapping[str, str],
    layout: str = "",
) -> dict[str, int]:
    """Position of the column of each field.

    Args:
        name: of the file, for messages.
        holds: ``bars``, ``trades`` or ``funding``.
        header: the columns' names; None where the file has none.
        given: fields as ``columns_of`` gave them; the others are found by name or layout.
        layout: ``binance``, ``binance-aggregated`` or ``freqtrade``.

    Raises:
        InvalidInput: a column that is needed cannot be found.
    """
    if given:
        found = {field: _position(name, header, width, each) for field, each in given.items()}
    elif header is not None:
        lower = [column.strip().lower() for column in header]
        _require_once(name, lower, [each for names in FIELDS[holds].values() for each in names])
        found = {
            field: next(lower.index(each) for each in names if each in lower)
            for field, names in FIELDS[holds].items()
            if any(each in lower for each in names)
        }
    else:
        found = _known(holds, width, layout)
    lacking = [field for field in FIELDS[holds] if field not in found and field not in _OPTIONAL]
    if lacking:
        raise InvalidInput(_lacking(name, holds, header, width, lacking))
    return found


def _lacking(
    name: str, holds: str, header: Sequence[str] | None, width: int, lacking: Sequence[str]
) -> str:
    """Which columns are not known, and what to say."""
    has = f"columns {', '.join(header)[:120]}" if header else f"{width} columns and no header"
    if holds == "bars" and header is not None and _are_trades(header):
        return (
            f"{name} has {has}, as of trades; if it holds trades, import it with --trades and "
            "--interval, which says what bars to make of them"
        )
    said = f"{name} has {has}; say which is {', '.join(lacking)} with --columns, as in "
    return f"{said}{_AS_IN[holds]}"


def _are_trades(header: Sequence[str]) -> bool:
    lower = {column.strip().lower() for column in header}
    return all(lower & set(names) for field, names in _TRADES.items() if field != "ts")


def _known(holds: str, width: int, layout: str) -> dict[str, int]:
    """Positions by layout or width; empty where neither is known or the width does not fit."""
    if holds == "bars":
        return dict(_BY_WIDTH.get(width, {}))
    layouts = _TRADE_LAYOUTS if holds == "trades" else _FUNDING_LAYOUTS
    found = layouts.get(layout, {})
    return dict(found) if all(position < width for position in found.values()) else {}


def _require_once(name: str, header: Sequence[str], wanted: Sequence[str]) -> None:
    """Nothing, where no column that is wanted is there twice."""
    for column in wanted:
        places = [str(at) for at, each in enumerate(header) if each == column]
        if len(places) > 1:
            raise InvalidInput(
                f"{name} has the column {column[:40]!r} {len(places)} times, at the positions "
                f"{' and '.join(places)}; say which counts with --columns, each field by its "
                "position, as in ts=0,open=1,high=2,low=3,close=4,volume=5"
            )


def _position(name: str, header: Sequence[str] | None, width: int, column: str) -> int:
    if header is not None and column in header:
        _require_once(name, header, [column])
        return header.index(column)
    if column.isascii() and column.isdigit() and int(column) < width:
        return int(column)
    has = f"{', '.join(header)[:120]}" if header else f"0 to {width - 1}"
    raise InvalidInput(f"{name} has no column {column[:40]!r}; it has {has}")
