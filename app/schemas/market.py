"""Market data: plans, instruments, coverage, prices, klines. Times of bars are milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from app.core.market.instruments import Instrument as InstrumentData
from app.core.market.klines import KlineKind
from app.core.money import canonical
from app.models import CollectionPlanRow
from app.schemas.character import SeriesCharacter
from app.schemas.common import (
    LINE_PATTERN,
    Exchange,
    IntervalName,
    KindName,
    Model,
    Money,
    Symbol,
    Time,
    TimeInput,
    Uid,
    money,
)
from app.schemas.times import rfc3339
from app.services.collection.selection import Selection
from app.services.market_data import LatestPrice
from app.services.quality import SeriesCoverage

EXTRA_PATTERN: Final = r"^(funding|open_interest:[0-9a-zA-Z]{2,3})$"


class NewPlan(Model):
    """What to keep complete: symbols × intervals of one exchange since a date."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "majors",
                    "exchange": "binance",
                    "symbols": ["BTC/USDT", "ETH/USDT"],
                    "intervals": ["1m"],
                    "since": "2026-01-01T00:00:00Z",
                }
            ]
        }
    )

    name: Annotated[
        str, Field(min_length=1, max_length=64, pattern=LINE_PATTERN, examples=["majors"])
    ]
    exchange: Exchange = "binance"
    symbols: Annotated[
        list[Symbol],
        Field(default_factory=list, max_length=500, description="or `pattern` and `top`"),
    ]
    pattern: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=64,
            description="of symbols, `*` for any characters; new listings come in by themselves",
            examples=["*/USDT"],
        ),
    ] = None
    top: Annotated[
        int | None, Field(ge=1, le=1000, description="only so many, by turnover of 24 hours")
    ] = None
    intervals: Annotated[list[IntervalName], Field(min_length=1, max_length=15)]
    kind: Annotated[
        KindName, Field(description="what the prices are: of trades, the mark or the index")
    ] = KlineKind.TRADE
    since: TimeInput
    after: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]],
        Field(
            default_factory=list,
            max_length=20,
            description="plans whose back-fill of a symbol comes first",
        ),
    ]
    extras: Annotated[
        list[Annotated[str, Field(pattern=EXTRA_PATTERN)]],
        Field(
            default_factory=list,
            max_length=10,
            description="followed beside the bars of perpetuals: funding, open_interest:1h",
        ),
    ]
    priority: Annotated[int, Field(ge=0, le=1000, description="lower is more urgent")] = 100
    enabled: bool = True

    def selection(self) -> Selection | None:
        """How symbols are chosen, or None where they are listed."""
        if self.pattern is None and self.top is None:
            return None
        return Selection(self.pattern or "*", self.top)


class SkippedSymbol(Model):
    """A symbol of a plan that is not collected now."""

    symbol: str
    reason: str = Field(examples=["halted: its venue does not trade it now; …"])


class Plan(Model):
    """A collection plan."""

    id: Uid
    name: str
    exchange: str
    symbols: list[str]
    pattern: str | None = Field(description="by which symbols are chosen")
    top: int | None = Field(description="how many of them, by turnover")
    intervals: list[str]
    kind: str = Field(description="trade, mark or index")
    since: Time
    after: list[str] = Field(description="plans whose back-fill of a symbol comes first")
    extras: list[str] = Field(description="followed beside the bars")
    skipped: list[SkippedSymbol] = Field(
        description="symbols that their venue does not trade now; collected once it does"
    )
    full: str | None = Field(
        description="what to do where the plan is at its limit of series, and symbols that it "
        "chooses are left out; else null"
    )
    priority: int
    enabled: bool
    created_at: Time
    updated_at: Time

    @classmethod
    def of(
        cls,
        row: CollectionPlanRow,
        skipped: Mapping[str, Mapping[str, str]],
        full: Mapping[str, str],
    ) -> Plan:
        """The plan of a row.

        Args:
            skipped: by the id of each plan, symbols and reasons.
            full: by the ids of plans that are full, what to do.
        """
        chosen = Selection.of(row.selection) if row.selection else None
        return cls(
            id=row.id,
            name=row.name,
            exchange=row.exchange,
            symbols=row.symbols,
            pattern=chosen.pattern if chosen else None,
            top=chosen.top if chosen else None,
            intervals=row.intervals,
            kind=row.kind,
            since=rfc3339(row.since_ts),
            after=row.after or [],
            extras=row.extras or [],
            skipped=[
                SkippedSymbol(symbol=symbol, reason=reason)
                for symbol, reason in skipped[row.id].items()
            ],
            full=full.get(row.id),
            priority=row.priority,
            enabled=row.enabled,
            created_at=rfc3339(row.created_at),
            updated_at=rfc3339(row.updated_at),
        )


