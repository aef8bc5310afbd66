"""Order triggers: exit legs that rest here because the venue does not hold them."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Millis, Name, Uid, Word, table


class OrderTriggerRow(Base):
    """One resting exit leg. Of the legs of one group at most one fires."""

    __tablename__ = "order_triggers"
    __table_args__ = table(
        # The signal's cause is ``trig:<leg>``: one leg can make one signal.
        UniqueConstraint("instance_id", "leg"),
        Index(None, "status", "exchange", "symbol"),
        Index(None, "instance_id", "symbol", "status"),
    )

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    account_id: Mapped[str] = mapped_column(Uid, ForeignKey("accounts.id"))
    instance_id: Mapped[str] = mapped_column(Uid, ForeignKey("strategy_instances.id"))
    exchange: Mapped[str] = mapped_column(Name)
    symbol: Mapped[str] = mapped_column(Name)
    side: Mapped[str] = mapped_column(Word)
    kind: Mapped[str] = mapped_column(Word)  # stop | take_profit
    quantity: Mapped[Decimal]
    trigger_price: Mapped[Decimal]
    oco_group: Mapped[str | None] = mapped_column(Name)
    leg: Mapped[str] = mapped_column(Name)
    status: Mapped[str] = mapped_column(Word)  # armed | fired | cancelled
    # Market time from which prices count: an older price was there before the leg.
    armed_ts: Mapped[int] = mapped_column(Millis)
    fired_ts: Mapped[int | None] = mapped_column(Millis)
    fired_price: Mapped[Decimal | None]
    signal_id: Mapped[str | None] = mapped_column(Uid, ForeignKey("signals.id"))
    reason: Mapped[str | None] = mapped_column(Name)
    created_at: Mapped[int] = mapped_column(Millis)
    updated_at: Mapped[int] = mapped_column(Millis)
