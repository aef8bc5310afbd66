"""retention: rules of how long bars are kept."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TABLE: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}
_PENDING = "UPDATE coverage SET state = 'pending', proof = '{}' WHERE state = 'retired'"
_PARTITIONS = (
    "SELECT COUNT(*) FROM information_schema.partitions WHERE table_schema = DATABASE() "
    "AND table_name = 'klines' AND partition_name IS NOT NULL"
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "retention_rules",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("exchange", sa.String(64), nullable=False),
        sa.Column("symbol", sa.String(64), nullable=False),
        sa.Column("interval", sa.String(8), nullable=False),
        sa.Column("keep_days", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention_rules")),
        sa.UniqueConstraint(
            "exchange",
            "symbol",
            "interval",
            name=op.f("uq_retention_rules_exchange_symbol_interval"),
        ),
        **_TABLE,
    )


def downgrade() -> None:
    """Take back: an older release knows no such state, and cannot load into partitions."""
    op.drop_table("retention_rules")
    op.execute(sa.text(_PENDING))
    bind = op.get_bind()
    if bind.dialect.name == "sqlite" or not bind.execute(sa.text(_PARTITIONS)).scalar():
        return
    op.execute(sa.text("ALTER TABLE klines REMOVE PARTITIONING"))
