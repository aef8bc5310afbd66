"""What the stored bars of a series say of its market."""

from __future__ import annotations

from pydantic import Field

from app.core.money import canonical
from app.schemas.common import Model, Money, Time
from app.schemas.times import rfc3339
from app.services.activity import Profile


class Runs(Model):
    """Bars without volume that follow each other."""

    count: int = Field(description="runs")
    bars: int = Field(description="of all of them")
    longest: int = Field(description="bars of the longest")
    flat: int = Field(description="bars whose four prices are one")


class GapCounts(Model):
    """Bars that lack between stored ones."""

    count: int = Field(description="gaps")
    bars: int = Field(description="of all of them")
    longest: int = Field(description="bars of the longest")
    proven: int = Field(description="bars that are proven to be missing at the venue")


class Silent(Model):
    """Whole days of flat bars without volume, with which a series ends."""

    since: Time
    days: int
    price: Money


class SeriesCharacter(Model):
    """What a venue does with a bar in which nothing is traded, and what was found of it."""

    verdict: str = Field(
        description="fills (a flat bar without volume), omits (no bar), trades_always, or unknown "
        "(too little is stored, or gaps are not proven yet)"
    )
    looks_like: str = Field(description="the verdict if every gap were the venue's")
    start: int | None = Field(description="of the stored bars that were judged, ms")
    end: int | None = Field(description="ms, exclusive")
    bars: int = Field(description="stored bars that were counted, by whole UTC days")
    uncounted: int = Field(description="stored bars not counted yet: those of today")
    no_trade_share: float | None = Field(
        description="part of the bars without a trade, filled or left out"
    )
    zero_volume: Runs
    gaps: GapCounts
    silent: Silent | None = Field(description="null where the last whole day has trades")
    is_dead: bool = Field(description="flagged: silent for seven days, and others are traded")

    @classmethod
    def of(cls, found: Profile) -> SeriesCharacter:
        """The character of a profile."""
        activity, gaps, silence = found.activity, found.gaps, found.silence
        return cls(
            verdict=found.character.value,
            looks_like=found.looks_like.value,
            start=found.start,
            end=found.end,
            bars=activity.bars,
            uncounted=found.uncounted,
            no_trade_share=found.no_trade,
            zero_volume=Runs(
                count=activity.runs,
                bars=activity.idle,
                longest=activity.longest,
                flat=activity.flat,
            ),
            gaps=GapCounts(
                count=gaps.count, bars=gaps.bars, longest=gaps.longest, proven=gaps.proven
            ),
            silent=None
            if silence is None
            else Silent(
                since=rfc3339(silence.since),
                days=silence.days,
                price=canonical(silence.price),
            ),
            is_dead=found.is_dead,
        )
