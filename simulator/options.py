"""Command line of the simulator."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

from app.core.errors import InvalidInput
from app.core.money import parse_amount
from simulator.clock import ClockMode
from simulator.fees import FeeAsset, FeeSchedule

# 2026-01-01T00:00Z
DEFAULT_START_MS = 1_767_225_600_000


class QuietBars(StrEnum):
    """What becomes of bars without a trade."""

    #: They are shown flat at the last close, as Binance, OKX and Bybit do.
    FILLED = "filled"
    OMITTED = "omitted"


@dataclass(frozen=True, slots=True)
class Options:
    """What the simulator was asked to be.

    Attributes:
        start_ms: market time at the start; None lets the clock or the replay decide.
        replays: (symbol, file) pairs.
        funding: (symbol of a perpetual, file of its funding rates) pairs.
        weight_limit: request weight per minute at Binance spot; 0 for no limit at any venue.
        usdm_weight_limit: the same for Binance USD-M futures.
        quiet: symbols with long stretches without trades.
    """

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 0
    start_ms: int | None = None
    clock: ClockMode = ClockMode.STEPPED
    replays: tuple[tuple[str, Path], ...] = ()
    funding: tuple[tuple[str, Path], ...] = ()
    state: Path | None = None
    fees: FeeSchedule = field(default_factory=FeeSchedule)
    spread_bps: float = 1.0
    reference_prices: str = ""
    weight_limit: int = 6_000
    usdm_weight_limit: int = 2_400
    quiet_bars: QuietBars = QuietBars.FILLED
    quiet: tuple[str, ...] = ()
    parent_pid: int | None = None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidInput(message)


def parse(arguments: Sequence[str]) -> Options:
    """Options of a command line.

    Raises:
        InvalidInput: in one sentence, what is wrong with it.
    """
    given = _parser().parse_args(arguments)
    files, symbols = given.replay, given.replay_symbol
    paid, paying = given.replay_funding, given.replay_funding_symbol
    if len(files) != len(symbols) or len(paid) != len(paying):
        raise InvalidInput("give one --replay-symbol for each --replay, in the same order")
    if any(len(set(names)) != len(names) for names in (symbols, paying)):
        raise InvalidInput("a symbol can replay one file only")
    return Options(
        host=_loopback(given.host),
        port=_port(given.port),
        seed=given.seed,
        start_ms=None if given.start is None else parse_time(given.start),
        clock=ClockMode(given.clock),
        replays=tuple(zip(symbols, (Path(file) for file in files), strict=True)),
        funding=tuple(zip(paying, (Path(file) for file in paid), strict=True)),
        state=None if given.state is None else Path(given.state),
        fees=FeeSchedule(
            taker=_rate("--taker-fee", given.taker_fee),
            maker=_rate("--maker-fee", given.maker_fee),
            asset=FeeAsset(given.fee_asset),
        ),
        spread_bps=_spread(given.spread_bps),
        reference_prices=given.reference_prices,
        weight_limit=_count("--weight-limit", given.weight_limit),
        usdm_weight_limit=_count("--usdm-weight-limit", given.usdm_weight_limit),
        quiet_bars=QuietBars(given.quiet_bars),
        quiet=tuple(given.quiet),
        parent_pid=given.parent_pid,
    )


def _parser() -> _Parser:
    parser = _Parser(prog="python -m simulator", description="A simulated exchange on loopback.")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", default="0", help="0 picks a free one")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal markets")
    parser.add_argument("--start", help="market time: RFC 3339 or milliseconds since 1970")
    parser.add_argument("--clock", choices=[each.value for each in ClockMode], default="stepped")
    parser.add_argument("--replay", action="append", default=[], help="candles to replay")
    parser.add_argument("--replay-symbol", action="append", default=[], help="as in BTC/USDT")
    parser.add_argument(
        "--replay-funding", action="append", default=[], help="funding rates to replay"
    )
    parser.add_argument(
        "--replay-funding-symbol", action="append", default=[], help="as in BTC/USDT:USDT"
    )
    parser.add_argument("--state", help="journal to go on from and to write")
    parser.add_argument(
        "--fee-asset", choices=[each.value for each in FeeAsset], default="received"
    )
    parser.add_argument("--taker-fee", default="0.001", help="fraction, as in 0.001")
    parser.add_argument("--maker-fee", default="0.001")
    parser.add_argument("--spread-bps", default="1", help="mean spread; 0 for none")
    parser.add_argument("--reference-prices", default="", help="as in BTC/USDT=65000,…")
    parser.add_argument(
        "--weight-limit", default="6000", help="per minute; 0 for none at any venue"
    )
    parser.add_argument("--usdm-weight-limit", default="2400", help="the same of USD-M futures")
    parser.add_argument(
        "--quiet-bars",
        choices=[each.value for each in QuietBars],
        default="filled",
        help="bars without a trade: flat at the last close, or not there",
    )
    parser.add_argument(
        "--quiet", action="append", default=[], help="a symbol with long stretches without trades"
    )
    parser.add_argument("--parent-pid", type=int, help="exit when this process is gone")
    return parser


def parse_time(text: str) -> int:
    """Milliseconds of an RFC 3339 time or of a number of milliseconds.

    Raises:
        InvalidInput: it is neither.
    """
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"--start was {text[:40]!r}; write 2026-01-01T00:00:00Z or milliseconds"
        ) from None
    if moment.tzinfo is None:
        raise InvalidInput(f"--start was {text[:40]!r}, which has no time zone; add a Z for UTC")
    return int(moment.astimezone(UTC).timestamp() * 1000)


def _loopback(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise InvalidInput(
            f"--host was {host[:40]!r}; the simulator listens on loopback only, as on 127.0.0.1"
        )
    return host


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise InvalidInput(f"--port was {text[:40]!r}; it must be a number from 0 to 65535")
    return int(text)


def _rate(name: str, text: str) -> Decimal:
    rate = parse_amount(text)
    if not Decimal(0) <= rate < Decimal("0.1"):
        raise InvalidInput(f"{name} was {text}; it must be a fraction from 0 to below 0.1")
    return rate


def _spread(text: str) -> float:
    spread = parse_amount(text)
    if not 0 <= spread <= 1000:
        raise InvalidInput(f"--spread-bps was {text}; it must be from 0 to 1000")
    return float(spread)


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInput(f"{name} was {text[:40]!r}; it must be a whole number")
    return int(text)
