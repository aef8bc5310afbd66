"""Binance's public archive: where its files are, and whether one is what it should be."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from app.core.errors import InvalidInput
from app.core.market.intervals import Interval
from app.core.market.klines import KlineKind

#: What the name of a file's checksum adds to its own.
CHECKSUM: Final = ".CHECKSUM"
_FOLDERS: Final = {
    KlineKind.TRADE: "klines",
    KlineKind.MARK: "markPriceKlines",
    KlineKind.INDEX: "indexPriceKlines",
}
# The file of a month appears some days after its end; of such a month there are files of days.
_LATE: Final = timedelta(days=40)
_BLOCK: Final = 1 << 20


def archive_files(
    base: str, symbol: str, interval: Interval, kind: KlineKind, start: int, end: int
) -> list[tuple[str, int, int]]:
    """URLs of the files that hold bars of [start, end), with the range that each can hold, ms.

    The file of a month first; behind it those of its days, where the month may not be there yet.

    Args:
        base: of the archive, as in ``https://data.binance.vision``, or of a market of it, as in
            ``https://data.binance.vision/data/futures/um``.
    """
    market = "futures/um" if ":" in symbol else "spot"
    root = base.rstrip("/") if "/data/" in base else f"{base.rstrip('/')}/data/{market}"
    native = native_of(symbol)
    name = interval.name.replace("M", "mo")
    folder = f"{_FOLDERS[kind]}/{native}/{name}/{native}-{name}"
    found = []
    month = datetime.fromtimestamp(start // 1000, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    stop = datetime.fromtimestamp(end / 1000, UTC)
    while month < stop:
        following = (month + timedelta(days=32)).replace(day=1)
        if following <= stop:
            found.append((f"{root}/monthly/{folder}-{month:%Y-%m}.zip", month, following))
        if following + _LATE > stop and not interval.is_month:
            day = month
            while day < min(following, stop):
                url = f"{root}/daily/{folder}-{day:%Y-%m-%d}.zip"
                found.append((url, day, day + timedelta(days=1)))
                day += timedelta(days=1)
        month = following
    ranges = ((url, _ms(first), _ms(last)) for url, first, last in found)
    return [each for each in ranges if each[1] < end and each[2] > start]


def native_of(symbol: str) -> str:
    """Binance's name of a symbol: BTCUSDT of BTC/USDT and of BTC/USDT:USDT."""
    return symbol.partition(":")[0].replace("/", "")


def require_checksum(path: Path, stated: str, *, again: str = "fetch it again") -> None:
    """Nothing, where the file's sha256 is the one that was stated beside it.

    Args:
        stated: the text of its checksum file: the digest, then the name.
        again: what to do where it is not.

    Raises:
        InvalidInput: it is another, or none was stated.
    """
    expected = stated.split(maxsplit=1)[0].lower() if stated.split() else ""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror or error}") from None
    if digest.hexdigest() != expected:
        raise InvalidInput(
            f"{path.name} is not what its checksum says: it was damaged on its way; {again}"
        )


def checksum_of(path: Path) -> Path:
    """Where a file's checksum lies, if it has one."""
    return path.with_name(path.name + CHECKSUM)


def require_checksum_beside(path: Path) -> None:
    """The same, where a checksum file lies beside the file.

    Raises:
        InvalidInput: the file is not what it says.
    """
    beside = checksum_of(path)
    if beside.is_file():
        require_checksum(path, beside.read_text(encoding="utf-8", errors="replace"))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
