"""Putting a venue together from options."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app.core.errors import InvalidInput
from simulator.clock import ClockMode, MarketClock, RunningClock, SteppedClock, wall_ms
from simulator.derived import Days, QuietDays
from simulator.instruments import (
    CATALOGUE,
    UNITS,
    Spec,
    replayed_spec,
    with_reference_prices,
)
from simulator.listings import BYBIT, OKX, PERPETUALS, USDM, Listing, spot_spec
from simulator.market import Market
from simulator.options import DEFAULT_START_MS, Options, QuietBars
from simulator.perpetuals import Perpetuals
from simulator.process import MINUTES, PriceProcess
from simulator.tape import GeneratedTape
from simulator.venue import Venue
from simulator.window import RoundedTape

_EARLIEST_MS: Final = 1_420_070_400_000  # 2015-01-01
_LATEST_MS: Final = 2_051_222_400_000  # 2035-01-01


def build_venue(options: Options) -> Venue:
    """The venue that the options describe.

    Raises:
        InvalidInput: a replay file, a symbol or a time that cannot be used.
    """
    specs = with_reference_prices(CATALOGUE, options.reference_prices)
    _check_quiet(options, specs)
    process = PriceProcess(options.seed, specs)
    markets = {symbol: _generated(options, process, spec) for symbol, spec in specs.items()}
    for symbol, path in options.replays:
        if symbol not in PERPETUALS:
            markets[symbol] = _replayed(options, symbol, path)
    perpetuals = Perpetuals(options, process, markets)
    listings = [_listing(options, name, markets, perpetuals) for name in (USDM, OKX, BYBIT)]
    return Venue(
        options.seed,
        markets,
        _clock(options, _file_end(options, markets, perpetuals)),
        options.fees,
        listings,
    )


def _check_quiet(options: Options, specs: dict[str, Spec]) -> None:
    replayed = {symbol for symbol, _ in options.replays}
    known = (*specs, *PERPETUALS)
    for symbol in options.quiet:
        if symbol not in known:
            raise InvalidInput(
                f"--quiet was {symbol[:30]!r}, which is not listed; listed are {', '.join(known)}"
            )
        if symbol in replayed:
            raise InvalidInput(f"{symbol} is replayed, so its file says when it is quiet")


def _generated(options: Options, process: PriceProcess, spec: Spec) -> Market:
    ordinary = spec.daily_quote_volume / float(spec.reference_price) / MINUTES
    days: Days = process
    if spec.symbol in options.quiet:
        days = QuietDays(process, options.seed)
    tape = GeneratedTape(
        days,
        spec.symbol,
        spec.listed_ms,
        int(ordinary * UNITS),
        omits_quiet=options.quiet_bars is QuietBars.OMITTED,
    )
    return Market(options.seed, spec, tape, options.spread_bps)


def _replayed(options: Options, symbol: str, path: Path) -> Market:
    # pandas takes most of a second to import, and most simulators replay nothing.
    from simulator.replay import read_replay

    replay = read_replay(path, omits_quiet=options.quiet_bars is QuietBars.OMITTED)
    tape = replay.tape
    spec = replayed_spec(symbol, replay.price_digits, replay.volume_digits, tape.first_ts)
    return Market(options.seed, spec, tape, options.spread_bps)


def _listing(
    options: Options, venue: str, markets: dict[str, Market], perpetuals: Perpetuals
) -> Listing:
    """One venue's instruments: the same tapes, on the venue's own ticks."""
    replayed = {symbol for symbol, _ in options.replays}
    listing = Listing(venue)
    if venue != USDM:
        for symbol, market in markets.items():
            spec = spot_spec(venue, market.spec, is_replayed=symbol in replayed)
            tape = market.tape
            if spec.tick > market.spec.tick:
                tape = RoundedTape(tape, spec.tick)
            listing.spot[spec.native] = Market(options.seed, spec, tape, options.spread_bps)
    for symbol in PERPETUALS:
        made = perpetuals.at(venue, symbol)
        listing.perpetuals[made.spec.native] = made
    return listing


def _file_end(options: Options, markets: dict[str, Market], perpetuals: Perpetuals) -> int | None:
    """Where the first replayed file ends: all of it is past, nothing of it is left to trade."""
    if not options.replays:
        return None
    symbol = options.replays[0][0]
    if symbol in PERPETUALS:
        return perpetuals.at(USDM, symbol).market.tape.end_ts
    return markets[symbol].tape.end_ts


def _clock(options: Options, file_end: int | None) -> MarketClock:
    start = options.start_ms
    if start is not None and not _EARLIEST_MS <= start <= _LATEST_MS:
        raise InvalidInput(f"--start was {start}; the simulated markets span 2015 to 2034")
    if options.clock is ClockMode.RUNNING:
        return RunningClock(wall_ms() if start is None else start)
    if start is None:
        start = DEFAULT_START_MS if file_end is None else file_end
    return SteppedClock(start)
