"""The simulated venue's catalogue: what is listed, since when, with which filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final

from app.core.errors import InvalidInput, UnknownName
from app.core.money import canonical, parse_amount

# 10⁻⁸ is the finest unit a Binance spot price or quantity is printed in.
DECIMALS: Final = 8
UNITS: Final = 10**DECIMALS


class Status(StrEnum):
    """Whether a symbol trades, in Binance's words. Orders may be cancelled in each of them."""

    TRADING = "TRADING"
    END_OF_DAY = "END_OF_DAY"
    HALT = "HALT"
    BREAK = "BREAK"
    CANCEL_ONLY = "CANCEL_ONLY"


@dataclass(frozen=True, slots=True)
class Spec:
    """One instrument and the character of its market.

    Attributes:
        listed_ms: opening of the first bar.
        reference_price: price on 2026-01-01, quote units.
        volatility: standard deviation of a day's log return.
        daily_quote_volume: turnover of an ordinary day, quote units.
        market_share: correlation of returns with the common factor, 0 to 1.
        cross_of: symbols whose quotient this instrument's price is, or None.
    """

    symbol: str
    native: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    min_notional: Decimal
    listed_ms: int
    reference_price: Decimal
    volatility: float
    daily_quote_volume: float
    market_share: float = 0.7
    cross_of: tuple[str, str] | None = None

    @property
    def tick_units(self) -> int:
        """The tick in units of 10⁻⁸."""
        return int(self.tick.scaleb(DECIMALS))

    @property
    def step_units(self) -> int:
        """The step in units of 10⁻⁸."""
        return int(self.step.scaleb(DECIMALS))

    @property
    def volume_decimals(self) -> int:
        """Decimals of a quantity; a month of a cheap coin would not fit at eight."""
        return _places(self.step)

    @property
    def quote_decimals(self) -> int:
        """Decimals of a price times a quantity, at most the eight that are printed."""
        return min(DECIMALS, _places(self.tick) + _places(self.step))


