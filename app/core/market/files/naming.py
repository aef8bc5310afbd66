"""What the name of a file says: Binance's public archive and freqtrade's data folders.

Binance: ``data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip``, and the same below
``futures/um``; ``markPriceKlines``, ``indexPriceKlines``, ``trades``, ``aggTrades`` and
``fundingRate`` are folders beside ``klines``.
freqtrade: ``BTC_USDT-1m.feather``; ``futures/XRP_USDT_USDT-5m-futures.feather``, and
``-mark``, ``-index`` and ``-funding_rate`` (or ``-funding``) in the place of ``-futures``;
``BTC_USDT-trades.feather``. A CSV of such a name, as of an export, is named alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Final

from app.core.market.klines import KlineKind

#: Formats by the endings of names, the longest first.
ENDINGS: Final = {
    ".csv.gz": "csv",
    ".json.gz": "json",
    ".csv": "csv",
    ".zip": "csv",
    ".json": "json",
    ".feather": "feather",
    ".parquet": "parquet",
}
BARS: Final = "bars"
TRADES: Final = "trades"
FUNDING: Final = "funding"
_BINANCE: Final = re.compile(
    r"(?P<native>[^-]+)-(?P<what>\d+(?:mo|[smhdw])|trades|aggTrades|fundingRate)"
    r"-(?P<month>\d{4}-\d{2})(?:-(?P<day>\d{2}))?"
)
_FREQTRADE: Final = re.compile(
    r"(?P<pair>[^-]+)-(?:(?P<interval>\d+[smhdwM])"
    r"(?:-(?P<kind>futures|mark|index|funding_rate|funding))?|(?P<trades>trades))"
)
_KINDS: Final = {
    "markPriceKlines": KlineKind.MARK,
    "indexPriceKlines": KlineKind.INDEX,
    "mark": KlineKind.MARK,
    "index": KlineKind.INDEX,
}
_ARCHIVED: Final = {"trades": TRADES, "aggTrades": TRADES, "fundingRate": FUNDING}
_PAIR_PARTS: Final = 2


@dataclass(frozen=True, slots=True)
class FileName:
    """What a name says.

    Attributes:
        layout: ``binance``, ``freqtrade``, or "" for a name of neither.
        holds: ``bars``, ``trades`` or ``funding``.
        format: one of the values of ``ENDINGS``, or "".
        native: the venue's own name of the symbol, or "".
        symbol: the symbol, or "".
        interval: of the bars, or "".
        period: [start, end) of what the file holds, ms: the month or the day of an archive's.
    """

    layout: str = ""
    holds: str = BARS
    format: str = ""
    native: str = ""
    symbol: str = ""
    interval: str = ""
    kind: KlineKind = KlineKind.TRADE
    period: tuple[int, int] | None = None


def what_name_says(path: PurePath) -> FileName:
    """What is known of a file by its name and its folders."""
    ending = next((each for each in ENDINGS if path.name.lower().endswith(each)), "")
    if not ending:
        return FileName()
    stem = path.name[: -len(ending)]
    kind = ENDINGS[ending]
    archived = _BINANCE.fullmatch(stem)
    if archived is not None and kind == "csv":
        return _archived(path, archived)
    saved = _FREQTRADE.fullmatch(stem)
    if saved is not None:
        named = _saved(saved, kind)
        # freqtrade saves no CSV; such a file, as of an export, tells its columns by its header.
        return named if kind != "csv" else replace(named, layout="")
    return FileName(format=kind)


def is_data(path: PurePath) -> bool:
    """Whether the name ends as a file of market data does."""
    return path.name.lower().endswith(tuple(ENDINGS))


def _archived(path: PurePath, found: re.Match[str]) -> FileName:
    what = found["what"]
    kinds = [_KINDS[part] for part in path.parts[:-1] if part in _KINDS]
    return FileName(
        "binance",
        _ARCHIVED.get(what, BARS),
        "csv",
        native=found["native"],
        interval="" if what in _ARCHIVED else what.replace("mo", "M"),
        kind=kinds[-1] if kinds else KlineKind.TRADE,
        period=_period(found["month"], found["day"]),
    )


def _period(month: str, day: str | None) -> tuple[int, int] | None:
    """A month or a day of it in ms; None of what is no date, such as a 13th month."""
    try:
        start = datetime.fromisoformat(f"{month}-{day or '01'}").replace(tzinfo=UTC)
    except ValueError:
        return None
    # Of a month some day of the next one, set back to its first.
    end = start + timedelta(days=1) if day else (start + timedelta(days=31)).replace(day=1)
    return int(start.timestamp()) * 1000, int(end.timestamp()) * 1000


def _saved(found: re.Match[str], kind: str) -> FileName:
    holds = BARS
    if found["trades"]:
        holds = TRADES
    elif found["kind"] in ("funding_rate", "funding"):
        holds = FUNDING
    return FileName(
        "freqtrade",
        holds,
        kind,
        symbol=_symbol(found["pair"]),
        interval=found["interval"] or "",
        kind=_KINDS.get(found["kind"] or "", KlineKind.TRADE),
    )


def _symbol(pair: str) -> str:
    """``BTC/USDT`` of ``BTC_USDT``, ``XRP/USDT:USDT`` of ``XRP_USDT_USDT``; "" of others."""
    parts = pair.split("_")
    if not all(parts) or not _PAIR_PARTS <= len(parts) <= _PAIR_PARTS + 1:
        return ""
    return "/".join(parts[:2]) + "".join(f":{part}" for part in parts[2:])
