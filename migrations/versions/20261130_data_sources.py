"""data sources: any other series, in the tables of points."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.types import LONG_TEXT, ROW_ID

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TABLE: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}


def upgrade() -> None:
    """Apply."""
    op.add_column("points", sa.Column("label", sa.String(length=64), nullable=True))
    op.create_table(
        "point_quarantine",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("exchange", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("row", LONG_TEXT, nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_point_quarantine")),
        sa.UniqueConstraint("exchange", "digest", name=op.f("uq_point_quarantine_exchange_digest")),
        **_TABLE,
    )
    op.create_table(
        "data_sources",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("origin", sa.String(length=32), nullable=False),
        sa.Column("file", sa.String(length=64), nullable=False),
        sa.Column("text", LONG_TEXT, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("parameters", LONG_TEXT, nullable=False),
        sa.Column("params", LONG_TEXT, nullable=False),
        sa.Column("symbols", LONG_TEXT, nullable=False),
        sa.Column("every_ms", sa.BigInteger(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(length=36), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(length=1000), nullable=True),
        sa.Column("ran_at", sa.BigInteger(), nullable=True),
        sa.Column("result", LONG_TEXT, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_sources")),
        sa.UniqueConstraint("name", name=op.f("uq_data_sources_name")),
        **_TABLE,
    )
    op.create_index(op.f("ix_data_sources_enabled_due_at"), "data_sources", ["enabled", "due_at"])


def downgrade() -> None:
    """Take back."""
    op.drop_table("data_sources")
    op.drop_table("point_quarantine")
    op.drop_column("points", "label")
