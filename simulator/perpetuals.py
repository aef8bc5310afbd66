"""The perpetual contracts behind every venue that lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from app.core.errors import InvalidInput
from app.core.market.intervals import INTERVALS
from simulator.derived import Above, Days, DerivedDays, QuietDays
from simulator.instruments import DECIMALS, UNITS, Spec
from simulator.listings import (
    PERPETUALS,
    TAPE_STEP_DECIMALS,
    Perpetual,
    contract_of,
    mark_spec,
    perpetual_spec,
)
from simulator.market import Market
from simulator.noise import Floats, Ints
from simulator.options import Options, QuietBars
from simulator.premium import OpenInterest, Premium
from simulator.process import MINUTES, PriceProcess
from simulator.tape import GeneratedTape, Tape
from simulator.window import RoundedTape

if TYPE_CHECKING:
    from simulator.payments import Payments

# Mark and index are asked for less than trades are.
_MARK_DAYS: Final = 32
# Turnover of the contract, and what is open in it, against the spot market's day.
_BUSIER: Final = 2.5
_OPEN_DAYS: Final = 3.5
_FINE_TICK: Final = 1  # 10^-8: marks are rounded where a venue shows them
_TRADED_TICK: Final = UNITS // 100


class Perpetuals:
    """Tapes of every perpetual, shared by the venues.

    Args:
        markets: the spot markets, some of which may be replayed.

    Raises:
        InvalidInput: a replay that cannot be used.
    """

    def __init__(
        self, options: Options, process: PriceProcess, markets: Mapping[str, Market]
    ) -> None:
        self._options = options
        self._process = process
        self._markets = markets
        self._replays = dict(options.replays)
        self._file_ticks: dict[str, Decimal] = {}
        self._payments = {symbol: _payments(symbol, path) for symbol, path in options.funding}
        self._tapes = {symbol: self._make(symbol) for symbol in PERPETUALS}

    def at(self, venue: str, symbol: str) -> Perpetual:
        """One perpetual as a venue lists it."""
        spot = self._spot(symbol)
        traded, mark, index = self._tapes[symbol]
        spec = perpetual_spec(venue, symbol, spot)
        marked = mark_spec(venue, spec)
        seed, spread = self._options.seed, self._options.spread_bps
        ordinary = _OPEN_DAYS * spot.daily_quote_volume / float(spot.reference_price)
        rounded: Tape
        if symbol in self._replays:
            # Never coarser than the file's prices, which the venue then shows as they are.
            spec = replace(spec, tick=min(spec.tick, self._file_ticks[symbol]))
            rounded = traded
        else:
            rounded = RoundedTape(traded, spec.tick)
        return Perpetual(
            market=Market(seed, spec, rounded, spread),
            mark=Market(seed, marked, RoundedTape(mark, marked.tick), 0.0),
            index=Market(seed, marked, RoundedTape(index, marked.tick), 0.0),
            contract=contract_of(venue, symbol),
            premium=self._premium(symbol),
            open_interest=OpenInterest(seed, symbol, ordinary),
            payments=self._payments.get(symbol),
        )

    def _premium(self, symbol: str) -> Premium:
        return Premium(self._options.seed, symbol)

    def _spot(self, symbol: str) -> Spec:
        return self._markets[symbol.partition(":")[0]].spec

    def _make(self, symbol: str) -> tuple[Tape, Tape, Tape]:
        """Traded price, mark and index."""
        premium, spot = self._premium(symbol), self._spot(symbol)
        decimals = TAPE_STEP_DECIMALS[symbol]
        made = (
            Above(premium.traded, _TRADED_TICK, decimals),
            Above(premium.slow, _FINE_TICK, None),
            Above(_nothing, _FINE_TICK, None),
        )
        if spot.symbol in self._replays:
            traded, mark, index = (self._over_replay(spot.symbol, above) for above in made)
        else:
            ordinary = _BUSIER * spot.daily_quote_volume / float(spot.reference_price) / MINUTES
            typical = int(ordinary * UNITS)
            traded = self._over_process(symbol, made[0], typical, is_traded=True)
            mark, index = (self._over_process(symbol, above, typical) for above in made[1:])
        if symbol in self._replays:
            traded = self._replayed(symbol, self._replays[symbol])
        return traded, mark, index

    def _over_process(
        self, symbol: str, above: Above, typical: int, *, is_traded: bool = False
    ) -> Tape:
        spot, listed = symbol.partition(":")[0], PERPETUALS[symbol]
        days: Days = DerivedDays(self._process, spot, above, INTERVALS["1m"])
        if not is_traded:
            return GeneratedTape(days, symbol, listed, typical, minute_days=_MARK_DAYS)
        if symbol in self._options.quiet:
            days = QuietDays(days, self._options.seed)
        return GeneratedTape(days, symbol, listed, typical, omits_quiet=self._omits)

    def _over_replay(self, spot: str, above: Above) -> Tape:
        from simulator.replay import ReplayTape

        source = self._markets[spot].tape
        if not isinstance(source, ReplayTape):
            raise InvalidInput(f"{spot} is not replayed from a file")
        omits = self._omits and above.step_decimals is not None
        return ReplayTape(above.bars(source.bars, source.finest), source.finest, omits_quiet=omits)

    def _replayed(self, symbol: str, path: Path) -> Tape:
        from simulator.replay import read_replay

        replay = read_replay(path, omits_quiet=self._omits)
        self._file_ticks[symbol] = Decimal(1).scaleb(-min(replay.price_digits, DECIMALS))
        return replay.tape

    @property
    def _omits(self) -> bool:
        return self._options.quiet_bars is QuietBars.OMITTED


def _payments(symbol: str, path: Path) -> Payments:
    # pandas takes most of a second to import, and most simulators replay nothing.
    from simulator.payments import read_payments

    if symbol not in PERPETUALS:
        raise InvalidInput(
            f"--replay-funding-symbol was {symbol[:30]!r}; perpetuals are {', '.join(PERPETUALS)}"
        )
    return read_payments(path)


def _nothing(times: Ints) -> Floats:
    """No premium: the index is the spot price."""
    return np.zeros(len(times))
