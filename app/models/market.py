"""Instruments, kline series, klines and everything that accounts for them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Json, Millis, Name, RowId, Uid, Word, table


class InstrumentRow(Base):
    """One instrument of one venue and its filters, as last refreshed."""

    __tablename__ = "instruments"
    __table_args__ = table(UniqueConstraint("exchange", "symbol"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    exchange: Mapped[str] = mapped_column(Name)
    symbol: Mapped[str] = mapped_column(Name)
    native_id: Mapped[str] = mapped_column(Name)
    base: Mapped[str] = mapped_column(Name)
    quote: Mapped[str] = mapped_column(Name)
    type: Mapped[str] = mapped_column(Word)
    status: Mapped[str] = mapped_column(Word)
    tick_size: Mapped[Decimal]
    step_size: Mapped[Decimal]
    min_quantity: Mapped[Decimal]
    max_quantity: Mapped[Decimal | None]
    min_notional: Mapped[Decimal]
    contract_size: Mapped[Decimal]
    updated_at: Mapped[int] = mapped_column(Millis)


class InstrumentRevisionRow(Base):
    """Filters or status of an instrument that the venue has changed: old, new, when seen."""

    __tablename__ = "instrument_revisions"
    __table_args__ = table(Index(None, "exchange", "symbol", "seen_at"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    exchange: Mapped[str] = mapped_column(Name)
    symbol: Mapped[str] = mapped_column(Name)
    old: Mapped[dict[str, Any]] = mapped_column(Json)
    new: Mapped[dict[str, Any]] = mapped_column(Json)
    seen_at: Mapped[int] = mapped_column(Millis)


class KlineSeriesRow(Base):
    """One series of klines; its row is the lock under which klines and coverage change.

    A series of kind ``rolled`` is made of the minutes of trades of its symbol, under the lock of
    their row, and has no coverage of its own.
    """

    __tablename__ = "kline_series"
    __table_args__ = table(UniqueConstraint("exchange", "symbol", "kind", "interval"))

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    exchange: Mapped[str] = mapped_column(Name)
    symbol: Mapped[str] = mapped_column(Name)
    kind: Mapped[str] = mapped_column(Word)
    interval: Mapped[str] = mapped_column(String(8))
    grid_offset_ms: Mapped[int] = mapped_column(Millis, default=0)
    # Grows whenever the past changes: a bar is revised, or inserted before the newest one.
    past_version: Mapped[int] = mapped_column(Integer, default=0)
    # Grows whenever a bar is proven to be missing at the venue, or such a proof falls: longer bars
    # are made of what is there. 0 where no bar ever was.
    absent_version: Mapped[int] = mapped_column(Integer, default=0)
    # The past that the marks of roll-ups know of. A release before them changes it without a mark.
    marked_version: Mapped[int] = mapped_column(Integer, default=0)
    # Of minutes: the end of the days that are rolled up, those apart that are marked; None where
    # no roll-up is kept.
    rolled_to: Mapped[int | None] = mapped_column(Millis)
    # Open time of the newest bar that a stream brought; None where none ever did.
    streamed_ts: Mapped[int | None] = mapped_column(Millis)
    # In this record: a restored one begins anew, and no file of before is taken for its bars.
    created_at: Mapped[int] = mapped_column(Millis)


class KlinePeriodRow(Base):
    """The version of one period's past, for whoever keeps its bars outside of the database.

    A period is a month of bars below an hour, else a year. It has a row since a bar of it was
    revised, or inserted before the series' newest one.
    """

    __tablename__ = "kline_periods"
    __table_args__ = table()

    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    period_ts: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(Millis)


class RollMarkRow(Base):
    """A UTC day of minutes that roll-ups lack: below ``rolled_to`` one that changed since.

    From ``rolled_to`` on, it says that there are days behind to be rolled up.
    """

    __tablename__ = "roll_marks"
    __table_args__ = table()

    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    day_ts: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)


class KlineRecord(Base):
    """One closed bar. No foreign key and no other unique key, so that it can be partitioned."""

    __tablename__ = "klines"
    __table_args__ = table()

    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    open_ts: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    open: Mapped[Decimal]
    high: Mapped[Decimal]
    low: Mapped[Decimal]
    close: Mapped[Decimal]
    volume: Mapped[Decimal]
    quote_volume: Mapped[Decimal | None]
    trade_count: Mapped[int | None] = mapped_column(Millis)


class CoverageRow(Base):
    """What is known of the bars that open in [start_ts, end_ts); ranges never overlap."""

    __tablename__ = "coverage"
    __table_args__ = table(UniqueConstraint("series_id", "start_ts"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    series_id: Mapped[int] = mapped_column(Integer)
    start_ts: Mapped[int] = mapped_column(Millis)
    end_ts: Mapped[int] = mapped_column(Millis)
    state: Mapped[str] = mapped_column(Word)
    proof: Mapped[dict[str, Any]] = mapped_column(Json)


class KlineRevisionRow(Base):
    """A closed bar that the venue later stated differently: old, new, source."""

    __tablename__ = "kline_revisions"
    __table_args__ = table(Index(None, "series_id", "open_ts"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    series_id: Mapped[int] = mapped_column(Integer)
    open_ts: Mapped[int] = mapped_column(Millis)
    old: Mapped[dict[str, Any]] = mapped_column(Json)
    new: Mapped[dict[str, Any]] = mapped_column(Json)
    source: Mapped[str] = mapped_column(Name)
    seen_at: Mapped[int] = mapped_column(Millis)


class KlineQuarantineRow(Base):
    """A bar that failed validation, kept as it came, with the reason."""

    __tablename__ = "kline_quarantine"
    __table_args__ = table(Index(None, "series_id", "seen_at"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    series_id: Mapped[int] = mapped_column(Integer)
    open_ts: Mapped[int | None] = mapped_column(Millis)
    row: Mapped[Any] = mapped_column(Json)
    reason: Mapped[str] = mapped_column(String(200))
    source: Mapped[str] = mapped_column(Name)
    seen_at: Mapped[int] = mapped_column(Millis)


class KlineDayRow(Base):
    """How complete one UTC day of a series was when last verified, and how right when first.

    ``differed`` and ``missed`` are what was wrong before the repair: bars that were stored
    otherwise than the venue states them, and bars that it has and the store had not; they add up
    over verifications. ``surplus`` are bars that the store had and it has not, ``uncompared``
    those of which no answer said anything.
    """

    __tablename__ = "kline_days"
    __table_args__ = table(Index(None, "day_ts"))

    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    day_ts: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    expected: Mapped[int] = mapped_column(Integer)
    present: Mapped[int] = mapped_column(Integer)
    exchange_side: Mapped[int] = mapped_column(Integer)
    pending: Mapped[int] = mapped_column(Integer)
    # Bars without volume.
    quiet: Mapped[int] = mapped_column(Integer)
    # Bars of the venue's answer that could be compared with stored ones.
    compared: Mapped[int] = mapped_column(Integer)
    differed: Mapped[int] = mapped_column(Integer)
    missed: Mapped[int] = mapped_column(Integer)
    surplus: Mapped[int] = mapped_column(Integer, default=0)
    uncompared: Mapped[int] = mapped_column(Integer, default=0)
    # The venue's own hours and day, compared with those that derive from the minutes.
    derived_compared: Mapped[int] = mapped_column(Integer)
    derived_differed: Mapped[int] = mapped_column(Integer)
    verified_at: Mapped[int] = mapped_column(Millis)


class KlineActivityRow(Base):
    """What was traded on one UTC day of a series, by its stored bars.

    See ``app.core.market.activity``. Every day that has bars has a row, but for those behind the
    newest row, which were not counted yet.
    """

    __tablename__ = "kline_activity"
    __table_args__ = table()

    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    day_ts: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    bars: Mapped[int] = mapped_column(Integer)
    idle: Mapped[int] = mapped_column(Integer)
    flat: Mapped[int] = mapped_column(Integer)
    runs: Mapped[int] = mapped_column(Integer)
    longest: Mapped[int] = mapped_column(Integer)
    head: Mapped[int] = mapped_column(Integer)
    tail: Mapped[int] = mapped_column(Integer)
    price: Mapped[Decimal | None]
    # Open time of the last bar that was counted; 0 where the day has changed since.
    last_ts: Mapped[int] = mapped_column(Millis)


class CollectionPlanRow(Base):
    """What to keep complete: symbols × intervals of one exchange since a date."""

    __tablename__ = "collection_plans"
    __table_args__ = table(UniqueConstraint("name"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    exchange: Mapped[str] = mapped_column(Name)
    symbols: Mapped[list[str]] = mapped_column(Json)
    # What the prices of the bars are: trade, mark or index.
    kind: Mapped[str] = mapped_column(Word, default="trade")
    # How the symbols are chosen anew with each refresh of the catalogue; None: they are listed.
    selection: Mapped[dict[str, Any] | None] = mapped_column(Json)
    intervals: Mapped[list[str]] = mapped_column(Json)
    # What is followed beside the bars: ``funding``, ``open_interest:1h``.
    extras: Mapped[list[str] | None] = mapped_column(Json)
    # Names of plans whose back-fill of a symbol comes before this one's.
    after: Mapped[list[str] | None] = mapped_column(Json)
    since_ts: Mapped[int] = mapped_column(Millis)
    priority: Mapped[int] = mapped_column(Integer, default=100)
    enabled: Mapped[bool]
    # Market time up to which every series was last asked for.
    followed_ts: Mapped[int] = mapped_column(Millis, default=0)
    created_at: Mapped[int] = mapped_column(Millis)
    updated_at: Mapped[int] = mapped_column(Millis)
