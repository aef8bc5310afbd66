"""Gaps, revisions and the daily figures of stored klines."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from app.core.market.klines import KlineKind
from app.models import KlineDayRow, KlineQuarantineRow, KlineRevisionRow
from app.schemas.character import SeriesCharacter
from app.schemas.common import Exchange, IntervalName, KindName, Listing, Model, Symbol, Time
from app.schemas.times import rfc3339
from app.services.quality import Gap as GapFound
from app.services.quality import Quality as QualityFound


class NewVerification(Model):
    """Which days to compare with the venue: the latest finished ones of a series."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"exchange": "binance", "symbol": "BTC/USDT", "interval": "1m", "days": 7}]
        }
    )

    exchange: Exchange = "binance"
    symbol: Symbol
    interval: IntervalName
    kind: KindName = KlineKind.TRADE
    days: Annotated[int, Field(ge=1, le=3660)] = Field(
        default=1,
        description="those of which nothing is stored or planned are left out; the job's "
        "`skipped_days` counts them",
    )
    despite_shift: bool = Field(
        default=False,
        description="take the venue's bars also where those stored lie whole hours away",
    )


class Gap(Model):
    """Expected bars that are not stored."""

    start: int = Field(description="open time of the first one, ms")
    end: int = Field(description="exclusive")
    state: str = Field(
        description="pending, exchange_side, before_listing, after_delisting or retired"
    )
    bars: int
    proof: dict[str, Any] = Field(
        description="how it is known: first and last look, how many looks",
        examples=[{"first": 1772323200000, "last": 1772326800000, "looks": 3}],
    )

    @classmethod
    def of(cls, found: GapFound) -> Gap:
        """The gap as the service found it."""
        return cls(
            start=found.start,
            end=found.end,
            state=found.state.value,
            bars=found.bars,
            proof=found.proof,
        )


class Gaps(Listing[Gap]):
    """Gaps of a series, ascending, and what is not known of it."""

    note: str | None = Field(
        description="why nothing is said of the bars after the last one that is known: the "
        "venue's market time is not known; else null"
    )


class Revision(Model):
    """A closed bar that was later stated differently."""

    open_ts: int
    old: dict[str, Any]
    new: dict[str, Any]
    source: str = Field(examples=["verify:binance"])
    seen_at: Time

    @classmethod
    def of(cls, row: KlineRevisionRow) -> Revision:
        """The revision of a row."""
        return cls(
            open_ts=row.open_ts,
            old=row.old,
            new=row.new,
            source=row.source,
            seen_at=rfc3339(row.seen_at),
        )


class Quarantined(Model):
    """A bar that was refused, as it came."""

    open_ts: int | None
    row: list[Any]
    reason: str
    source: str
    seen_at: Time

    @classmethod
    def of(cls, row: KlineQuarantineRow) -> Quarantined:
        """The bar of a row."""
        return cls(
            open_ts=row.open_ts,
            row=list(row.row),
            reason=row.reason,
            source=row.source,
            seen_at=rfc3339(row.seen_at),
        )


class QualityDay(Model):
    """One verified day of a series.

    Coverage is as of `verified_at`, the latest verification; what differed and was missed is the
    sum over all, since each repairs what it finds.
    """

    day: Time
    expected: int
    present: int
    exchange_side: int = Field(description="proven to be missing at the venue")
    pending: int
    quiet: int = Field(description="bars without volume")
    compared: int = Field(description="bars of the venue's answer that were stored")
    differed: int = Field(description="of these, stored otherwise; revised since")
    missed: int = Field(description="bars of the venue's answer that were not stored; stored since")
    surplus: int = Field(
        description="stored bars that the venue has not; in quarantine since, unless an alarm says "
        "that none was taken away"
    )
    uncompared: int = Field(description="stored bars of which no answer of the venue's said a word")
    derived_compared: int = Field(description="the venue's own hours and day")
    derived_differed: int
    verified_at: Time

    @classmethod
    def of(cls, row: KlineDayRow) -> QualityDay:
        """The day of a row."""
        return cls(
            day=rfc3339(row.day_ts),
            expected=row.expected,
            present=row.present,
            exchange_side=row.exchange_side,
            pending=row.pending,
            quiet=row.quiet,
            compared=row.compared,
            differed=row.differed,
            missed=row.missed,
            surplus=row.surplus,
            uncompared=row.uncompared,
            derived_compared=row.derived_compared,
            derived_differed=row.derived_differed,
            verified_at=rfc3339(row.verified_at),
        )


class Quality(Model):
    """Figures of verified days together, and each of them."""

    expected: int = Field(description="bars between listing and delisting")
    obtainable: int = Field(description="without those proven to be missing at the venue")
    present: int
    missed: int = Field(description="of these, not stored before a verification brought them")
    success_rate: float | None = Field(description="(present - missed) / obtainable")
    compared: int
    differed: int
    surplus: int
    uncompared: int
    accuracy: float | None = Field(
        description="(compared - differed) / (compared + surplus + uncompared)"
    )
    character: SeriesCharacter | None = Field(description="of the stored bars, verified or not")
    days: list[QualityDay]

    @classmethod
    def of(cls, found: QualityFound) -> Quality:
        """The figures as the service found them."""
        return cls(
            expected=found.expected,
            obtainable=found.obtainable,
            present=found.present,
            missed=found.missed,
            success_rate=found.success,
            compared=found.compared,
            differed=found.differed,
            surplus=found.surplus,
            uncompared=found.uncompared,
            accuracy=found.accuracy,
            character=None if found.profile is None else SeriesCharacter.of(found.profile),
            days=[QualityDay.of(day) for day in found.days],
        )
