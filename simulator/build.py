"""Putting a venue together from options."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app.core.errors import InvalidInput
from simulator.clock import ClockMode, MarketClock, RunningClock, SteppedClock, wall_ms
from simulator.instruments import (
    CATALOGUE,
    UNITS,
    Spec,
    replayed_spec,
    with_reference_prices,
)
from simulator.market import Market
from simulator.options import DEFAULT_START_MS, Options
from simulator.process import MINUTES, PriceProcess
from simulator.tape import GeneratedTape
from simulator.venue import Venue

_EARLIEST_MS: Final = 1_420_070_400_000  # 2015-01-01
_LATEST_MS: Final = 2_051_222_400_000  # 2035-01-01


def build_venue(options: Options) -> Venue:
    """The venue that the options describe.

    Raises:
        InvalidInput: a replay file or a time that cannot be used.
    """
    specs = with_reference_prices(CATALOGUE, options.reference_prices)
    process = PriceProcess(options.seed, specs)
    markets = {symbol: _generated(options, process, spec) for symbol, spec in specs.items()}
    for symbol, path in options.replays:
        markets[symbol] = _replayed(options, symbol, path)
    return Venue(options.seed, markets, _clock(options, markets), options.fees)


def _generated(options: Options, process: PriceProcess, spec: Spec) -> Market:
    ordinary = spec.daily_quote_volume / float(spec.reference_price) / MINUTES
    tape = GeneratedTape(process, spec.symbol, spec.listed_ms, int(ordinary * UNITS))
    return Market(options.seed, spec, tape, options.spread_bps)


def _replayed(options: Options, symbol: str, path: Path) -> Market:
    # pandas takes most of a second to import, and most simulators replay nothing.
    from simulator.replay import read_replay

    replay = read_replay(path)
    tape = replay.tape
    spec = replayed_spec(symbol, replay.price_digits, replay.volume_digits, tape.first_ts)
    return Market(options.seed, spec, tape, options.spread_bps)


def _clock(options: Options, markets: dict[str, Market]) -> MarketClock:
    start = options.start_ms
    if start is not None and not _EARLIEST_MS <= start <= _LATEST_MS:
        raise InvalidInput(f"--start was {start}; the simulated markets span 2015 to 2034")
    if options.clock is ClockMode.RUNNING:
        return RunningClock(wall_ms() if start is None else start)
    if start is None and options.replays:
        # Where the first file ends, all of it is past and nothing of it is left to trade.
        return SteppedClock(markets[options.replays[0][0]].tape.end_ts or DEFAULT_START_MS)
    return SteppedClock(DEFAULT_START_MS if start is None else start)
