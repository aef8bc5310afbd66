"""collection control: jobs that rest; plans with a kind, a choice of symbols, an order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.types import LONG_TEXT

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("jobs", sa.Column("paused", sa.Boolean(), nullable=False, server_default="0"))
    op.add_column(
        "collection_plans",
        sa.Column("kind", sa.String(length=32), nullable=False, server_default="trade"),
    )
    # Nullable, for MySQL gives a text no default.
    op.add_column("collection_plans", sa.Column("selection", LONG_TEXT, nullable=True))
    op.add_column("collection_plans", sa.Column("after", LONG_TEXT, nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("collection_plans", "after")
    op.drop_column("collection_plans", "kind")
    op.drop_column("collection_plans", "selection")
    op.drop_column("jobs", "paused")
