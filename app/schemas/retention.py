"""How long bars are kept."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from app.core.market.retention import ANY, LONGEST_DAYS, SHORTEST_DAYS, KeepRule
from app.schemas.common import EXCHANGE_PATTERN, IntervalName, Model, Uid
from app.services.retention import Freed as FreedFound

ANY_EXCHANGE_PATTERN: Final = rf"^\*$|{EXCHANGE_PATTERN}"


class NewKeepRule(Model):
    """Which bars to keep for how long."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"exchange": "binance", "symbol": "*/USDT", "interval": "1m", "keep_days": 365}
            ]
        }
    )

    exchange: Annotated[
        str, Field(pattern=ANY_EXCHANGE_PATTERN, description="its id, or * for all")
    ] = ANY
    symbol: Annotated[
        str, Field(min_length=1, max_length=64, description="a pattern: * and ? stand for others")
    ] = ANY
    interval: IntervalName
    keep_days: Annotated[
        int | None,
        Field(
            ge=SHORTEST_DAYS,
            le=LONGEST_DAYS,
            description="behind the market's present; null: for ever, whatever another rule says",
        ),
    ]


class KeepRuleView(Model):
    """A rule. Of several that match a series the one that keeps longest counts."""

    id: Uid
    exchange: str = Field(examples=["binance"])
    symbol: str = Field(examples=["*/USDT"])
    interval: str = Field(examples=["1m"])
    keep_days: int | None = Field(examples=[365])

    @classmethod
    def of(cls, rule: KeepRule) -> KeepRuleView:
        """The rule as a resource."""
        return cls(
            id=rule.id,
            exchange=rule.exchange,
            symbol=rule.symbol,
            interval=rule.interval,
            keep_days=rule.keep_days,
        )


class Freed(Model):
    """What the rules would remove of one series now."""

    exchange: str = Field(examples=["binance"])
    symbol: str = Field(examples=["BTC/USDT"])
    interval: str = Field(examples=["1m"])
    kind: str = Field(examples=["trade"])
    rule_id: Uid
    keep_days: int | None = Field(examples=[365])
    cut: int = Field(description="open time of the first bar that stays, ms")
    bars: int
    megabytes: float = Field(description="by the size of a bar as measured")

    @classmethod
    def of(cls, found: FreedFound) -> Freed:
        """What the service found."""
        series, rule = found.due.series, found.due.rule
        return cls(
            exchange=series.exchange,
            symbol=series.symbol,
            interval=series.interval,
            kind=series.kind,
            rule_id=rule.id,
            keep_days=rule.keep_days,
            cut=found.due.cut,
            bars=found.bars,
            megabytes=round(found.bytes / 1e6, 3),
        )


class CollectedAgain(Model):
    """Bars that plans will ask for again."""

    bars: int = Field(examples=[525_600])
