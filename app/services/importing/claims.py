"""What the name of a file claims, beside what the user says of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from app.core.errors import InvalidInput
from app.core.market.files.archive import native_of
from app.core.market.files.naming import BARS, FUNDING, FileName
from app.core.market.intervals import INTERVALS

if TYPE_CHECKING:
    from app.services.importing.order import ImportOrder

Symbols = Callable[[str], Sequence[str]]
# Of a file that does not tell; no command that has these runs.
_SYMBOL: Final = "SYMBOL"
_INTERVAL: Final = "INTERVAL"
# The beginning of a name that goes on in no way that is known, as in XRP_ETH-1m-2019 and
# kraken_BTCUSDC-1m-2023Q1: perhaps a venue, a pair, perhaps with the currency it settles in, or a
# venue's own name, and an interval.
_BEGINNING: Final = re.compile(
    r"(?:(?P<venue>[a-z][a-z0-9]*)_)?(?P<pair>[A-Z0-9]+(?:_[A-Z0-9]+){0,2})"
    r"(?:-(?P<what>\d+(?:mo|[smhdwM])|trades)(?![A-Za-z0-9]))?(?:[-.].*)?"
)
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
    read = _guessed(path, said)
    found = {"--symbol": order.symbol or read.symbol, "--interval": order.interval or read.interval}
    words = " ".join(f"{option} {found[option]}" for option in lacking)
    kind = " --trades" if read.is_trades and not said.layout else ""
    return UnplacedError(
        f"the name of {path.name} does not say what it holds; give {' and '.join(lacking)}",
        f"its name does not say its {' and '.join(each[2:] for each in lacking)}; import it "
        f"alone, as in: {_command(order, path, read.venue)} {words}{kind}{_to_replace(words)}",
    )


def not_kept(order: ImportOrder, path: Path, said: FileName, symbol: str) -> UnplacedError:
    """Of a file whose name says an interval that is not known here."""
    which = f"bars of {said.interval}, which Tidemark does not keep"
    read = _guessed(path, said)
    words = f"--symbol {symbol or read.symbol} --interval {_INTERVAL}"
    return UnplacedError(
        f"the name of {path.name} says {which}: those of {', '.join(INTERVALS)} it keeps; if the "
        "name is wrong, say its --interval and --despite-name",
        f"its name says {which}; take it out of the folder, or, if the name is wrong, import it "
        f"alone, as in: {_command(order, path, read.venue)} {words} --despite-name"
        f"{_to_replace(words)}",
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


@dataclass(frozen=True, slots=True)
class _Guess:
    """What a name may say that cannot be read for sure; ``SYMBOL`` and ``INTERVAL`` if nothing."""

    symbol: str = _SYMBOL
    interval: str = _INTERVAL
    venue: str = ""
    is_trades: bool = False


def _guessed(path: PurePath, said: FileName) -> _Guess:
    """What a user may be told to say of a file, by its name alone."""
    found = _BEGINNING.fullmatch(path.name)
    if found is None:
        return _Guess()
    what = (found["what"] or "").replace("mo", "M")
    return _Guess(
        _pair(found["pair"].split("_"), is_swap="futures" in path.parts or said.holds == FUNDING),
        what if what in INTERVALS else _INTERVAL,
        found["venue"] or "",
        what == "trades",
    )


def _pair(parts: Sequence[str], *, is_swap: bool) -> str:
    """A symbol by the parts of a name: BTC and USDT, or BTCUSDT; one that cannot run of others."""
    base, *others = parts
    if not others:
        quote = next((each for each in _QUOTES if base.endswith(each) and base != each), "")
        if not quote:
            return _SYMBOL
        return f"{base.removesuffix(quote)}/{quote}" + (f":{quote}" if is_swap else "")
    # BTCUSD_PERP and BTCUSDT_260327 are contracts of their venue's names.
    if others[0] not in _QUOTES:
        return _SYMBOL
    return f"{base}/{others[0]}" + "".join(f":{each}" for each in others[1:])


def _to_replace(words: str) -> str:
    """What to do with the options of a command that nothing says."""
    unknown = [each for each in (_SYMBOL, _INTERVAL) if each in words.split()]
    return f", with what it is of in the place of {' and '.join(unknown)}" if unknown else ""


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


def _command(order: ImportOrder, path: Path, of: str) -> str:
    exchange = of or order.exchange
    venue = "" if exchange == "binance" else f" --exchange {exchange}"
    return f"tidemark data import {shlex.quote(str(path))}{venue}"
