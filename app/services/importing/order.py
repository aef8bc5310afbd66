"""What an import is told, and which files of which series that means."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, Final, Self

from app.core.errors import InvalidInput
from app.core.market.files.archive import CHECKSUM, archive_files, checksum_of, native_of
from app.core.market.files.naming import BARS, FUNDING, TRADES, FileName, is_data, what_name_says
from app.core.market.files.reading import Reading, reading_of
from app.core.market.intervals import INTERVALS, Interval
from app.core.market.intervals import interval as interval_of
from app.core.market.klines import KlineKind, kline_kind
from app.core.market.symbols import is_symbol, require_exchange_id, require_symbol
from app.services.importing.claims import UnplacedError, not_kept, require_name, unplaced

_URL: Final = re.compile(r"https?://", re.IGNORECASE)
# Names in a sentence.
_MOST_NAMES: Final = 10
# A file of funding rates has none; this stands where a file of bars has its own.
_FUNDING_INTERVAL: Final = "8h"


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What to import, as the user said it; what is "" or None is found out.

    Attributes:
        source: an absolute path of a file or directory, or the URL of an archive.
        columns: fields to names or positions, see ``mapping.columns_of``.
        start, end: bars that open in [start, end) only, ms.
        complete: the source is the whole truth: a bar that it lacks between others does not exist.
        trades: a file of trades, whose name does not say so.
        funding: a file of funding rates, whose name does not say so.
        despite_shift: keep bars that lie whole hours away from the same bars as stored.
        whole: a last line without a line end is no cut one.
        revise: keep bars that contradict most of those that are stored of their time.
        despite_name: the name of the file says a symbol or an interval that it is not of.
        new_exchange: files are the first that the record knows of an exchange, and ccxt has none
            of that id.
    """

    source: str
    exchange: str
    symbol: str = ""
    interval: str = ""
    kind: str = ""
    format: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    time_unit: str = ""
    utc_offset_ms: int | None = None
    start: int | None = None
    end: int | None = None
    complete: bool = False
    trades: bool = False
    funding: bool = False
    despite_shift: bool = False
    whole: bool = False
    revise: bool = False
    despite_name: bool = False
    new_exchange: bool = False

    def params(self) -> dict[str, Any]:
        """As a job keeps it."""
        return asdict(self)

    @classmethod
    def of(cls, params: dict[str, Any]) -> Self:
        """From what a job keeps."""
        return cls(**params)

    @property
    def is_remote(self) -> bool:
        """Whether the source is a URL."""
        return _URL.match(self.source) is not None


@dataclass(frozen=True, slots=True)
class ImportFile:
    """One file of one series, or of one history of funding rates.

    Attributes:
        place: path or URL.
        interval: of its bars; of funding, whose payments keep no grid, it says nothing.
        span: [start, end) of what it can hold, ms, of a file of a URL.
        period: the same, where its name says so.
    """

    place: str
    exchange: str
    symbol: str
    interval: Interval
    kind: KlineKind
    reading: Reading
    span: tuple[int, int] | None = None
    period: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The last part of its place."""
        return self.place.rsplit("/", 1)[-1]

    @property
    def is_funding(self) -> bool:
        """Whether it holds funding rates."""
        return self.reading.holds == FUNDING

    @property
    def series(self) -> tuple[str, str, str, str]:
        """Exchange, symbol, interval, kind."""
        return self.exchange, self.symbol, self.interval.name, self.kind.value


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Which files come in.

    Attributes:
        files: in the order of their work.
        skipped: files that are left out, and why: they are none, or were not asked for.
        unplaced: files of a folder of which nothing says what they hold, and what to do.
    """

    files: list[ImportFile]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unplaced: list[tuple[str, str]] = field(default_factory=list)


def plan_of(order: ImportOrder, symbols: Callable[[str], Sequence[str]], now_ms: int) -> ImportPlan:
    """Which files the order means.

    Args:
        symbols: the catalogue's symbols for a venue's own name.

    Raises:
        InvalidInput: nothing is there, or no file's series is known.
        UnknownName: there is no such interval.
    """
    require_exchange_id(order.exchange)
    if order.symbol:
        require_symbol(order.symbol)
    if order.interval:
        interval_of(order.interval)
    _require_text(order.source)
    if order.trades and order.funding:
        raise InvalidInput("rows are trades or funding rates; give --trades or --funding alone")
    if order.is_remote:
        return ImportPlan(_remote(order, now_ms))
    root = Path(order.source)
    if root.is_dir():
        return _directory(order, root, symbols)
    if not root.is_file():
        is_there = "is neither a file nor a directory" if root.exists() else "does not exist"
        raise InvalidInput(f"{order.source} {is_there}; give a file, a directory or a URL")
    return ImportPlan([_file(order, root, what_name_says(root), symbols)])


