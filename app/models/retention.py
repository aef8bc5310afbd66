"""How long bars are kept."""

from __future__ import annotations

from sqlalchemy import Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Millis, Name, Uid, table


class RetentionRuleRow(Base):
    """Bars of matching series that are older than ``keep_days`` are removed.

    See ``app.core.market.retention``. Without a row nothing is ever removed.
    """

    __tablename__ = "retention_rules"
    __table_args__ = table(UniqueConstraint("exchange", "symbol", "interval"))

    id: Mapped[str] = mapped_column(Uid, primary_key=True)
    # A venue's id, or ``*``.
    exchange: Mapped[str] = mapped_column(Name)
    # A pattern of symbols.
    symbol: Mapped[str] = mapped_column(Name)
    interval: Mapped[str] = mapped_column(String(8))
    # None: they are kept for ever, whatever another rule says.
    keep_days: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[int] = mapped_column(Millis)
    updated_at: Mapped[int] = mapped_column(Millis)
