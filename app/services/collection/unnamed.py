"""Plans that a user did not name: of symbols that are collected as they stand in a command."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from app.core.market.klines import KlineKind
from app.models import CollectionPlanRow

#: Characters of a plan's name.
NAME_LIMIT: Final = 64
# 32 bits: two lists of symbols of one venue and interval share them once in billions, and then the
# second one is refused, for a plan of that name exists.
_HASH_DIGITS: Final = 8


@dataclass(frozen=True, slots=True)
class Unnamed:
    """What such a plan collects, and so what it is called."""

    exchange: str
    symbols: frozenset[str]
    interval: str
    kind: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names that it may have, the best first: as ``binance 1h BTC/USDT ETH/USDT``.

        The symbols are cut off where they are too long; a hash of all of it tells it apart then.
        """
        whole = f"{self._market} {self.interval} {self._listed}"
        digest = hashlib.sha256(whole.encode()).hexdigest()[:_HASH_DIGITS]
        cut = f"{whole[: NAME_LIMIT - _HASH_DIGITS - 1].rstrip()} {digest}"
        return (cut,) if len(whole) > NAME_LIMIT else (whole, cut)

    @property
    def older_names(self) -> tuple[str, ...]:
        """Names that it has where an earlier release made it; they may lack the interval."""
        return (f"{self._market} {self._listed} {self.interval}"[:NAME_LIMIT],)

    def is_of(self, plan: CollectionPlanRow) -> bool:
        """Whether a plan collects exactly this."""
        return plan.selection is None and (
            plan.exchange,
            frozenset(plan.symbols),
            tuple(plan.intervals),
            plan.kind,
        ) == (self.exchange, self.symbols, (self.interval,), self.kind)

    @property
    def _market(self) -> str:
        return self.exchange if self.kind == KlineKind.TRADE else f"{self.exchange} {self.kind}"

    @property
    def _listed(self) -> str:
        return " ".join(sorted(self.symbols))