def _places(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _spec(
    symbol: str,
    tick: str,
    step: str,
    listed_ms: int,
    price: str,
    volatility: float,
    turnover: float,
    *,
    min_notional: str = "5",
    cross_of: tuple[str, str] | None = None,
) -> Spec:
    base, quote = symbol.split("/")
    return Spec(
        symbol=symbol,
        native=base + quote,
        base=base,
        quote=quote,
        tick=Decimal(tick),
        step=Decimal(step),
        min_quantity=Decimal(step),
        max_quantity=Decimal(9_000) if base == "BTC" else Decimal(9_000_000),
        min_notional=Decimal(min_notional),
        listed_ms=listed_ms,
        reference_price=Decimal(price),
        volatility=volatility,
        daily_quote_volume=turnover,
        cross_of=cross_of,
    )


# Ticks, steps and listing times are those of the real instruments.
CATALOGUE: Final[dict[str, Spec]] = {
    spec.symbol: spec
    for spec in (
        _spec("BTC/USDT", "0.01", "0.00001", 1502942400000, "68000", 0.026, 1.6e9),
        _spec("ETH/USDT", "0.01", "0.0001", 1502942400000, "2400", 0.034, 9.0e8),
        _spec("SOL/USDT", "0.01", "0.001", 1597125600000, "140", 0.045, 3.5e8),
        _spec("BNB/USDT", "0.01", "0.001", 1509940440000, "620", 0.028, 1.5e8),
        _spec("XRP/USDT", "0.0001", "0.1", 1525421460000, "1.35", 0.042, 2.5e8),
        _spec("ADA/USDT", "0.0001", "0.1", 1523937720000, "0.42", 0.044, 7.0e7),
        _spec("DOGE/USDT", "0.00001", "1", 1562328000000, "0.13", 0.048, 1.2e8),
        _spec(
            *("ETH/BTC", "0.00001", "0.0001", 1500004800000, "0.0353", 0.02, 600.0),
            min_notional="0.0001",
            cross_of=("ETH/USDT", "BTC/USDT"),
        ),
        _spec("币安人生/USDT", "0.0001", "0.1", 1767794400000, "0.15", 0.075, 6.0e6),
    )
}


def spec_of(symbol: str) -> Spec:
    """The catalogue's entry.

    Raises:
        UnknownName: the simulated venue does not list the symbol.
    """
    try:
        return CATALOGUE[symbol]
    except KeyError:
        raise UnknownName(
            f"symbol {symbol[:30]!r} is not listed; listed are {', '.join(CATALOGUE)}"
        ) from None


#: What a venue may change of an instrument while it is traded.
FILTERS: Final[tuple[str, ...]] = ("tick", "step", "min_quantity", "max_quantity", "min_notional")


def with_filters(spec: Spec, changes: Mapping[str, Decimal]) -> Spec:
    """The entry with other filters; a smallest order below the new step moves up to it.

    Raises:
        InvalidInput: a filter is not above 0, finer than a venue states, or they contradict
            each other.
    """
    for name, value in changes.items():
        if value <= 0 or value != round(value, DECIMALS):
            raise InvalidInput(
                f"{name} was {canonical(value)}; it must be above 0, with at most 8 decimals"
            )
    step = changes.get("step", spec.step)
    changed = replace(
        spec,
        tick=changes.get("tick", spec.tick),
        step=step,
        min_quantity=changes.get("min_quantity", max(spec.min_quantity, step)),
        max_quantity=changes.get("max_quantity", spec.max_quantity),
        min_notional=changes.get("min_notional", spec.min_notional),
    )
    if not changed.step <= changed.min_quantity <= changed.max_quantity:
        raise InvalidInput("step, smallest and largest quantity must not descend")
    return changed


def replayed_spec(symbol: str, price_decimals: int, volume_decimals: int, first_ms: int) -> Spec:
    """Entry of an instrument whose market is a file: the catalogue's filters where it has any.

    The tick is never coarser than the file's prices, so that every fill at a tape price passes
    the venue's own filter.

    Raises:
        InvalidInput: the symbol is not written as BASE/QUOTE.
    """
    base, slash, quote = symbol.partition("/")
    if not (base and slash and quote) or "/" in quote or ":" in quote:
        raise InvalidInput(f"symbol {symbol[:30]!r} is not a spot symbol; write it as BTC/USDT")
    tick = Decimal(1).scaleb(-min(price_decimals, DECIMALS))
    step = Decimal(1).scaleb(-min(volume_decimals, DECIMALS))
    known = CATALOGUE.get(symbol)
    if known is not None:
        return replace(known, tick=min(known.tick, tick), listed_ms=first_ms, cross_of=None)
    is_dollar = quote in {"USDT", "USDC", "FDUSD", "BUSD", "USD"}
    spec = _spec(symbol, "1", "1", first_ms, "1", 0.03, 1e6)
    return replace(
        spec,
        tick=tick,
        step=step,
        min_quantity=step,
        min_notional=Decimal(5) if is_dollar else Decimal("0.0001"),
    )


def with_reference_prices(specs: dict[str, Spec], text: str) -> dict[str, Spec]:
    """The catalogue with other reference prices, given as ``BTC/USDT=65000,ETH/USDT=3000``.

    Raises:
        InvalidInput: an entry is malformed, unknown, or names a derived cross.
    """
    changed = dict(specs)
    for part in filter(None, text.split(",")):
        symbol, equals, value = part.partition("=")
        if not equals:
            raise InvalidInput(f"reference price {part[:40]!r} is not written as BTC/USDT=65000")
        spec = spec_of(symbol.strip())
        price = parse_amount(value.strip())
        if spec.cross_of is not None:
            raise InvalidInput(f"{symbol} is the quotient of {' and '.join(spec.cross_of)}")
        if price < 100 * spec.tick:
            raise InvalidInput(
                f"reference price of {symbol} was {canonical(price)}; "
                f"it must be at least 100 ticks of {canonical(spec.tick)}"
            )
        changed[spec.symbol] = replace(spec, reference_price=price)
    return changed
