"""What the name of a file claims, beside what the user says of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from app.core.errors import InvalidInput
from app.core.market.files.archive import native_of
from app.core.market.files.naming import BARS, FUNDING, FileName
from app.core.market.intervals import INTERVALS

if TYPE_CHECKING:
    from app.services.importing.order import ImportOrder

Symbols = Callable[[str], Sequence[str]]
# What a file that tells nothing of itself may hold.
_SYMBOL: Final = "BTC/USDT"
_INTERVAL: Final = "1m"
# The ends of a venue's own names by which a symbol is guessed for an example; the longest first.
_QUOTES: Final = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "USD")


class UnplacedError(InvalidInput):
    """Neither its name nor the user says which series a file is of.

    Attributes:
        advice: what to do about it, where it is one of a folder.
    """

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


def unplaced(
    order: ImportOrder, path: Path, said: FileName, lacking: Sequence[str]
) -> UnplacedError:
    """Of a file whose name does not say what the options would."""
    examples = {"--symbol": order.symbol or example_of(path, said), "--interval": _INTERVAL}
    words = " ".join(f"{option} {examples[option]}" for option in lacking)
    return UnplacedError(
        f"the name of {path.name} does not say what it holds; give {' and '.join(lacking)}",
        f"its name does not say its {' and '.join(each[2:] for each in lacking)}; import it "
        f"alone, as in: {_command(order, path)} {words}",
    )


def not_kept(order: ImportOrder, path: Path, said: FileName, symbol: str) -> UnplacedError:
    """Of a file whose name says an interval that is not known here."""
    which = f"bars of {said.interval}, which Tidemark does not keep"
    return UnplacedError(
        f"the name of {path.name} says {which}: those of {', '.join(INTERVALS)} it keeps; if the "
        "name is wrong, say its --interval and --despite-name",
        f"its name says {which}; take it out of the folder, or, if the name is wrong, import it "
        f"alone, as in: {_command(order, path)} --symbol {symbol or example_of(path, said)} "
        f"--interval {_INTERVAL} --despite-name",
    )


def require_name(order: ImportOrder, path: Path, said: FileName, symbols: Symbols) -> None:
    """Nothing, where the user says of a file what its name says, or that its name is wrong.

    Args:
        symbols: the catalogue's symbols for a venue's own name.

    Raises:
        InvalidInput: its name says another symbol or interval.
    """
    if order.despite_name:
        return
    named = said.symbol or said.native
    if order.symbol and named and not _is_of(order.symbol, said, symbols):
        raise _contradicted(path, named, "--symbol", order.symbol)
    is_bars = said.holds == BARS and not order.trades and not order.funding
    if is_bars and order.interval and said.interval not in ("", order.interval):
        raise _contradicted(path, said.interval, "--interval", order.interval)


def example_of(path: PurePath, said: FileName) -> str:
    """A symbol as it may be of a venue's own name."""
    quote = next((each for each in _QUOTES if said.native.endswith(each)), "")
    base = said.native[: -len(quote)] if quote else ""
    if not base:
        return _SYMBOL
    is_swap = "futures" in path.parts or said.holds == FUNDING
    return f"{base}/{quote}" + (f":{quote}" if is_swap else "")


def _is_of(symbol: str, said: FileName, symbols: Symbols) -> bool:
    pair = symbol.partition(":")[0]
    if said.symbol:
        # A name without a settling currency may be of either market; one may begin with a venue.
        of_venue = said.symbol.partition("/")[2].replace(":", "/")
        return said.symbol in (symbol, pair) or of_venue == symbol
    # A venue may stand before it, and a date or a kind of contract behind it, as in BTCUSD_PERP.
    return native_of(symbol) in said.native.split("_") or symbol in symbols(said.native)


def _contradicted(path: Path, named: str, option: str, given: str) -> InvalidInput:
    return InvalidInput(
        f"the name of {path.name} says {named}, and {option} says {given}; import it as what its "
        "name says, or, if the name is wrong, say --despite-name",
        code="other-name",
    )


def _command(order: ImportOrder, path: Path) -> str:
    venue = "" if order.exchange == "binance" else f" --exchange {order.exchange}"
    return f"tidemark data import {shlex.quote(str(path))}{venue}"
