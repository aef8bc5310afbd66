"""kline periods: whoever keeps bars outside of the database asks for their versions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLE: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "kline_periods",
        sa.Column("series_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("period_ts", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("series_id", "period_ts", name=op.f("pk_kline_periods")),
        **_TABLE,
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("kline_periods")
