"""What a backtest is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from app.core.errors import InvalidInput
from app.core.market.instruments import Instrument, InstrumentType
from app.core.market.intervals import interval as interval_of

ENGINES: Final = ("tidemark", "backtrader")
DEFAULT_CASH: Final = Decimal(10_000)
DEFAULT_FEE: Final = Decimal("0.001")


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestSpec:
    """One backtest. Everything that changes its numbers is here or in the klines.

    Attributes:
        strategy: the strategy's name.
        params: parameter values by name, in their JSON form; the rest have their defaults.
        version: sha256 of the strategy's source, for the record; empty where unknown.
        instruments: what is traded, the primary one first; they share one quote currency.
        start_ts, end_ts: on_kline is called for bars that open in [start_ts, end_ts), ms;
            None means the first and the last bar given. Earlier bars are for warm-up only.
        cash: quote units at the start; also the instance's capital.
        fee: part of each fill's value charged in quote units, 0.001 being 0.1 %.
        compounding: whether sizing equity includes own gains.
        engine: ``tidemark`` or ``backtrader``.
    """

    strategy: str
    exchange: str
    interval: str
    instruments: tuple[Instrument, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    start_ts: int | None = None
    end_ts: int | None = None
    cash: Decimal = DEFAULT_CASH
    fee: Decimal = DEFAULT_FEE
    compounding: bool = True
    engine: str = "tidemark"

    def __post_init__(self) -> None:
        interval_of(self.interval)
        if not self.instruments:
            raise InvalidInput("a backtest needs at least one symbol")
        symbols = [instrument.symbol for instrument in self.instruments]
        if len(set(symbols)) != len(symbols):
            raise InvalidInput(f"a symbol was given twice: {', '.join(symbols)}")
        quotes = {instrument.quote for instrument in self.instruments}
        if len(quotes) != 1:
            raise InvalidInput(
                "symbols of one backtest share one cash balance, so they need one quote "
                f"currency; these have {', '.join(sorted(quotes))}"
            )
        swaps = [item.symbol for item in self.instruments if item.type is not InstrumentType.SPOT]
        if swaps:
            raise InvalidInput(f"{swaps[0]} is a swap; the backtest trades spot for cash only")
        if not self.cash > 0:
            raise InvalidInput(f"cash was {self.cash}; it must be above 0")
        if not 0 <= self.fee < 1:
            raise InvalidInput(f"fee was {self.fee}; it is a part of the value, from 0 to below 1")
        if None not in (self.start_ts, self.end_ts) and self.start_ts >= self.end_ts:  # type: ignore[operator]
            raise InvalidInput(f"start {self.start_ts} was not before end {self.end_ts}")
        if self.engine not in ENGINES:
            raise InvalidInput(f"engine {self.engine!r} is not known; use {' or '.join(ENGINES)}")

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols in the run's order."""
        return tuple(instrument.symbol for instrument in self.instruments)

    @property
    def quote(self) -> str:
        """The currency of cash, fees and PnL."""
        return self.instruments[0].quote
