"""kline activity: what was traded on each day of each series."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.types import MONEY

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_COUNTS = ("bars", "idle", "flat", "runs", "longest", "head", "tail")
_TABLE: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "kline_activity",
        sa.Column("series_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day_ts", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _COUNTS),
        sa.Column("price", MONEY, nullable=True),
        sa.Column("last_ts", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("series_id", "day_ts", name=op.f("pk_kline_activity")),
        **_TABLE,
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("kline_activity")
