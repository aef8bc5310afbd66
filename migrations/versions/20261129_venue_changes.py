"""venue changes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.types import LONG_TEXT, ROW_ID

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INDEX = "ix_instrument_revisions_exchange_symbol_seen_at"
_TABLE: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "standing_alarms",
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.String(length=300), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_standing_alarms")),
        **_TABLE,
    )
    op.create_table(
        "instrument_revisions",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("exchange", sa.String(length=64), nullable=False),
        sa.Column("symbol", sa.String(length=64), nullable=False),
        sa.Column("old", LONG_TEXT, nullable=False),
        sa.Column("new", LONG_TEXT, nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instrument_revisions")),
        **_TABLE,
    )
    columns = ["exchange", "symbol", "seen_at"]
    op.create_index(op.f(_INDEX), "instrument_revisions", columns)


def downgrade() -> None:
    """Take back."""
    op.drop_table("instrument_revisions")
    op.drop_table("standing_alarms")
