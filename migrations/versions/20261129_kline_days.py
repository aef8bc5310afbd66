"""kline days: how complete and how right each day of each series is."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_COUNTS = (
    *("expected", "present", "exchange_side", "pending", "quiet"),
    *("compared", "differed", "missed", "derived_compared", "derived_differed"),
)
_TABLE: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "kline_days",
        sa.Column("series_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day_ts", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _COUNTS),
        sa.Column("verified_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("series_id", "day_ts", name=op.f("pk_kline_days")),
        **_TABLE,
    )
    op.create_index(op.f("ix_kline_days_day_ts"), "kline_days", ["day_ts"])


def downgrade() -> None:
    """Take back."""
    op.drop_table("kline_days")
