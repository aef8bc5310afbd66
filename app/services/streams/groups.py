"""Names of the groups that streams are divided into, for those who hold and those who look."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

#: What the names of all shards of markets begin with.
MARKETS: Final = "stream:market:"
#: Sockets among which a venue's symbols are divided, whatever the number of processes.
SHARDS: Final = 4


def market_group(exchange: str, number: int, shards: int) -> str:
    """The name of one shard of a venue's market."""
    return f"{MARKETS}{exchange}:{number}/{shards}"


def shard_of(symbol: str, shards: int) -> int:
    """The shard of a symbol: the same on every machine, for ever."""
    return zlib.crc32(symbol.encode()) % shards


class HeldShards:
    """Which symbols some process streams.

    Args:
        names: of the leases in force that begin with ``MARKETS``.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._held: set[tuple[str, int, int]] = set()
        for name in names:
            exchange, _, part = name.removeprefix(MARKETS).rpartition(":")
            number, _, shards = part.partition("/")
            self._held.add((exchange, int(number), int(shards)))
        self._divisions = {(exchange, shards) for exchange, _, shards in self._held}

    def has(self, exchange: str, symbol: str) -> bool:
        """Whether the shard of a symbol is held, however the venue is divided."""
        return any(
            (exchange, shard_of(symbol, shards), shards) in self._held
            for name, shards in self._divisions
            if name == exchange
        )
