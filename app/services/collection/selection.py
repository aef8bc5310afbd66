"""Plans that choose their symbols: by a pattern, by turnover, or both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Self

from app.core.errors import InvalidInput
from app.core.market.instruments import Instrument, InstrumentStatus
from app.core.market.patterns import matches
from app.core.money import ZERO

_PATTERN_LIMIT: Final = 64
#: More than any venue's liquid markets; a plan has a limit of series besides.
MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a venue's trading instruments a plan collects.

    Chosen again with the whole catalogue, so that a new listing comes in by itself. What was
    chosen once stays: a history that ends because a market fell to rank 21 would be no history.

    Attributes:
        pattern: of unified symbols; ``*`` stands for any characters, ``?`` for one:
            ``*/USDT`` are spot markets against USDT, ``*:USDT`` perpetuals settled in it.
        top: only so many of them, the ones with the largest turnover of 24 hours.
    """

    pattern: str = "*"
    top: int | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.pattern) <= _PATTERN_LIMIT or not self.pattern.isprintable():
            raise InvalidInput(f"a pattern has 1 to {_PATTERN_LIMIT} characters, as in */USDT")
        if self.top is not None and not 0 < self.top <= MOST:
            raise InvalidInput(f"top is the number of symbols to collect, 1 to {MOST}")

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The selection that ``as_row`` wrote."""
        return cls(row.get("pattern", "*"), row.get("top"))

    def as_row(self) -> dict[str, Any]:
        """For a plan's row."""
        return {"pattern": self.pattern, "top": self.top}

    def choose(
        self, instruments: Iterable[Instrument], turnover: Mapping[str, Decimal]
    ) -> list[str]:
        """Symbols, those of the largest turnover first where it counts, else by name.

        Args:
            turnover: quote units traded in 24 hours, by native id; what is not in it traded
                nothing. Turnovers compare among markets of one quote asset only: choose a
                pattern that names it.
        """
        matching = [
            each
            for each in instruments
            if each.status is InstrumentStatus.TRADING and matches(each.symbol, self.pattern)
        ]
        if self.top is None:
            return sorted(each.symbol for each in matching)
        quotes = sorted({each.quote for each in matching})
        if len(quotes) > 1:
            raise InvalidInput(
                f"{self.pattern} matches markets against {', '.join(quotes[:5])}, whose turnovers "
                "do not compare; name one quote asset, as in */USDT"
            )
        ranked = sorted(
            matching, key=lambda each: (-turnover.get(each.native_id, ZERO), each.symbol)
        )
        return [each.symbol for each in ranked[: self.top]]
