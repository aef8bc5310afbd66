"""points: funding rates and open interest, and the plans that follow them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.types import LONG_TEXT, MONEY, ROW_ID

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLE: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}


def upgrade() -> None:
    """Apply."""
    # Nullable, for MySQL gives a text no default.
    op.add_column("collection_plans", sa.Column("extras", LONG_TEXT, nullable=True))
    names = ["exchange", "symbol", "kind", "interval"]
    op.create_table(
        "point_series",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("exchange", sa.String(length=64), nullable=False),
        sa.Column("symbol", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("interval", sa.String(length=8), nullable=False),
        sa.Column("next_ts", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_point_series")),
        sa.UniqueConstraint(*names, name=op.f(f"uq_point_series_{'_'.join(names)}")),
        **_TABLE,
    )
    op.create_table(
        "points",
        sa.Column("series_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ts", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", MONEY, nullable=False),
        sa.Column("second", MONEY, nullable=True),
        sa.PrimaryKeyConstraint("series_id", "ts", name=op.f("pk_points")),
        **_TABLE,
    )
    op.create_table(
        "point_revisions",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("ts", sa.BigInteger(), nullable=False),
        sa.Column("old", LONG_TEXT, nullable=False),
        sa.Column("new", LONG_TEXT, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_point_revisions")),
        **_TABLE,
    )
    columns = ["series_id", "ts"]
    op.create_index(op.f("ix_point_revisions_series_id_ts"), "point_revisions", columns)


def downgrade() -> None:
    """Take back."""
    op.drop_table("point_revisions")
    op.drop_table("points")
    op.drop_table("point_series")
    op.drop_column("collection_plans", "extras")
