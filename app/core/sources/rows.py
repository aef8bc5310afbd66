"""Observations between a source's process and the record: stated there, checked here.

A row is what JSON can hold of an observation: a list of six cells in the order of
``Observation``. A cell is null, text, a whole number, ``{"decimal": text}``, or
``{"other": text}`` for what none of these is. What is no observation at all is one such cell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from app.core.errors import InvalidInput
from app.core.money import checked
from app.core.sources.base import Observation

#: A clock that is ahead of ours by less is right enough.
SKEW_MS: Final = 60_000
SYMBOL_LIMIT: Final = 64
LABEL_LIMIT: Final = 64
_SERIES: Final = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
#: Names of what venues state: who listens to ``market.funding.#`` wants theirs alone.
RESERVED: Final = frozenset({"kline", "trade", "mark", "index", "funding", "open_interest"})
# Longer than any amount that fits: what is cut there is none.
_TEXT_LIMIT: Final = 100
_SHOWN_LIMIT: Final = 80
_WIDE: Final = 2**63


@dataclass(frozen=True, slots=True)
class BadObservation:
    """An observation that must not be stored.

    Attributes:
        row: as the source stated it, in short texts, numbers and nulls.
        reason: one short sentence.
    """

    row: list[str | int | None]
    reason: str


def stated(item: object) -> Any:
    """The row of whatever a source yielded."""
    return [_cell(each) for each in item] if isinstance(item, Observation) else _other(item)


def check(row: Any, now_ms: int) -> Observation | BadObservation:
    """The observation of a row, or why it is none.

    Args:
        row: any JSON: the process that stated it is not trusted.
        now_ms: wall time.
    """
    if not isinstance(row, list) or len(row) != len(Observation._fields):
        what = row.get("other") if isinstance(row, dict) else None
        kind = what.partition(" ")[0] if isinstance(what, str) else type(row).__name__
        return BadObservation([_shown(row)], f"is no Observation but {short(kind, 40)}")
    try:
        series, symbol = _series(row[0]), _symbol(row[3])
        ts, label = _time(row[1], now_ms), _label(row[5])
        second = None if row[4] is None else _amount("second", row[4])
        return Observation(series, ts, _amount("value", row[2]), symbol, second, label)
    except InvalidInput as error:
        return BadObservation([_shown(each) for each in row], short(error.message, 190))


def short(text: str, limit: int) -> str:
    """Text as every database takes it: on one line, without half characters, not too long."""
    clean = text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\0")
    line = " ".join(clean.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _cell(value: object) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        return value[:_TEXT_LIMIT]
    if isinstance(value, int) and not isinstance(value, bool) and -_WIDE < value < _WIDE:
        return int(value)
    if isinstance(value, Decimal):
        return {"decimal": str(value)[:_TEXT_LIMIT]}
    return _other(value)


def _other(value: object) -> dict[str, str]:
    kind = type(value).__name__[:40]
    # The text of a whole number of a million digits would be refused, or take for ever.
    text = "with too many digits" if isinstance(value, int) else repr(value)[:_SHOWN_LIMIT]
    return {"other": f"{kind} {text}"}


def _shown(cell: Any) -> str | int | None:
    if cell is None or (isinstance(cell, int) and -_WIDE < cell < _WIDE):
        return cell
    if isinstance(cell, dict) and len(cell) == 1:
        (cell,) = cell.values()
    return short(cell if isinstance(cell, str) else repr(cell)[:_SHOWN_LIMIT], _SHOWN_LIMIT)


def _series(cell: Any) -> str:
    if not isinstance(cell, str) or not _SERIES.fullmatch(cell):
        raise InvalidInput("its series must be named with a-z, 0-9 and _, at most 32 characters")
    if cell in RESERVED:
        raise InvalidInput(f"a series may not be named {cell}, which is what venues state")
    return cell


def _symbol(cell: Any) -> str | None:
    if cell is None:
        return None
    fits = isinstance(cell, str) and 0 < len(cell) <= SYMBOL_LIMIT and cell.isprintable()
    if not fits or any(each.isspace() for each in cell):
        raise InvalidInput(f"its symbol must be text of at most {SYMBOL_LIMIT} without spaces")
    return str(cell)


def _label(cell: Any) -> str | None:
    if cell is None:
        return None
    if not isinstance(cell, str) or len(cell) > LABEL_LIMIT or not cell.isprintable():
        raise InvalidInput(f"its label must be text of at most {LABEL_LIMIT} printable characters")
    return cell


def _time(cell: Any, now_ms: int) -> int:
    if not isinstance(cell, int) or isinstance(cell, bool):
        raise InvalidInput("its time must be a whole number of milliseconds")
    if cell < 0:
        raise InvalidInput("its time is before 1970")
    if cell > now_ms + SKEW_MS:
        raise InvalidInput("its time is more than a minute in the future; times are milliseconds")
    return cell


def _amount(name: str, cell: Any) -> Decimal:
    if isinstance(cell, int) and not isinstance(cell, bool):
        return checked(Decimal(cell))
    text = cell.get("decimal") if isinstance(cell, dict) else None
    if not isinstance(text, str):
        raise InvalidInput(f"its {name} was {_kind(cell)}; give a Decimal")
    try:
        return checked(Decimal(text))
    except InvalidOperation:
        raise InvalidInput(f"its {name} is no amount; give a Decimal") from None


def _kind(cell: Any) -> str:
    other = cell.get("other") if isinstance(cell, dict) else None
    if isinstance(other, str):
        return short(other.partition(" ")[0], 40)
    return "text" if isinstance(cell, str) else "none"