class Instrument(Model):
    """What can be traded, and the filters its orders must pass."""

    exchange: str
    symbol: str
    native_id: str
    base: str
    quote: str
    type: str
    status: str
    tick_size: Money
    step_size: Money
    min_quantity: Money
    max_quantity: Money | None
    min_notional: Money

    @classmethod
    def of(cls, found: InstrumentData) -> Instrument:
        """The instrument of the catalogue's."""
        return cls(
            exchange=found.exchange,
            symbol=found.symbol,
            native_id=found.native_id,
            base=found.base,
            quote=found.quote,
            type=found.type.value,
            status=found.status.value,
            tick_size=canonical(found.tick_size),
            step_size=canonical(found.step_size),
            min_quantity=canonical(found.min_quantity),
            max_quantity=money(found.max_quantity),
            min_notional=canonical(found.min_notional),
        )


class Price(Model):
    """The latest price of a symbol."""

    exchange: str
    symbol: str
    price: Money
    bid: Money | None
    ask: Money | None
    volume_24h: Money | None
    ts: int = Field(description="the venue's time of it, ms", examples=[1772323200000])
    source: str = Field(description="live, ticker or kline (the last stored close)")
    age_ms: int | None = Field(
        description="by the venue's market time; null where that cannot be asked for",
        examples=[120],
    )
    is_stale: bool = Field(
        description="too old to be taken for the present price, or of a time yet to come"
    )

    @classmethod
    def of(cls, found: LatestPrice) -> Price:
        """The price as the service found it."""
        data = found.data
        return cls(
            exchange=data.exchange,
            symbol=data.symbol,
            price=canonical(data.price),
            bid=money(data.bid),
            ask=money(data.ask),
            volume_24h=money(data.volume_24h),
            ts=data.timestamp,
            source=found.source.value,
            age_ms=found.age_ms,
            is_stale=found.is_stale,
        )


class CoverageRange(Model):
    """Bars that open in [start, end) and what is known of them."""

    start: int = Field(description="ms")
    end: int = Field(description="ms, exclusive")
    state: str = Field(
        description="present, pending, exchange_side, before_listing, after_delisting or retired"
    )
    bars: int


class Coverage(Model):
    """What is known of every expected bar of a series."""

    exchange: str
    symbol: str
    interval: str
    kind: str
    start: int | None = Field(
        description="ms; null where nothing was ever collected and no plan keeps the series"
    )
    end: int | None = Field(description="ms, exclusive")
    is_kept: bool = Field(
        description="an enabled plan keeps it: without bounds, the range reaches from the first "
        "bar that a plan wants to the last one that is final"
    )
    note: str | None = Field(
        description="why nothing is said of the bars after `end`: the venue's market time is not "
        "known; else null"
    )
    expected: int = Field(
        description="bars between listing and delisting that no rule removed: `present`, `pending` "
        "and `exchange_side` together"
    )
    counts: dict[str, int] = Field(description="bars by state")
    gaps: int = Field(description="ranges that are not present")
    ranges: list[CoverageRange]
    has_more: bool = Field(description="only the first ranges are listed; narrow start and end")
    character: SeriesCharacter | None = Field(description="null where nothing was ever collected")

    @classmethod
    def of(cls, found: SeriesCoverage) -> Coverage:
        """The coverage of a series."""
        return cls(
            exchange=found.exchange,
            symbol=found.symbol,
            interval=found.interval,
            kind=found.kind,
            start=found.start,
            end=found.end,
            is_kept=found.is_kept,
            note=found.unknown or None,
            expected=found.expected,
            counts=dict(found.counts),
            gaps=found.gaps,
            ranges=[
                CoverageRange(start=start, end=end, state=state, bars=bars)
                for start, end, state, bars in found.ranges
            ],
            has_more=found.has_more,
            character=None if found.profile is None else SeriesCharacter.of(found.profile),
        )


class KlineColumns(Model):
    """Bars as columns of equal length, ascending."""

    open_ts: list[int] = Field(description="open times, ms", examples=[[1772323200000]])
    open: list[float] | list[Money]
    high: list[float] | list[Money]
    low: list[float] | list[Money]
    close: list[float] | list[Money]
    volume: list[float] | list[Money]
    quote_volume: list[float | None] | list[Money | None] | None = Field(
        None, description="with `extra=quote_volume`; null where the venue does not say"
    )
    trade_count: list[int | None] | None = Field(
        None, description="with `extra=trade_count`; null where the venue does not say"
    )


class Klines(Model):
    """Klines of one series.

    Numbers are the repr of float64, and exact strings where `exact=true` was asked for.
    """

    exchange: str
    symbol: str
    interval: str
    kind: str
    exact: bool
    columns: KlineColumns
    next_cursor: int | None = Field(description="pass it as `cursor` for the next page")
    has_more: bool
