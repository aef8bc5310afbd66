"""uncompared bars: stored bars of which no answer of the venue's said anything, by verified day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Processes of the release before write days without it."""
    column = sa.Column("uncompared", sa.Integer(), nullable=False, server_default="0")
    op.add_column("kline_days", column)


def downgrade() -> None:
    """Take back."""
    op.drop_column("kline_days", "uncompared")
