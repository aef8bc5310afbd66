"""Arguments that several commands share."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Final

import typer

Exchange = Annotated[str, typer.Option("--exchange", "-e", help="Venue id, as in binance.")]
Symbol = Annotated[str, typer.Option("--symbol", "-s", help="As in BTC/USDT.")]
Symbols = Annotated[list[str], typer.Option("--symbol", "-s", help="As in BTC/USDT; repeatable.")]
Interval = Annotated[str, typer.Option("--interval", "-i", help="As in 1m, 1h, 1d, 1M.")]
Kind = Annotated[str, typer.Option("--kind", help="trade, or mark or index of perpetuals.")]
Start = Annotated[str, typer.Option("--start", help="2026-01-01, RFC 3339 or milliseconds (UTC).")]
End = Annotated[str, typer.Option("--end", help="Exclusive; as --start.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="Rows to list.")]
Cursor = Annotated[str, typer.Option("--cursor", help="next_cursor of the page before.")]
# 20260101: taken as milliseconds it would be a range that nothing is in.
_COMPACT_DATE: Final = re.compile(r"(19|20)[0-9]{6}", re.ASCII)
Params = Annotated[
    list[str], typer.Option("--param", "-p", help="NAME=VALUE, VALUE as JSON or text; repeatable.")
]


def group(text: str) -> typer.Typer:
    """A command group."""
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def amount_of(option: str, text: str) -> Decimal:
    """The amount above 0 that an option gives.

    Raises:
        InvalidInput: it is none; the message names the option.
    """
    from app.core.errors import InvalidInput
    from app.core.money import parse_amount

    try:
        amount = parse_amount(text)
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}") from None
    if amount <= 0:
        raise InvalidInput(f"{option} must be above 0")
    return amount


def range_of(start: str, end: str) -> tuple[int | None, int | None]:
    """The range that ``--start`` and ``--end`` give, ms; None where one was not given.

    Raises:
        InvalidInput: one is no time, or no time lies between them.
    """
    from app.core.errors import InvalidInput

    first, stop = time_of("--start", start), time_of("--end", end)
    if first is not None and stop is not None and first >= stop:
        raise InvalidInput(f"--end must lie after --start: {end} does not lie after {start}")
    return first, stop


def time_of(option: str, text: str) -> int | None:
    """The time that an option gives, ms; None where it was not given.

    Raises:
        InvalidInput: it is none; the message names the option.
    """
    from app.core.errors import InvalidInput
    from app.schemas.times import parse_time

    if not text:
        return None
    if _COMPACT_DATE.fullmatch(text):
        year, month, day = text[:4], text[4:6], text[6:]
        raise InvalidInput(
            f"{option}: {text} would be a moment of 1970 in milliseconds; write the date as "
            f"{year}-{month}-{day}"
        )
    try:
        return parse_time(text)
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}") from None


def pairs_of(option: str, given: list[str]) -> dict[str, str]:
    """``NAME=VALUE`` options as a mapping.

    Raises:
        InvalidInput: one has another form, or a name is given twice.
    """
    from app.core.errors import InvalidInput

    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name or not value:
            raise InvalidInput(f"{option} is written as NAME=VALUE")
        if name in found:
            raise InvalidInput(f"{option} gives {name[:40]!r} twice")
        found[name] = value
    return found


def params_of(given: list[str]) -> dict[str, Any]:
    """Strategy parameters: values are JSON where they are JSON, else text.

    Raises:
        InvalidInput: one has another form than ``NAME=VALUE``, or is no finite number.
    """
    return {name: _value(text) for name, text in pairs_of("--param", given).items()}


def _value(text: str) -> Any:
    import json

    from app.core.errors import InvalidInput

    def refuse(name: str) -> Any:
        raise InvalidInput(f"a parameter was {name}, which is not a finite number")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return text