def _directory(
    order: ImportOrder, root: Path, symbols: Callable[[str], Sequence[str]]
) -> ImportPlan:
    files: list[ImportFile] = []
    skipped: list[tuple[str, str]] = []
    unclear: list[tuple[str, str]] = []
    for path in sorted(root.rglob("*")):
        if not path.is_file() or path.name.endswith(CHECKSUM):
            continue
        said = what_name_says(path.relative_to(root.parent))
        if not is_data(path):
            skipped.append((_shown(path.name), "its name is not that of market data"))
            continue
        _require_text(str(path))
        if said.holds == TRADES and not order.interval:
            skipped.append((path.name, "it holds trades; --interval says which bars to make"))
        elif _is_of_another(order, said):
            skipped.append((path.name, "it is of another series"))
        else:
            try:
                found = _file(order, path, said, symbols, name_first=True)
            except UnplacedError as error:
                unclear.append((str(path.relative_to(root)), error.advice))
                continue
            wanted = found.is_funding or order.interval in ("", found.interval.name)
            if order.symbol in ("", found.symbol) and wanted:
                files.append(found)
            else:
                skipped.append((path.name, "it is of another series"))
    if not files and unclear:
        raise InvalidInput(
            f"no file of {order.source} went in, for it is not known what to make of "
            f"{names_of(unclear)}; of {unclear[0][0]} {unclear[0][1]}",
            code="unplaced-files",
        )
    if not files:
        raise InvalidInput(f"{order.source} holds no file of bars that was asked for")
    ordered = sorted(files, key=lambda each: (each.series, each.period or (0, 0), each.place))
    return ImportPlan(ordered, skipped, unclear)


def _is_of_another(order: ImportOrder, said: FileName) -> bool:
    """Whether the name of a folder's file says that it was not asked for."""
    if said.native and order.symbol and said.native != native_of(order.symbol):
        return True
    is_bars = said.holds == BARS and bool(said.interval)
    return is_bars and order.interval not in ("", said.interval)


def _shown(name: str) -> str:
    """A name for people: bytes of it that are no UTF-8 are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _require_text(place: str) -> None:
    """Nothing, where a place can be kept as text.

    Raises:
        InvalidInput: bytes of it are no UTF-8.
    """
    if (shown := _shown(place)) != place:
        raise InvalidInput(f"the name of {shown} is not UTF-8; rename it and import it again")


def names_of(unplaced: Sequence[Sequence[str]]) -> str:
    """The first names of files that could not be placed, for a sentence."""
    names = [str(name) for name, _ in unplaced[:_MOST_NAMES]]
    more = len(unplaced) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more else "")


def _file(
    order: ImportOrder,
    path: Path,
    said: FileName,
    symbols: Callable[[str], Sequence[str]],
    *,
    name_first: bool = False,
) -> ImportFile:
    """One file. What the user said of it counts more than its name; of a folder's, less.

    Raises:
        UnplacedError: neither says what it holds.
        InvalidInput: the two contradict each other, or cannot be.
    """
    if not name_first:
        require_name(order, path, said, symbols)
    # A name that only looks like one that says its symbol says none.
    of_name = said.symbol if is_symbol(said.symbol) else _symbol(order, said, path, symbols)
    named = (of_name, said.interval)
    given = (order.symbol, order.interval)
    one, other = (named, given) if name_first else (given, named)
    symbol, name = one[0] or other[0], one[1] or other[1]
    if order.funding or said.holds == FUNDING:
        name = _FUNDING_INTERVAL
    if name == said.interval and name not in ("", *INTERVALS):
        raise not_kept(order, path, said, symbol)
    options = {"--symbol": symbol, "--interval": name}
    lacking = [option for option, value in options.items() if not value]
    if lacking:
        raise unplaced(order, path, said, lacking)
    reading = replace(
        reading_of(said, path, order.format),
        columns=order.columns,
        time_unit=order.time_unit,
        utc_offset_ms=order.utc_offset_ms,
        is_whole=order.whole or checksum_of(path).is_file(),
    )
    if order.trades or order.funding:
        reading = replace(reading, holds=TRADES if order.trades else FUNDING)
    kind = _kind(order.kind, said.kind)
    return ImportFile(
        str(path),
        order.exchange,
        symbol,
        interval_of(name),
        kind,
        reading,
        period=said.period,
    )


def _symbol(
    order: ImportOrder,
    said: FileName,
    path: PurePath,
    symbols: Callable[[str], Sequence[str]],
) -> str:
    """The symbol of a venue's own name, in the market that the folders name."""
    if not said.native:
        return ""
    if order.symbol and said.native == native_of(order.symbol):
        return order.symbol
    is_swap = "futures" in path.parts or said.holds == FUNDING
    found = [each for each in symbols(said.native) if (":" in each) == is_swap]
    return found[0] if len(found) == 1 else ""


def _kind(text: str, otherwise: KlineKind) -> KlineKind:
    return kline_kind(text) if text else otherwise


def _remote(order: ImportOrder, now_ms: int) -> list[ImportFile]:
    if not order.symbol or not order.interval or order.start is None:
        raise InvalidInput(
            "an archive by URL needs --symbol, --interval and --start, as in --start 2024-01-01"
        )
    length = interval_of(order.interval)
    kind = _kind(order.kind, KlineKind.TRADE)
    end = min(order.end if order.end is not None else now_ms, now_ms)
    found = archive_files(order.source, order.symbol, length, kind, order.start, end)
    reading = Reading("csv", BARS, "binance", time_unit=order.time_unit, is_whole=True)
    return [
        ImportFile(
            url, order.exchange, order.symbol, length, kind, reading, (start, stop), (start, stop)
        )
        for url, start, stop in found
    ]
